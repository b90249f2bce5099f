"""Operator commands: enrolment at consent, the registry and the directory at referral."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from safehand.consent.v1 import consent_pb2
from safehand.referral.v1 import directory_pb2
from safehand_core import ids
from safehand_core.entropy import Entropy, SystemEntropy

from safehand_client._internal.calls import DEADLINE_S, Stubs, dial
from safehand_client.party import Addresses, Party

IMPORT_DEADLINE_S = 55.0
"""Seconds for a directory import: below the servers' limit of 60."""


class OperatorClient:
    """The operator of one service; which one decides what it may do."""

    def __init__(
        self,
        party: Party,
        *,
        addresses: Addresses | None = None,
        entropy: Entropy | None = None,
        stubs: Stubs | None = None,
    ) -> None:
        self._entropy = entropy or SystemEntropy()
        self.stubs = stubs or dial(addresses or party.addresses, party.tls)

    def close(self) -> None:
        self.stubs.close()

    def enrol(self, agency: str, identity_key: bytes, display_name: str) -> str:
        """Pin an agency's identity key at consent; the key's fingerprint (64 hex)."""
        return self.stubs.consent.EnrolAgency(
            consent_pb2.EnrolAgencyRequest(
                request_id=ids.new_request_id(self._entropy),
                agency=agency,
                identity_key=identity_key,
                display_name=display_name,
            ),
            timeout=DEADLINE_S,
        ).fingerprint

    def roll_keys(self) -> consent_pb2.RollKeysResponse:
        """Replace the release KEK and destroy the old one."""
        return self.stubs.consent.RollKeys(
            consent_pb2.RollKeysRequest(request_id=ids.new_request_id(self._entropy)),
            timeout=DEADLINE_S,
        )

    def confirm_clock(self) -> consent_pb2.ConfirmClockResponse:
        """Say that the clock is right after CLOCK_SUSPECT."""
        return self.stubs.consent.ConfirmClock(
            consent_pb2.ConfirmClockRequest(request_id=ids.new_request_id(self._entropy)),
            timeout=DEADLINE_S,
        )

    def register(
        self, agency: str, identity_key: bytes, display_name: str, organizations: Sequence[str] = ()
    ) -> directory_pb2.Agency:
        """List an agency in the directory."""
        return self.stubs.directory.RegisterAgency(
            directory_pb2.RegisterAgencyRequest(
                request_id=ids.new_request_id(self._entropy),
                agency=agency,
                display_name=display_name,
                identity_key=identity_key,
                organizations=organizations,
            ),
            timeout=DEADLINE_S,
        ).agency

    def import_package(
        self, source: str, files: Mapping[str, bytes], *, skip_bad: bool = False
    ) -> directory_pb2.ImportPackageResponse:
        """Take an HSDS package into the directory in one transaction."""
        return self.stubs.directory.ImportPackage(
            directory_pb2.ImportPackageRequest(
                request_id=ids.new_request_id(self._entropy),
                source=source,
                files=[
                    directory_pb2.PackageFile(name=name, content=content)
                    for name, content in sorted(files.items())
                ],
                skip_bad=skip_bad,
            ),
            timeout=IMPORT_DEADLINE_S,
        )

    def set_service_needs(self, service: str, categories: Sequence[str]) -> list[str]:
        """Say which categories a service may receive."""
        return list(
            self.stubs.directory.SetServiceNeeds(
                directory_pb2.SetServiceNeedsRequest(
                    request_id=ids.new_request_id(self._entropy),
                    service=service,
                    categories=categories,
                ),
                timeout=DEADLINE_S,
            ).categories
        )

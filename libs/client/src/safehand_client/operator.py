"""Operator commands: enrolment at consent, the registry and the directory at referral."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from safehand.consent.v1 import consent_pb2, keys_pb2
from safehand.notify.v1 import notify_pb2
from safehand.referral.v1 import directory_pb2, referral_pb2
from safehand_core import ids
from safehand_core.entropy import Entropy, SystemEntropy
from safehand_formats.succession import SignedSuccession

from safehand_client._internal.calls import DEADLINE_S, Stubs, dial
from safehand_client._internal.identity_life import as_duration, as_message
from safehand_client.party import Addresses, Party

LONG_DEADLINE_S = 55.0
"""Seconds for a directory import or a roll: below the servers' limit of 60."""


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
        """Replace the release KEK and destroy the old one.

        With very many live keys it takes longer than any call may: it then goes on without us.
        """
        return self.stubs.consent.RollKeys(
            consent_pb2.RollKeysRequest(request_id=ids.new_request_id(self._entropy)),
            timeout=LONG_DEADLINE_S,
        )

    def rotate_token_key(self, *, stolen: bool = False) -> keys_pb2.TokenKey:
        """Make consent's next token key before its time; ``stolen``: it holds at once, alone."""
        return self.stubs.keys.RotateTokenKey(
            keys_pb2.RotateTokenKeyRequest(
                request_id=ids.new_request_id(self._entropy), stolen=stolen
            ),
            timeout=DEADLINE_S,
        ).key

    def rotate_agency_key(
        self,
        agency: str,
        old_fingerprint: str,
        identity_key: bytes,
        overlap_s: int | None = None,
        *,
        signed: SignedSuccession | None = None,
    ) -> keys_pb2.RotateAgencyKeyResponse:
        """Pin an agency's next identity key at consent; the old one holds for ``overlap_s``
        seconds too (None: 14 days), or as long as it ``signed`` itself."""
        return self.stubs.keys.RotateAgencyKey(
            keys_pb2.RotateAgencyKeyRequest(
                request_id=ids.new_request_id(self._entropy),
                agency=agency,
                old_fingerprint=old_fingerprint,
                identity_key=identity_key,
                overlap=as_duration(overlap_s),
                succession=None if signed is None else as_message(signed),
            ),
            timeout=DEADLINE_S,
        )

    def list_agency_keys(self, agency: str) -> list[keys_pb2.AgencyKey]:
        """Every identity key that consent ever had of an agency, the newest first."""
        return list(
            self.stubs.keys.ListAgencyKeys(
                keys_pb2.ListAgencyKeysRequest(agency=agency), timeout=DEADLINE_S
            ).keys
        )

    def relist_agency_key(
        self, agency: str, old_fingerprint: str, identity_key: bytes, overlap_s: int | None = None
    ) -> directory_pb2.Agency:
        """List an agency's next identity key in the directory, on our own word: for an agency that
        lost the one before."""
        return self.stubs.directory.RotateAgencyKey(
            directory_pb2.RotateAgencyKeyRequest(
                request_id=ids.new_request_id(self._entropy),
                agency=agency,
                old_fingerprint=old_fingerprint,
                identity_key=identity_key,
                overlap=as_duration(overlap_s),
            ),
            timeout=DEADLINE_S,
        ).agency

    def unlist_agency_key(self, agency: str, fingerprint: str) -> directory_pb2.Agency:
        """Have the directory refuse a key of an agency from now on, as for a stolen one."""
        return self.stubs.directory.RevokeAgencyKey(
            directory_pb2.RevokeAgencyKeyRequest(
                request_id=ids.new_request_id(self._entropy),
                agency=agency,
                fingerprint=fingerprint,
            ),
            timeout=DEADLINE_S,
        ).agency

    def revoke_agency_key(self, agency: str, fingerprint: str) -> int:
        """Have consent believe nothing under a key any more; how many keys the agency has left."""
        return self.stubs.keys.RevokeAgencyKey(
            keys_pb2.RevokeAgencyKeyRequest(
                request_id=ids.new_request_id(self._entropy),
                agency=agency,
                fingerprint=fingerprint,
            ),
            timeout=DEADLINE_S,
        ).keys_left

    def waiting_stops(self) -> list[notify_pb2.WaitingStops]:
        """Agencies that have not acknowledged a stop, the oldest first (notify's operator)."""
        return list(
            self.stubs.notify.GetWaitingStops(
                notify_pb2.GetWaitingStopsRequest(), timeout=DEADLINE_S
            ).agencies
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
            timeout=LONG_DEADLINE_S,
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

    def set_confidential(
        self, service: str, *, confidential: bool = True, phone: str = ""
    ) -> directory_pb2.ServiceEntry | None:
        """Keep the places of a service secret, or no longer; what is shown of it now.

        ``phone``: the one number that is shown for it; empty for those that belong to no place.
        None for a service that the directory does not list any more.
        """
        answer = self.stubs.directory.SetConfidential(
            directory_pb2.SetConfidentialRequest(
                request_id=ids.new_request_id(self._entropy),
                service=service,
                confidential=confidential,
                phone=phone,
            ),
            timeout=DEADLINE_S,
        )
        return answer.service if answer.HasField("service") else None

    def replay_events(self, service: str, from_sequence: int) -> tuple[int, int]:
        """Have ``consent``'s or ``referral``'s events published on the bus again.

        Returns the replay's number, and the last event's. Raises NOT_FOUND for a place behind it.
        """
        request_id = ids.new_request_id(self._entropy)
        if service == "consent":
            answer = self.stubs.consent.ReplayEvents(
                consent_pb2.ReplayEventsRequest(request_id=request_id, from_sequence=from_sequence),
                timeout=DEADLINE_S,
            )
            return answer.round, answer.last_sequence
        other = self.stubs.referral.ReplayEvents(
            referral_pb2.ReplayEventsRequest(request_id=request_id, from_sequence=from_sequence),
            timeout=DEADLINE_S,
        )
        return other.round, other.last_sequence

    def dead_letters(self, service: str = "notify") -> list[notify_pb2.DeadLetter]:
        """Everything that ``notify`` or ``referral`` set aside and that is still open."""
        found: list[notify_pb2.DeadLetter] = []
        token = ""
        stub, messages = self._keeper(service)
        while True:
            page = stub.ListDeadLetters(
                messages.ListDeadLettersRequest(page_token=token), timeout=DEADLINE_S
            )
            found += page.letters
            token = page.next_page_token
            if not token:
                return found

    def dead_letter(self, number: int, service: str = "notify") -> notify_pb2.DeadLetter:
        """One of them, whatever its state; raises NOT_FOUND."""
        stub, messages = self._keeper(service)
        found: notify_pb2.DeadLetter = stub.GetDeadLetter(
            messages.GetDeadLetterRequest(letter=number), timeout=DEADLINE_S
        ).letter
        return found

    def replay_dead_letters(
        self, numbers: Sequence[int] = (), service: str = "notify"
    ) -> list[notify_pb2.DeadLetter]:
        """Have these (none: all that are open) tried again; as they are now."""
        stub, messages = self._keeper(service)
        return list(
            stub.ReplayDeadLetters(
                messages.ReplayDeadLettersRequest(
                    request_id=ids.new_request_id(self._entropy), numbers=numbers
                ),
                timeout=DEADLINE_S,
            ).letters
        )

    def _keeper(self, service: str) -> tuple[Any, Any]:
        """Who keeps that service's dead letters, and the module of its messages."""
        if service == "referral":
            return self.stubs.referral, referral_pb2
        return self.stubs.notify, notify_pb2

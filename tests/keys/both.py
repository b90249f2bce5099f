"""Consent and referral, both real and in this process, on one clock that runs.

Token keys change every few seconds here, so that a test sees many of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safehand.consent.v1 import consent_pb2 as pb
from safehand.referral.v1 import (
    directory_pb2,
    directory_pb2_grpc,
    referral_pb2,
    referral_pb2_grpc,
)
from safehand_consent_service import app as consent_app
from safehand_consent_service.token_keys import Schedule
from safehand_core.clock import Clock, SystemClock
from safehand_referral_service import app as referral_app
from safehand_referral_service.settings import ReferralSettings
from safehand_rpc.dial import Channel, connect
from safehand_rpc.identity import Kind

from tests.consent.release.world import (
    DEFAULT_CATEGORIES,
    ENTROPY,
    A,
    B,
    Sent,
    World,
    new_request_id,
)

PACKAGE = {
    "organizations.csv": b"id,name,description\no-b,Bay Legal,-\n",
    "locations.csv": b"id,location_type,name\nl-1,physical,Office\n",
    "services.csv": b"id,organization_id,name,status,description\nsvc-1,o-b,Help,active,papers\n",
}
SCHEDULE = Schedule(life_s=3, lead_s=1, verify_s=60)
"""A key signs for three seconds, and is known a second before. It verifies long enough for a call
on a busy machine."""


class Consent(World):
    """A consent service whose token keys change by ``schedule``."""

    def __init__(
        self, directory: Path, *, clock: Clock | None = None, schedule: Schedule | None = None
    ) -> None:
        super().__init__(directory, clock=clock)
        self.schedule = schedule

    def start(self) -> World:
        self.app = consent_app.build(
            self.settings, clock=self.clock, entropy=ENTROPY, token_schedule=self.schedule
        )
        self.port = self.app.start()
        return self


class Both:
    """``consent`` and ``referral``, with agencies ``A`` and ``B`` known to both."""

    def __init__(self, root: Path, *, pinned: str = "") -> None:
        self.consent = Consent(root / "c", clock=SystemClock(), schedule=SCHEDULE)
        self.consent.start().set_up()
        self._channels: list[Channel] = []
        self._root = root
        self.settings = self._settings(pinned)
        self.referral = referral_app.build(self.settings, clock=SystemClock(), entropy=ENTROPY)
        self.port = self.referral.start()
        self._set_up()

    def _settings(self, pinned: str) -> ReferralSettings:
        tls = self.consent.tls("service", "referral")
        address = self._root / "consent.address"
        address.write_text(f"127.0.0.1:{self.consent.port}\n")
        values = {
            "DATA_DIR": self._root / "r" / "data",
            "KEYS_DIR": self._root / "r" / "keys",
            "TLS_CERT": tls.cert,
            "TLS_KEY": tls.key,
            "TLS_CA": tls.ca,
            "CONSENT_ADDRESS_FILE": address,
            "CONSENT_VKEY_FILE": self.consent.settings.public_dir / "vkey",
            "TOKEN_KEY_FILE": pinned,
            "PROFILE": "test",
        }
        return ReferralSettings.load(
            {f"SAFEHAND_REFERRAL_{name}": str(value) for name, value in values.items()}
        )

    def channel(self, kind: Kind, name: str, *, retry: bool = False) -> Channel:
        tls = self.consent.tls(kind, name)
        made = connect(f"127.0.0.1:{self.port}", tls, "referral", retry=retry)
        self._channels.append(made)
        return made

    def _set_up(self) -> None:
        operator = directory_pb2_grpc.DirectoryServiceStub(self.channel("operator", "referral"))
        operator.ImportPackage(
            directory_pb2.ImportPackageRequest(
                request_id=new_request_id(),
                source="test",
                files=[directory_pb2.PackageFile(name=n, content=c) for n, c in PACKAGE.items()],
            )
        )
        for name, organizations in ((A, ["o-a"]), (B, ["o-b"])):
            operator.RegisterAgency(
                directory_pb2.RegisterAgencyRequest(
                    request_id=new_request_id(),
                    agency=name,
                    display_name=name,
                    identity_key=self.consent.agencies[name].public,
                    organizations=organizations,
                )
            )
        operator.SetServiceNeeds(
            directory_pb2.SetServiceNeedsRequest(
                request_id=new_request_id(),
                service="svc-1",
                categories=[c for c in DEFAULT_CATEGORIES if c != "CARD"],
            )
        )
        self.a = referral_pb2_grpc.ReferralServiceStub(self.channel("agency", A))
        self.b = referral_pb2_grpc.ReferralServiceStub(self.channel("agency", B))
        signed = self.consent.sign_protocol(self.consent.protocol())
        directory_pb2_grpc.DirectoryServiceStub(self.channel("agency", A)).PublishProtocol(
            directory_pb2.PublishProtocolRequest(
                request_id=new_request_id(),
                protocol=directory_pb2.SignedProtocol(
                    protocol=signed.protocol_bytes,
                    signature_a=signed.signature_a,
                    signature_b=signed.signature_b,
                ),
            )
        )

    # --- what the two agencies do ----------------------------------------------------------------

    def create(self, sent: Sent) -> referral_pb2.Referral:
        parts = zip(sent.sealed.ciphertexts, sent.outer_wraps, strict=True)
        found: referral_pb2.Referral = self.a.CreateReferral(
            referral_pb2.CreateReferralRequest(
                request_id=new_request_id(),
                token=sent.token,
                manifest=sent.sealed.signed.manifest_bytes,
                signature=sent.sealed.signed.signature,
                parts=[
                    referral_pb2.SealedPart(ciphertext=ciphertext, outer_wrap=outer)
                    for ciphertext, outer in parts
                ],
            )
        ).referral
        return found

    def accept(self, sent: Sent, ack: pb.RecordAnswerResponse | None = None) -> Any:
        signed = self.consent.signed_answer(sent.sealed)
        ack = ack or self.consent.record_answer(signed)
        return self.b.AnswerReferral(
            referral_pb2.AnswerReferralRequest(
                request_id=new_request_id(),
                answer=signed.answer_bytes,
                signature=signed.signature,
                ack=ack.ack,
                ack_signature=ack.ack_signature,
            )
        ).referral

    def stop(self) -> None:
        for channel in self._channels:
            channel.close()
        self.referral.server.drain(0, settle_s=0)
        self.referral.close()
        self.consent.stop()

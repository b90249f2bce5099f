"""The referral service, real and in process, between two agencies whose keys the test holds.

Real gRPC over mTLS, real SQLite, real seals and signatures. Consent's side is played by the test:
it holds the token key and the ledger key, and a small ConsentService serves ``ListEvents`` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.consent.v1 import ledger_pb2
from safehand.events.v1 import events_pb2
from safehand.referral.v1 import (
    directory_pb2,
    directory_pb2_grpc,
    referral_pb2,
    referral_pb2_grpc,
)
from safehand_core.clock import ManualClock
from safehand_core.entropy import SeededEntropy
from safehand_formats import sealing, signing
from safehand_formats.keyrecord import SignedKeyRecord
from safehand_formats.note import NoteSigner
from safehand_formats.sharing_protocol import (
    SignedProtocol,
)
from safehand_referral_service.app import App, build
from safehand_referral_service.settings import ReferralSettings
from safehand_rpc.ca import DevCa
from safehand_rpc.dial import Channel, connect
from safehand_rpc.identity import spiffe_id
from safehand_rpc.server import RunningServer
from safehand_rpc.tls import TlsFiles

from tests.harness import databases
from tests.referral.consent_stand_in import ConsentStandIn, serve_consent
from tests.referral.making import (
    ENTROPY,
    ORIGIN,
    SERVICE,
    Agency,
    Draft,
    Making,
    rid,
)

OTHER_SERVICE = "legal-2"
"""A service of the recipient that may receive CARD alone."""
FOREIGN_SERVICE = "shelter-1"
"""A service of an organisation that no agency delivers."""

PACKAGE = {
    "organizations.csv": b"id,name,description\no-b,Bay Legal,-\no-x,Elsewhere,-\n",
    "locations.csv": b"id,location_type,name\nl-1,physical,Office\n",
    "services.csv": (
        b"id,organization_id,name,status,description\n"
        b"legal-1,o-b,Immigration help,active,visas and papers\n"
        b"legal-2,o-b,Housing court,active,evictions\n"
        b"shelter-1,o-x,Night shelter,active,beds\n"
    ),
}


class World(Making):
    """Everything, started. ``stop`` ends it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = ManualClock()
        self.ca = DevCa.create(root / "ca")
        self.channels: list[Channel] = []
        self.token_key = Ed25519PrivateKey.from_private_bytes(ENTROPY.bytes(32))
        self.ledger = NoteSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(ENTROPY.bytes(32)))
        self.consent = ConsentStandIn()  # type: ignore[abstract]  # ListEvents is all it serves
        self.consent_server = self._serve_consent()
        self.store = databases.of_service("referral", root / "data" / "referral.sqlite3")
        self.settings = self._settings()
        self.app = self._start()
        self.operator_directory = directory_pb2_grpc.DirectoryServiceStub(
            self.channel(self.party("operator", "referral"))
        )
        self.notify = referral_pb2_grpc.ReferralServiceStub(
            self.channel(self.party("service", "notify"))
        )
        self.a, self.b, self.c = (self.agency(f"{name}-agency") for name in "abc")

    # --- parts ---------------------------------------------------------------------------------

    def party(self, kind: Any, name: str, *, again: str = "") -> TlsFiles:
        """A certificate; ``again`` makes a second one for the same party."""
        directory = self.root / "tls" / f"{kind}-{name}{again}"
        if (directory / "cert.pem").exists():
            return TlsFiles.in_dir(directory)
        return self.ca.issue(directory, spiffe_id(kind, name))

    def channel(self, tls: TlsFiles) -> Channel:
        made = connect(f"127.0.0.1:{self.port}", tls, "referral", retry=False)
        self.channels.append(made)
        return made

    def agency(self, name: str) -> Agency:
        tls = self.party("agency", name)
        channel = self.channel(tls)
        _, recipient_public = sealing.generate_recipient_key(ENTROPY)
        return Agency(
            name,
            Ed25519PrivateKey.from_private_bytes(ENTROPY.bytes(32)),
            recipient_public,
            tls,
            referral_pb2_grpc.ReferralServiceStub(channel),
            directory_pb2_grpc.DirectoryServiceStub(channel),
        )

    def _serve_consent(self, address: str = "127.0.0.1:0") -> RunningServer:
        server = serve_consent(self.consent, self.party("service", "consent"), address)
        (self.root / "consent.address").write_text(f"127.0.0.1:{server.port}\n")
        return server

    def restart_consent(self) -> None:
        """Consent comes back, on another port."""
        self.consent_server = self._serve_consent()

    def stop_consent(self) -> None:
        self.consent_server.drain(0, settle_s=0)

    def _settings(self) -> ReferralSettings:
        public = signing.public_bytes(self.token_key)
        (self.root / "vkey").write_text(self.ledger.verifier.vkey + "\n")
        (self.root / "token.hex").write_text(public.hex() + "\n")
        tls = self.party("service", "referral")
        environ = {
            "DATA_DIR": self.root / "data",
            "KEYS_DIR": self.root / "keys",
            "TLS_CERT": tls.cert,
            "TLS_KEY": tls.key,
            "TLS_CA": tls.ca,
            "CONSENT_ADDRESS_FILE": self.root / "consent.address",
            "CONSENT_VKEY_FILE": self.root / "vkey",
            "TOKEN_KEY_FILE": self.root / "token.hex",
            "FIRST_FOLLOW_S": "1",
            "PROFILE": "test",
            "DATABASE_URL": self.store.url,
        }
        return ReferralSettings.load(
            {f"SAFEHAND_REFERRAL_{name}": str(value) for name, value in environ.items()}
        )

    def _start(self) -> App:
        app = build(self.settings, clock=self.clock, entropy=SeededEntropy(b"referral"))
        self.port = app.start()
        return app

    def restart(self) -> None:
        """The referral service ends and comes back on the same files and port."""
        self.stop_service()
        self.restart_after_stop()

    def restart_after_stop(self) -> None:
        self.settings = self.settings.model_copy(update={"listen": f"127.0.0.1:{self.port}"})
        self.app = self._start()

    def stop_service(self) -> None:
        self.app.server.drain(0, settle_s=0)
        self.app.close()

    def stop(self) -> None:
        for channel in self.channels:
            channel.close()
        self.stop_service()
        self.stop_consent()
        self.store.drop()

    # --- set-up --------------------------------------------------------------------------------

    def set_up(self) -> None:
        """Directory, agencies and a protocol between a and b."""
        self.import_package("sample", PACKAGE)
        for agency, organizations in ((self.a, ["o-a"]), (self.b, ["o-b"]), (self.c, ["o-c"])):
            self.register(agency, organizations)
        self.publish(self.protocol())
        self.operator_directory.SetServiceNeeds(
            directory_pb2.SetServiceNeedsRequest(
                request_id=rid(), service=SERVICE, categories=["NAME", "CONTACT"]
            )
        )

    def import_package(
        self, source: str, files: dict[str, bytes], *, skip_bad: bool = False
    ) -> Any:
        return self.operator_directory.ImportPackage(
            directory_pb2.ImportPackageRequest(
                request_id=rid(),
                source=source,
                files=[directory_pb2.PackageFile(name=n, content=c) for n, c in files.items()],
                skip_bad=skip_bad,
            )
        )

    def register(self, agency: Agency, organizations: Sequence[str]) -> Any:
        return self.operator_directory.RegisterAgency(
            directory_pb2.RegisterAgencyRequest(
                request_id=rid(),
                agency=agency.name,
                display_name=agency.name.title(),
                identity_key=agency.public,
                organizations=organizations,
            )
        )

    def publish(self, signed: SignedProtocol, by: Agency | None = None) -> Any:
        return (by or self.a).directory.PublishProtocol(
            directory_pb2.PublishProtocolRequest(
                request_id=rid(),
                protocol=directory_pb2.SignedProtocol(
                    protocol=signed.protocol_bytes,
                    signature_a=signed.signature_a,
                    signature_b=signed.signature_b,
                ),
            )
        )

    # --- a referral ----------------------------------------------------------------------------

    def create(self, draft: Draft | None = None) -> Draft:
        """A referral that exists."""
        draft = draft or self.draft()
        self.a.referral.CreateReferral(self.create_request(draft))
        return draft

    def answer(self, draft: Draft, answer: str, by: Agency | None = None, **options: Any) -> Any:
        by = by or (self.a if answer == "WITHDRAW" else self.b)
        request = self.answer_request(draft, answer, by, **options)
        return by.referral.AnswerReferral(request).referral

    # --- looking -------------------------------------------------------------------------------

    def state(self, draft: Draft, by: Agency | None = None) -> referral_pb2.Referral:
        response = (by or self.a).referral.GetReferral(
            referral_pb2.GetReferralRequest(referral=draft.referral)
        )
        found: referral_pb2.Referral = response.referral
        return found

    def fetch(self, draft: Draft, by: Agency | None = None) -> Any:
        return (by or self.b).referral.GetReferral(
            referral_pb2.GetReferralRequest(referral=draft.referral, with_parts=True)
        )

    def events(self) -> list[tuple[str, str, str]]:
        """All events so far: (type without prefix, audience, resource)."""
        response = self.notify.ListEvents(referral_pb2.ListEventsRequest())
        return [
            (
                events_pb2.EventType.Name(e.type).removeprefix("EVENT_TYPE_REFERRAL_"),
                e.audience,
                e.resource,
            )
            for e in response.events
        ]

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table but the memory of requests: what "nothing changed" means."""
        with self.app.context.engine.connect() as connection:
            names = self.store.tables()
            return {
                name: [
                    tuple(row)
                    for row in connection.exec_driver_sql(f'SELECT * FROM "{name}"').all()
                ]
                for name in names
            }

    # --- keys ----------------------------------------------------------------------------------

    def publish_key(
        self, agency: Agency, signed: SignedKeyRecord, receipt: ledger_pb2.Receipt
    ) -> Any:
        return agency.directory.PublishKey(
            directory_pb2.PublishKeyRequest(
                request_id=rid(),
                record=signed.record_bytes,
                signature=signed.signature,
                receipt=receipt,
            )
        )

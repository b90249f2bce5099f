"""The referral service, real and in process, between two agencies whose keys the test holds.

Real gRPC over mTLS, real SQLite, real seals and signatures. Consent's side is played by the test:
it holds the token key and the ledger key, and a small ConsentService serves ``ListEvents`` alone.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from safehand.consent.v1 import consent_pb2, consent_pb2_grpc, ledger_pb2
from safehand.events.v1 import events_pb2
from safehand.referral.v1 import (
    directory_pb2,
    directory_pb2_grpc,
    referral_pb2,
    referral_pb2_grpc,
)
from safehand_core.clock import ManualClock
from safehand_core.entropy import SeededEntropy, SystemEntropy
from safehand_core.ids import new_id, new_request_id
from safehand_formats import fields, merkle, sealing, signing, token, wraps
from safehand_formats.answer import Answer, AnswerAck, SignedAnswer, SignedAnswerAck
from safehand_formats.bodies import encode_body
from safehand_formats.checkpoint import Checkpoint
from safehand_formats.keyrecord import KeyRecord, SignedKeyRecord
from safehand_formats.kinds import Kind, key_tag
from safehand_formats.leaf import Leaf, body_commitment
from safehand_formats.manifest import Header, Manifest, PartLabel, SignedManifest
from safehand_formats.note import NoteSigner
from safehand_formats.proof import TlogProof
from safehand_formats.sharing_protocol import (
    LedgerPin,
    Party,
    SharingProtocol,
    SignedProtocol,
)
from safehand_referral_service.app import App, build
from safehand_referral_service.settings import ReferralSettings
from safehand_rpc.ca import DevCa
from safehand_rpc.dial import Channel, connect
from safehand_rpc.identity import spiffe_id
from safehand_rpc.policy import methods_of
from safehand_rpc.server import RunningServer, build_server
from safehand_rpc.tls import TlsFiles

ISSUER = "https://consent.safehand.example"
AUDIENCE = "https://referral.safehand.example"
ORIGIN = "ledger.safehand.example/1"
DAY_S = 24 * 3600
ENTROPY = SystemEntropy()

SERVICE = "legal-1"
"""A service of the recipient that may receive CARD, NAME and CONTACT."""
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


@dataclass(frozen=True)
class Agency:
    """One agency: identity key, recipient key, certificate, and stubs as it."""

    name: str
    private: Ed25519PrivateKey
    recipient_public: bytes
    tls: TlsFiles
    referral: Any
    directory: Any

    @property
    def public(self) -> bytes:
        return signing.public_bytes(self.private)

    @property
    def cert_der(self) -> bytes:
        return x509.load_pem_x509_certificate(self.tls.cert.read_bytes()).public_bytes(Encoding.DER)


@dataclass
class ConsentStandIn(consent_pb2_grpc.ConsentServiceServicer):
    """Serves consent's event sequence, and nothing else of consent."""

    events: list[events_pb2.Event] = field(default_factory=list)
    page: int = 500
    asked: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ListEvents(  # noqa: N802
        self, request: consent_pb2.ListEventsRequest, context: Any
    ) -> consent_pb2.ListEventsResponse:
        with self.lock:
            self.asked.append(request.after)
            found = [e for e in self.events if e.sequence > request.after]
        return consent_pb2.ListEventsResponse(events=found[: self.page])

    def say(self, type_: int, resource: str, *, audience: str = "service/referral") -> None:
        """One event, as consent would list it."""
        with self.lock:
            sequence = len(self.events) + 1
            event = events_pb2.Event(
                id=f"consent:{sequence}",
                type=events_pb2.EventType.ValueType(type_),
                sequence=sequence,
                audience=audience,
                resource=resource,
            )
            event.time.FromSeconds(1_790_000_000)
            self.events.append(event)

    def ended(self, grant: str) -> None:
        """As consent does it: one event for each agency, then the one for referral."""
        for audience in ("agency/a", "agency/b", "service/referral"):
            self.say(events_pb2.EVENT_TYPE_CONSENT_ENDED, f"grants/{grant}", audience=audience)

    def resumed(self, grant: str) -> None:
        for audience in ("agency/a", "agency/b", "service/referral"):
            self.say(events_pb2.EVENT_TYPE_CONSENT_RESUMED, f"grants/{grant}", audience=audience)

    def disclosed(self, referral: str) -> None:
        for audience in ("agency/a", "service/referral"):
            self.say(
                events_pb2.EVENT_TYPE_CONSENT_DISCLOSED,
                f"referrals/{referral}",
                audience=audience,
            )


def serve_consent(stand_in: ConsentStandIn, tls: TlsFiles, address: str) -> RunningServer:
    """A real gRPC server in consent's place."""
    descriptor = consent_pb2.DESCRIPTOR.services_by_name["ConsentService"]
    policy = {path: frozenset({"service:referral"}) for path in methods_of(descriptor)}
    server = build_server(
        services=[(consent_pb2_grpc.add_ConsentServiceServicer_to_server, stand_in, descriptor)],
        policy=policy,
        tls=tls,
        clock=ManualClock(),
        address=address,
        threads=2,
    )
    server.start()
    return server


@dataclass(frozen=True)
class Draft:
    """A sealed referral, before any of it is sent."""

    signed: SignedManifest
    ciphertexts: tuple[bytes, ...]
    outer_wraps: tuple[bytes, ...]

    @property
    def manifest(self) -> Manifest:
        return self.signed.manifest

    @property
    def referral(self) -> str:
        return self.manifest.header.referral

    @property
    def grant(self) -> str:
        return self.manifest.header.grant


class World:
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

    def protocol(self, **changes: Any) -> SignedProtocol:
        a, b = (Party(x.name, x.public, "duty desk") for x in (self.a, self.b))
        made = SharingProtocol(
            id=new_id(ENTROPY),
            a=a,
            b=b,
            purposes=("housing", "legal"),
            categories=("CARD", "CONTACT", "HEALTH", "NAME"),
            retention_days=365,
            not_before=self.clock.wall() - DAY_S,
            not_after=self.clock.wall() + 365 * DAY_S,
            ledger=LedgerPin(ORIGIN, self.ledger.verifier.vkey),
        )
        return SignedProtocol.sign(replace(made, **changes), self.a.private, self.b.private)

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

    def draft(
        self,
        categories: Sequence[str] = ("CARD", "NAME"),
        *,
        private: Ed25519PrivateKey | None = None,
        **changes: Any,
    ) -> Draft:
        """Seal something for b as a; ``changes`` replace fields of the header."""
        private = private or self.a.private
        header = Header(
            **{
                "referral": new_id(ENTROPY),
                "grant": new_id(ENTROPY),
                "sender": self.a.name,
                "sender_key": signing.identity_key_id(signing.public_bytes(private)),
                "recipient": self.b.name,
                "recipient_key": sealing.recipient_key_id(self.b.recipient_public),
                "purpose": "legal",
                "service": SERVICE,
                "urgency": "urgent",
                "created": self.clock.wall(),
                "not_after": self.clock.wall() + 30 * DAY_S,
                **changes,
            }
        )
        sealed = [
            sealing.seal_part(
                header,
                PartLabel(number, category, "card" if category == "CARD" else "identity", 1, 1024),
                f"content of {category}".encode(),
                self.b.recipient_public,
                ENTROPY,
            )
            for number, category in enumerate(categories)
        ]
        manifest = Manifest(header, tuple(part.part for part in sealed))
        signed = SignedManifest.sign(manifest, private)
        outer = tuple(
            wraps.outer_wrap(ENTROPY.bytes(32), signed.digest, number, part.inner_wrap, ENTROPY)
            for number, part in enumerate(sealed)
        )
        return Draft(signed, tuple(part.ciphertext for part in sealed), outer)

    def claims(self, draft: Draft, **changes: Any) -> token.TokenClaims:
        """What consent would put into the token for ``draft``."""
        now = self.clock.wall()
        manifest = draft.manifest
        values = {
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "issued_at": now,
            "not_before": now,
            "expires_at": now + 300,
            "jti": new_id(ENTROPY),
            "certificate": token.certificate_thumbprint(self.a.cert_der),
            "recipient": manifest.header.recipient,
            "purpose": manifest.header.purpose,
            "categories": manifest.categories,
            "manifest_digest": draft.signed.digest,
            "outer_wraps_digest": wraps.outer_wraps_digest(draft.outer_wraps),
            "ledger_origin": ORIGIN,
            "ledger_index": 7,
            "leaf_hash": bytes(32),
            "revoke_tag": bytes(32),
        }
        return token.TokenClaims(**{**values, **changes})

    def create_request(
        self, draft: Draft, text: str | None = None, **changes: Any
    ) -> referral_pb2.CreateReferralRequest:
        """The whole request; ``text`` replaces the token, ``changes`` its claims."""
        if text is None:
            text = token.mint(self.claims(draft, **changes), self.token_key)
        return referral_pb2.CreateReferralRequest(
            request_id=rid(),
            token=text,
            manifest=draft.signed.manifest_bytes,
            signature=draft.signed.signature,
            parts=[
                referral_pb2.SealedPart(ciphertext=c, outer_wrap=w)
                for c, w in zip(draft.ciphertexts, draft.outer_wraps, strict=True)
            ],
        )

    def create(self, draft: Draft | None = None) -> Draft:
        """A referral that exists."""
        draft = draft or self.draft()
        self.a.referral.CreateReferral(self.create_request(draft))
        return draft

    def answer_request(
        self,
        draft: Draft,
        answer: str,
        by: Agency | None = None,
        *,
        reason: str | None = None,
        private: Ed25519PrivateKey | None = None,
        ack_key: Ed25519PrivateKey | None = None,
        ack_of: bytes | None = None,
        **changes: Any,
    ) -> referral_pb2.AnswerReferralRequest:
        """A signed answer with consent's acknowledgement."""
        by = by or (self.a if answer == "WITHDRAW" else self.b)
        if reason is None:
            reason = "" if answer == "ACCEPT" else "no_capacity"
        said = Answer(
            **{
                "answer": answer,
                "manifest": draft.signed.digest.hex(),
                "referral": draft.referral,
                "agency": by.name,
                "reason": reason,
                "at": self.clock.wall(),
                **changes,
            }
        )
        signed = SignedAnswer.sign(said, private or by.private)
        acknowledged = AnswerAck((ack_of or signed.digest).hex(), self.clock.wall())
        ack = SignedAnswerAck.sign(acknowledged, ack_key or self.token_key)
        return referral_pb2.AnswerReferralRequest(
            request_id=rid(),
            answer=signed.answer_bytes,
            signature=signed.signature,
            ack=ack.ack_bytes,
            ack_signature=ack.signature,
        )

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
            names = connection.exec_driver_sql(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).scalars()
            return {
                name: [
                    tuple(row)
                    for row in connection.exec_driver_sql(f'SELECT * FROM "{name}"').all()
                ]
                for name in names.all()
                if not name.startswith("sqlite_")
            }

    # --- keys ----------------------------------------------------------------------------------

    def key_record(
        self,
        agency: Agency,
        sequence: int,
        *,
        private: Ed25519PrivateKey | None = None,
        **changes: Any,
    ) -> SignedKeyRecord:
        now = self.clock.wall()
        record = KeyRecord(
            **{
                "agency": agency.name,
                "sequence": sequence,
                "public": agency.recipient_public,
                "not_before": now,
                "not_after": now + 90 * DAY_S,
                **changes,
            }
        )
        return SignedKeyRecord.sign(record, private or agency.private)

    def key_receipt(
        self,
        signed: SignedKeyRecord,
        *,
        signer: NoteSigner | None = None,
        kind: Kind = Kind.KEY,
        tag: bytes | None = None,
        body: dict[str, Any] | None = None,
        salt: bytes | None = None,
    ) -> ledger_pb2.Receipt:
        """A receipt as the ledger gives it, at index 1 of a tree of 3 leaves."""
        record = signed.record
        said = {
            "kind": "KEY",
            "agency": record.agency,
            "sequence": record.sequence,
            "record": signed.digest.hex(),
            "at": self.clock.wall(),
            **(body or {}),
        }
        encoded, salt = encode_body(Kind.KEY, said), salt or ENTROPY.bytes(32)
        leaf = Leaf(
            kind,
            tag if tag is not None else key_tag(record.agency, record.sequence),
            body_commitment(salt, encoded),
            ENTROPY.bytes(32),
        ).encode()
        hashes = [merkle.leaf_hash(x) for x in (b"before", leaf, b"after")]
        top = merkle.node_hash(merkle.node_hash(hashes[0], hashes[1]), hashes[2])
        signer = signer or self.ledger
        note = Checkpoint(signer.name, 3, top).sign(signer)
        proof = TlogProof(1, (hashes[0], hashes[2]), note)
        return ledger_pb2.Receipt(
            index=1, leaf=leaf, proof=proof.to_text(), salt=salt, body=encoded
        )

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


def rid() -> str:
    """A fresh request id."""
    return new_request_id(ENTROPY)


def thumbprint(agency: Agency) -> bytes:
    return fields.sha256(agency.cert_der)

"""Two agencies and a ledger key, as one client knows them, and a directory made by the test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.consent.v1 import ledger_pb2
from safehand.referral.v1 import directory_pb2, referral_pb2
from safehand_client import AgencyClient, Party
from safehand_client._internal.calls import Stubs
from safehand_client.trust import TrustStore
from safehand_core.clock import ManualClock
from safehand_core.entropy import SeededEntropy
from safehand_core.words import CATEGORIES, PURPOSES
from safehand_formats import merkle, sealing, signing
from safehand_formats.bodies import encode_body
from safehand_formats.checkpoint import Checkpoint
from safehand_formats.keyrecord import KeyRecord, SignedKeyRecord
from safehand_formats.kinds import Kind, key_tag
from safehand_formats.leaf import Leaf, body_commitment
from safehand_formats.manifest import Header, Manifest, PartLabel, SignedManifest, stage_of
from safehand_formats.note import NoteSigner
from safehand_formats.proof import TlogProof
from safehand_formats.sharing_protocol import LedgerPin, SharingProtocol, SignedProtocol
from safehand_formats.sharing_protocol import Party as End

ORIGIN = "ledger.safehand.example/test"
OWN, PEER = "agency-a", "agency-b"
REFERRAL = "3" * 32
DAY_S = 24 * 3600


@dataclass
class Scene:
    """``OWN``'s folder, and everybody's private keys."""

    root: Path
    clock: ManualClock = field(default_factory=ManualClock)
    entropy: SeededEntropy = field(default_factory=SeededEntropy)
    peer_identity: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    log_key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def __post_init__(self) -> None:
        self.party = Party(OWN, self.root / OWN)
        self.party.trust.mkdir(parents=True)
        self.ledger = NoteSigner(ORIGIN, self.log_key)
        (self.party.trust / "ledger.vkey").write_text(self.ledger.verifier.vkey + "\n")
        self.identity = self.party.keys.ed25519("identity")
        self.trust = TrustStore(self.party.trust)
        public = signing.public_bytes(self.peer_identity)
        self.trust.pin_peer(PEER, public, signing.identity_key_id(public))

    # --- what the two agreed ---------------------------------------------------------------------

    def protocol(self, **changes: Any) -> SharingProtocol:
        vkey = self.ledger.verifier.vkey
        values: dict[str, Any] = {
            "id": "1" * 32,
            "a": End(OWN, signing.public_bytes(self.identity), "desk"),
            "b": End(PEER, signing.public_bytes(self.peer_identity), "desk"),
            "purposes": tuple(sorted(PURPOSES)),
            "categories": tuple(sorted(CATEGORIES)),
            "retention_days": 90,
            "not_before": self.clock.wall() - DAY_S,
            "not_after": self.clock.wall() + 365 * DAY_S,
            "ledger": LedgerPin(ORIGIN, vkey),
        }
        return SharingProtocol(**{**values, **changes})

    def signed(self, protocol: SharingProtocol | None = None) -> SignedProtocol:
        return SignedProtocol.sign(protocol or self.protocol(), self.identity, self.peer_identity)

    # --- the peer's key --------------------------------------------------------------------------

    def key(self, **changes: Any) -> SignedKeyRecord:
        signer = changes.pop("signer", self.peer_identity)
        _, public = sealing.generate_recipient_key(self.entropy)
        now = self.clock.wall()
        values = {"agency": PEER, "sequence": 0, "public": public, "not_before": now}
        record = KeyRecord(**{**values, "not_after": now + 90 * DAY_S, **changes})
        return SignedKeyRecord.sign(record, signer)

    def receipt(self, signed: SignedKeyRecord) -> ledger_pb2.Receipt:
        """Of the record's KEY leaf, alone in its tree."""
        record = signed.record
        body = encode_body(
            Kind.KEY,
            {
                "kind": "KEY",
                "agency": record.agency,
                "sequence": record.sequence,
                "record": signed.digest.hex(),
                "at": self.clock.wall(),
            },
        )
        salt = bytes(32)
        tag = key_tag(record.agency, record.sequence)
        leaf = Leaf(Kind.KEY, tag, body_commitment(salt, body), bytes(32)).encode()
        note = Checkpoint(ORIGIN, 1, merkle.leaf_hash(leaf)).sign(self.ledger)
        proof = TlogProof(0, (), note).to_text()
        return ledger_pb2.Receipt(index=0, leaf=leaf, proof=proof, salt=salt, body=body)

    # --- a referral that the peer sends ----------------------------------------------------------

    def served(
        self, categories: Sequence[str] = ("CARD", "NAME"), **changes: Any
    ) -> referral_pb2.GetReferralResponse:
        """What the referral service would hand out, sealed to ``public``, else to a key that nobody
        holds; other ``changes`` replace fields of the header."""
        public = changes.pop("public", None) or sealing.generate_recipient_key(self.entropy)[1]
        now = self.clock.wall()
        values: dict[str, Any] = {
            "referral": REFERRAL,
            "grant": "2" * 32,
            "sender": PEER,
            "sender_key": signing.identity_key_id(signing.public_bytes(self.peer_identity)),
            "recipient": OWN,
            "recipient_key": sealing.recipient_key_id(public),
            "purpose": "housing",
            "service": "svc-1",
            "urgency": "normal",
            "created": now,
            "not_after": now + 30 * DAY_S,
        }
        header = Header(**{**values, **changes})
        parts = [
            sealing.seal_part(
                header,
                PartLabel(number, category, stage_of(category), 1, 1024),
                b"",
                public,
                self.entropy,
            )
            for number, category in enumerate(categories)
        ]
        manifest = Manifest(header, tuple(made.part for made in parts))
        signed = SignedManifest.sign(manifest, self.peer_identity)
        return referral_pb2.GetReferralResponse(
            referral=referral_pb2.Referral(referral=header.referral),
            manifest=signed.manifest_bytes,
            signature=signed.signature,
            parts=[
                referral_pb2.SealedPart(ciphertext=made.ciphertext, outer_wrap=bytes(1196))
                for made in parts
            ],
        )

    # --- the client ------------------------------------------------------------------------------

    def recipient(self, answer: referral_pb2.GetReferralResponse) -> AgencyClient:
        """``OWN``'s client, before a referral service that serves ``answer``."""
        referral: Any = Referrals(answer)
        nobody: Any = Silent()
        return self._client(Stubs(nobody, nobody, referral, nobody, nobody, ()))

    def client(self, served: SignedKeyRecord | None = None) -> AgencyClient:
        """``OWN``'s client, before a directory that serves ``served`` for whoever is asked for."""
        answer = directory_pb2.GetKeyResponse()
        if served is not None:
            answer.record, answer.signature = served.record_bytes, served.signature
            answer.receipt.CopyFrom(self.receipt(served))
        nobody: Any = Silent()
        directory: Any = Directory(answer)
        return self._client(Stubs(nobody, nobody, nobody, directory, nobody, ()))

    def _client(self, stubs: Stubs) -> AgencyClient:
        return AgencyClient(self.party, clock=self.clock, entropy=self.entropy, stubs=stubs)


class Silent:
    """A service that must not be asked."""

    def __getattr__(self, method: str) -> Any:
        raise AssertionError(f"{method} was called")


@dataclass
class Directory:
    """Serves one key."""

    answer: directory_pb2.GetKeyResponse

    def GetKey(self, request: Any, timeout: float) -> Any:  # noqa: N802  the method's own name
        return self.answer


@dataclass
class Referrals:
    """Serves one referral."""

    answer: referral_pb2.GetReferralResponse

    def GetReferral(self, request: Any, timeout: float) -> Any:  # noqa: N802  the method's own name
        return self.answer

"""What agencies and consent sign and seal, made by the test that holds all their keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from safehand.consent.v1 import ledger_pb2
from safehand.referral.v1 import (
    referral_pb2,
)
from safehand_core.clock import ManualClock
from safehand_core.entropy import SystemEntropy
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
from safehand_rpc.tls import TlsFiles

ISSUER = "https://consent.safehand.example"
AUDIENCE = "https://referral.safehand.example"
ORIGIN = "ledger.safehand.example/1"
DAY_S = 24 * 3600
ENTROPY = SystemEntropy()

SERVICE = "legal-1"
"""A service of the recipient that may receive CARD, NAME and CONTACT."""


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


class Making:
    """Makes protocols, drafts, tokens, answers, keys and receipts; ``changes`` spoil them."""

    clock: ManualClock
    a: Agency
    b: Agency
    token_key: Ed25519PrivateKey
    ledger: NoteSigner

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


def rid() -> str:
    """A fresh request id."""
    return new_request_id(ENTROPY)


def thumbprint(agency: Agency) -> bytes:
    return fields.sha256(agency.cert_der)

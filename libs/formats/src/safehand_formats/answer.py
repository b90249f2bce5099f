"""The answer to a referral, and consent's word that it has it (docs/formats.md section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand_core import canonical, ids
from safehand_core.canonical import Json
from safehand_core.words import DECLINE_REASONS

from safehand_formats import fields, signing

CONTEXT: Final = "safehand/v1/answer"
ACK_CONTEXT: Final = "safehand/v1/answer-ack"
MAX_BYTES: Final = 4096

ACCEPT: Final = "ACCEPT"
DECLINE: Final = "DECLINE"
WITHDRAW: Final = "WITHDRAW"
ANSWERS: Final = (ACCEPT, DECLINE, WITHDRAW)
"""ACCEPT and DECLINE are the recipient's to sign, WITHDRAW the sender's."""

_KEYS: Final = ("v", "answer", "manifest", "referral", "agency", "reason", "at")
_ACK_KEYS: Final = ("v", "answer", "at")


@dataclass(frozen=True, slots=True)
class Answer:
    """What ``agency`` says to the referral whose manifest digest is ``manifest`` (64 hex).

    ``reason`` is a code word of ``DECLINE_REASONS``, empty for ACCEPT. Raises MALFORMED.
    """

    answer: str
    manifest: str
    referral: str
    agency: str
    reason: str
    at: int

    def __post_init__(self) -> None:
        fields.one_of(self.answer, ANSWERS, "answer")
        fields.shape(self.manifest, ids.HEX32_PATTERN, "manifest")
        fields.shape(self.referral, ids.HEX16_PATTERN, "referral")
        fields.shape(self.agency, ids.AGENCY_PATTERN, "agency")
        fields.one_of(self.reason, ("",) if self.answer == ACCEPT else DECLINE_REASONS, "reason")
        fields.instant(self.at, "at")

    def encode(self) -> bytes:
        value: dict[str, Json] = {
            "v": 1,
            "answer": self.answer,
            "manifest": self.manifest,
            "referral": self.referral,
            "agency": self.agency,
            "reason": self.reason,
            "at": self.at,
        }
        return canonical.encode(value)

    @classmethod
    def decode(cls, data: bytes) -> Answer:
        obj = fields.exact(canonical.decode(data, max_bytes=MAX_BYTES), _KEYS, "answer")
        fields.version(obj)
        return cls(
            answer=fields.text(obj, "answer"),
            manifest=fields.text(obj, "manifest"),
            referral=fields.text(obj, "referral"),
            agency=fields.text(obj, "agency"),
            reason=fields.text(obj, "reason"),
            at=fields.number(obj, "at"),
        )


@dataclass(frozen=True, slots=True)
class SignedAnswer:
    """Answer bytes with the agency's signature. Trust neither before ``verify``."""

    answer_bytes: bytes
    signature: bytes

    @classmethod
    def sign(cls, answer: Answer, private: Ed25519PrivateKey) -> SignedAnswer:
        data = answer.encode()
        return cls(data, signing.sign(private, CONTEXT, data))

    @property
    def answer(self) -> Answer:
        """The decoded answer; raises MALFORMED. Says nothing about who signed it."""
        return Answer.decode(self.answer_bytes)

    @property
    def digest(self) -> bytes:
        """32 bytes; the ``accept`` of a later DISCLOSE body is its hex."""
        return fields.signed_digest(CONTEXT, self.answer_bytes, self.signature)

    def verify(self, agency_public: bytes) -> Answer:
        """The answer, if ``agency_public`` (32 bytes) signed it; MALFORMED, SIGNATURE_INVALID.

        Which party may give which answer is for the caller to compare with the manifest.
        """
        answer = self.answer
        signing.verify(agency_public, CONTEXT, self.answer_bytes, self.signature)
        return answer


@dataclass(frozen=True, slots=True)
class AnswerAck:
    """Consent has the signed answer whose digest is ``answer`` (64 hex) on file since ``at``."""

    answer: str
    at: int

    def __post_init__(self) -> None:
        fields.shape(self.answer, ids.HEX32_PATTERN, "answer")
        fields.instant(self.at, "at")

    def encode(self) -> bytes:
        return canonical.encode({"v": 1, "answer": self.answer, "at": self.at})

    @classmethod
    def decode(cls, data: bytes) -> AnswerAck:
        obj = fields.exact(canonical.decode(data, max_bytes=MAX_BYTES), _ACK_KEYS, "answer_ack")
        fields.version(obj)
        return cls(answer=fields.text(obj, "answer"), at=fields.number(obj, "at"))


@dataclass(frozen=True, slots=True)
class SignedAnswerAck:
    """Acknowledgement bytes, signed with consent's token key."""

    ack_bytes: bytes
    signature: bytes

    @classmethod
    def sign(cls, ack: AnswerAck, private: Ed25519PrivateKey) -> SignedAnswerAck:
        data = ack.encode()
        return cls(data, signing.sign(private, ACK_CONTEXT, data))

    @property
    def ack(self) -> AnswerAck:
        """The decoded acknowledgement; raises MALFORMED. Says nothing about who signed it."""
        return AnswerAck.decode(self.ack_bytes)

    @property
    def digest(self) -> bytes:
        return fields.signed_digest(ACK_CONTEXT, self.ack_bytes, self.signature)

    def verify(self, token_public: bytes) -> AnswerAck:
        """The acknowledgement, if consent's token key signed it; MALFORMED, SIGNATURE_INVALID.

        That it is for the answer at hand is for the caller to compare: ``ack.answer``.
        """
        ack = self.ack
        signing.verify(token_public, ACK_CONTEXT, self.ack_bytes, self.signature)
        return ack

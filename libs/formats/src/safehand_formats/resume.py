"""A releasing agency's signed word that two of its workers resume for her (docs/formats.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand_core import canonical, ids
from safehand_core.canonical import Json

from safehand_formats import fields, signing

CONTEXT: Final = "safehand/v1/resume"
MAX_BYTES: Final = 2048
_KEYS: Final = ("v", "agency", "grant", "worker_ref", "second_ref", "request_id", "at")


@dataclass(frozen=True, slots=True)
class Resume:
    """``worker_ref`` and ``second_ref`` of ``agency`` heard her code word and resume ``grant``.

    ``at`` is the agency's clock, seconds since the epoch. The word itself is not in it: it travels
    beside, so that nobody who keeps the signed bytes keeps the word. A bad field, or one worker
    twice, raises MALFORMED.
    """

    agency: str
    grant: str
    worker_ref: str
    second_ref: str
    request_id: str
    at: int

    def __post_init__(self) -> None:
        fields.shape(self.agency, ids.AGENCY_PATTERN, "agency")
        fields.shape(self.grant, ids.HEX16_PATTERN, "grant")
        fields.shape(self.worker_ref, ids.REF_PATTERN, "worker_ref")
        fields.shape(self.second_ref, ids.REF_PATTERN, "second_ref")
        fields.shape(self.request_id, ids.REQUEST_ID_PATTERN, "request_id")
        fields.instant(self.at, "at")
        if self.worker_ref == self.second_ref:
            raise fields.malformed("second_ref", "one person is not two")

    def encode(self) -> bytes:
        value: dict[str, Json] = {
            "v": 1,
            "agency": self.agency,
            "grant": self.grant,
            "worker_ref": self.worker_ref,
            "second_ref": self.second_ref,
            "request_id": self.request_id,
            "at": self.at,
        }
        return canonical.encode(value)

    @classmethod
    def decode(cls, data: bytes) -> Resume:
        obj = fields.exact(canonical.decode(data, max_bytes=MAX_BYTES), _KEYS, "resume")
        fields.version(obj)
        return cls(
            agency=fields.text(obj, "agency"),
            grant=fields.text(obj, "grant"),
            worker_ref=fields.text(obj, "worker_ref"),
            second_ref=fields.text(obj, "second_ref"),
            request_id=fields.text(obj, "request_id"),
            at=fields.number(obj, "at"),
        )


@dataclass(frozen=True, slots=True)
class SignedResume:
    """Resume bytes with the agency's signature. Trust neither before ``verify``."""

    resume_bytes: bytes
    signature: bytes

    @classmethod
    def sign(cls, resume: Resume, private: Ed25519PrivateKey) -> SignedResume:
        data = resume.encode()
        return cls(data, signing.sign(private, CONTEXT, data))

    @property
    def resume(self) -> Resume:
        """The decoded message; raises MALFORMED. Says nothing about who signed it."""
        return Resume.decode(self.resume_bytes)

    @property
    def digest(self) -> bytes:
        return fields.signed_digest(CONTEXT, self.resume_bytes, self.signature)

    def verify(self, agency_public: bytes) -> Resume:
        """The message, if the agency's key signed it; MALFORMED, SIGNATURE_INVALID."""
        resume = self.resume
        signing.verify(agency_public, CONTEXT, self.resume_bytes, self.signature)
        return resume

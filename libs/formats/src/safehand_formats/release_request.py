"""A recipient's signed wish to open one part (docs/formats.md section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand_core import canonical, ids
from safehand_core.canonical import Json

from safehand_formats import fields, signing
from safehand_formats.manifest import MAX_PARTS

CONTEXT: Final = "safehand/v1/release"
MAX_BYTES: Final = 4096
_KEYS: Final = ("v", "manifest", "referral", "part", "recipient", "worker_ref", "request_id")


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """``worker_ref`` of ``recipient`` looks at ``part`` of the manifest with that digest (64 hex).

    ``request_id`` is a lower-case UUID: the same id is the same look. A bad field raises MALFORMED.
    """

    manifest: str
    referral: str
    part: int
    recipient: str
    worker_ref: str
    request_id: str

    def __post_init__(self) -> None:
        fields.shape(self.manifest, ids.HEX32_PATTERN, "manifest")
        fields.shape(self.referral, ids.HEX16_PATTERN, "referral")
        fields.within(self.part, 0, MAX_PARTS - 1, "part")
        fields.shape(self.recipient, ids.AGENCY_PATTERN, "recipient")
        fields.shape(self.worker_ref, ids.REF_PATTERN, "worker_ref")
        fields.shape(self.request_id, ids.REQUEST_ID_PATTERN, "request_id")

    def encode(self) -> bytes:
        value: dict[str, Json] = {
            "v": 1,
            "manifest": self.manifest,
            "referral": self.referral,
            "part": self.part,
            "recipient": self.recipient,
            "worker_ref": self.worker_ref,
            "request_id": self.request_id,
        }
        return canonical.encode(value)

    @classmethod
    def decode(cls, data: bytes) -> ReleaseRequest:
        obj = fields.exact(canonical.decode(data, max_bytes=MAX_BYTES), _KEYS, "release_request")
        fields.version(obj)
        return cls(
            manifest=fields.text(obj, "manifest"),
            referral=fields.text(obj, "referral"),
            part=fields.number(obj, "part"),
            recipient=fields.text(obj, "recipient"),
            worker_ref=fields.text(obj, "worker_ref"),
            request_id=fields.text(obj, "request_id"),
        )


@dataclass(frozen=True, slots=True)
class SignedReleaseRequest:
    """Request bytes with the recipient's signature. Trust neither before ``verify``."""

    request_bytes: bytes
    signature: bytes

    @classmethod
    def sign(cls, request: ReleaseRequest, private: Ed25519PrivateKey) -> SignedReleaseRequest:
        data = request.encode()
        return cls(data, signing.sign(private, CONTEXT, data))

    @property
    def request(self) -> ReleaseRequest:
        """The decoded request; raises MALFORMED. Says nothing about who signed it."""
        return ReleaseRequest.decode(self.request_bytes)

    @property
    def digest(self) -> bytes:
        return fields.signed_digest(CONTEXT, self.request_bytes, self.signature)

    def verify(self, recipient_public: bytes) -> ReleaseRequest:
        """The request, if the recipient's key signed it; MALFORMED, SIGNATURE_INVALID."""
        request = self.request
        signing.verify(recipient_public, CONTEXT, self.request_bytes, self.signature)
        return request

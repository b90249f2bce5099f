"""A recipient key, vouched for by the agency's own identity key (docs/formats.md section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand_core import canonical, ids
from safehand_core.canonical import MAX_INTEGER, Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_formats import fields, sealing, signing

CONTEXT: Final = "safehand/v1/key-record"
MAX_BYTES: Final = 4096
_KEYS: Final = ("v", "agency", "sequence", "kid", "suite", "public", "not_before", "not_after")


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One recipient key of ``agency``, the ``sequence``-th (from 0).

    ``public`` is the 1216-byte key, ``kid`` its id; times are seconds since the epoch and the key
    is meant for manifests whose whole time lies in ``not_before`` to ``not_after``. Constructing
    one with a bad field raises MALFORMED.
    """

    agency: str
    sequence: int
    public: bytes
    not_before: int
    not_after: int

    def __post_init__(self) -> None:
        fields.shape(self.agency, ids.AGENCY_PATTERN, "agency")
        fields.within(self.sequence, 0, MAX_INTEGER, "sequence")
        sealing.load_recipient_public(self.public)
        fields.instant(self.not_before, "not_before")
        fields.instant(self.not_after, "not_after")
        if self.not_before >= self.not_after:
            raise fields.malformed("not_after", "the key ends before it begins")

    @property
    def kid(self) -> str:
        """The recipient key id (64 hex)."""
        return sealing.recipient_key_id(self.public)

    def encode(self) -> bytes:
        value: dict[str, Json] = {
            "v": 1,
            "agency": self.agency,
            "sequence": self.sequence,
            "kid": self.kid,
            "suite": sealing.SUITE,
            "public": fields.to_b64(self.public),
            "not_before": self.not_before,
            "not_after": self.not_after,
        }
        return canonical.encode(value)

    @classmethod
    def decode(cls, data: bytes) -> KeyRecord:
        obj = fields.exact(canonical.decode(data, max_bytes=MAX_BYTES), _KEYS, "key_record")
        fields.version(obj)
        fields.one_of(obj["suite"], (sealing.SUITE,), "suite")
        record = cls(
            agency=fields.text(obj, "agency"),
            sequence=fields.number(obj, "sequence"),
            public=fields.from_b64(fields.text(obj, "public"), "public"),
            not_before=fields.number(obj, "not_before"),
            not_after=fields.number(obj, "not_after"),
        )
        if fields.text(obj, "kid") != record.kid:
            raise fields.malformed("kid", "kid is not the key's id")
        return record

    def covers(self, not_after: int, *, now: int | None = None) -> None:
        """Return if the key outlives a manifest that ends at ``not_after``.

        Raises KEY_ENDS_TOO_SOON; with ``now``, KEY_UNKNOWN where the key is not yet valid.
        """
        if self.not_after < not_after:
            raise SafehandError(Reason.KEY_ENDS_TOO_SOON)
        if now is not None and now < self.not_before:
            raise SafehandError(Reason.KEY_UNKNOWN, "the key is not valid yet")


@dataclass(frozen=True, slots=True)
class SignedKeyRecord:
    """Record bytes with the agency's signature. Trust neither before ``verify``."""

    record_bytes: bytes
    signature: bytes

    @classmethod
    def sign(cls, record: KeyRecord, private: Ed25519PrivateKey) -> SignedKeyRecord:
        data = record.encode()
        return cls(data, signing.sign(private, CONTEXT, data))

    @property
    def record(self) -> KeyRecord:
        """The decoded record; raises MALFORMED. Says nothing about who signed it."""
        return KeyRecord.decode(self.record_bytes)

    @property
    def digest(self) -> bytes:
        """32 bytes; the ``record`` of a KEY leaf's body is its hex."""
        return fields.signed_digest(CONTEXT, self.record_bytes, self.signature)

    def verify(self, identity_public: bytes) -> KeyRecord:
        """The record, if the agency's pinned identity key (32 bytes) signed it.

        Raises MALFORMED or SIGNATURE_INVALID. That the record is of the agency whose key was
        pinned is for the caller to compare: ``record.agency``.
        """
        record = self.record
        signing.verify(identity_public, CONTEXT, self.record_bytes, self.signature)
        return record

    def covers(self, not_after: int, *, now: int | None = None) -> None:
        """As ``KeyRecord.covers``."""
        self.record.covers(not_after, now=now)

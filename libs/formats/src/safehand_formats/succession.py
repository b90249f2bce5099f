"""One identity key of an agency follows another, by the old key's word (docs/formats.md section 5).

The old key signs, so nobody else names a successor. The new key signs too, so nobody passes
another agency's key off as its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand_core import canonical, ids
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_formats import fields, signing

CONTEXT: Final = "safehand/v1/succession"
MAX_BYTES: Final = 1024
OVERLAP_MAX_S: Final = 90 * 24 * 3600
"""Longest time from ``not_before`` to ``old_until``, in seconds: an old key does not stay on."""
_KEYS: Final = ("v", "agency", "old", "new", "not_before", "old_until")


@dataclass(frozen=True, slots=True)
class Succession:
    """``new`` follows ``old`` (both 32-byte Ed25519 public keys) as ``agency``'s identity key.

    Times are seconds since the epoch: the new key signs from ``not_before`` on, and what the old
    one signed at ``old_until`` or later is refused. A bad field raises MALFORMED.
    """

    agency: str
    old: bytes
    new: bytes
    not_before: int
    old_until: int

    def __post_init__(self) -> None:
        fields.shape(self.agency, ids.AGENCY_PATTERN, "agency")
        fields.octets(self.old, fields.DIGEST_BYTES, "old")
        fields.octets(self.new, fields.DIGEST_BYTES, "new")
        fields.instant(self.not_before, "not_before")
        fields.instant(self.old_until, "old_until")
        if self.old == self.new:
            raise fields.malformed("new", "a key does not follow itself")
        if not self.not_before <= self.old_until <= self.not_before + OVERLAP_MAX_S:
            raise fields.malformed("old_until", "the overlap is negative or too long")

    def encode(self) -> bytes:
        value: dict[str, Json] = {
            "v": 1,
            "agency": self.agency,
            "old": self.old.hex(),
            "new": self.new.hex(),
            "not_before": self.not_before,
            "old_until": self.old_until,
        }
        return canonical.encode(value)

    @classmethod
    def decode(cls, data: bytes) -> Succession:
        """Raises MALFORMED."""
        obj = fields.exact(canonical.decode(data, max_bytes=MAX_BYTES), _KEYS, "succession")
        fields.version(obj)
        return cls(
            agency=fields.text(obj, "agency"),
            old=fields.from_hex(fields.text(obj, "old"), fields.DIGEST_BYTES, "old"),
            new=fields.from_hex(fields.text(obj, "new"), fields.DIGEST_BYTES, "new"),
            not_before=fields.number(obj, "not_before"),
            old_until=fields.number(obj, "old_until"),
        )


@dataclass(frozen=True, slots=True)
class SignedSuccession:
    """Succession bytes with both signatures. Trust nothing in it before ``verify``."""

    succession_bytes: bytes
    signature_old: bytes
    signature_new: bytes

    @classmethod
    def sign(
        cls, succession: Succession, old: Ed25519PrivateKey, new: Ed25519PrivateKey
    ) -> SignedSuccession:
        """Raises SIGNATURE_INVALID where the keys are not the two that it names."""
        data = succession.encode()
        made = cls(data, signing.sign(old, CONTEXT, data), signing.sign(new, CONTEXT, data))
        made.verify(succession.agency, succession.old)
        return made

    @property
    def succession(self) -> Succession:
        """What it says; raises MALFORMED. Says nothing about who signed it."""
        return Succession.decode(self.succession_bytes)

    def verify(self, agency: str, old: bytes) -> Succession:
        """What it says, if it is ``agency``'s, follows ``old`` (32 bytes), and both signed it.

        Raises MALFORMED, SIGNATURE_INVALID. That ``old`` is the agency's is for the caller to know.
        """
        said = self.succession
        if said.agency != agency or said.old != old:
            raise SafehandError(Reason.SIGNATURE_INVALID, "it follows another key")
        signing.verify(said.old, CONTEXT, self.succession_bytes, self.signature_old)
        signing.verify(said.new, CONTEXT, self.succession_bytes, self.signature_new)
        return said

"""The sharing protocol: what two agencies agreed, signed by both (docs/formats.md section 5)."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand_core import canonical, ids
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CATEGORIES, PURPOSES

from safehand_formats import fields, signing
from safehand_formats.note import NoteVerifier

CONTEXT: Final = "safehand/v1/protocol"
MAX_BYTES: Final = 4096
MAX_FOCAL_POINT: Final = 80
"""Characters (code points) of a focal point: a role, never a name."""
MAX_RETENTION_DAYS: Final = 3650

_FOCAL_POINT: Final = re.compile(
    r"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
    rf"{{1,{MAX_FOCAL_POINT}}}"
)
"""Text on one line: no controls, none that turn the direction of what follows."""
_KEYS: Final = (
    "v", "id", "a", "b", "purposes", "categories", "retention_days", "not_before", "not_after",
    "ledger",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Party:
    """One end: agency id, its 32-byte identity key, and the role that answers questions."""

    agency: str
    key: bytes
    focal_point: str

    def __post_init__(self) -> None:
        fields.shape(self.agency, ids.AGENCY_PATTERN, "agency")
        fields.octets(self.key, fields.DIGEST_BYTES, "key")
        if not isinstance(self.focal_point, str) or not _FOCAL_POINT.fullmatch(self.focal_point):
            raise fields.malformed("focal_point")

    def to_object(self) -> dict[str, Json]:
        return {"agency": self.agency, "key": self.key.hex(), "focal_point": self.focal_point}

    @classmethod
    def from_object(cls, value: Json) -> Party:
        obj = fields.exact(value, ("agency", "key", "focal_point"), "party")
        return cls(
            agency=fields.text(obj, "agency"),
            key=fields.from_hex(fields.text(obj, "key"), fields.DIGEST_BYTES, "key"),
            focal_point=fields.text(obj, "focal_point"),
        )


@dataclass(frozen=True, slots=True)
class LedgerPin:
    """The ledger that both agencies pin: its origin and its C2SP vkey, of the same name."""

    origin: str
    vkey: str

    def __post_init__(self) -> None:
        fields.shape(self.origin, fields.KEY_NAME_PATTERN, "origin")
        try:
            verifier = NoteVerifier.from_vkey(self.vkey)
        except SafehandError as error:
            raise fields.malformed("vkey", error.detail) from error
        if verifier.name != self.origin:
            raise fields.malformed("vkey", "the vkey has another name than the origin")

    def to_object(self) -> dict[str, Json]:
        return {"origin": self.origin, "vkey": self.vkey}

    @classmethod
    def from_object(cls, value: Json) -> LedgerPin:
        obj = fields.exact(value, ("origin", "vkey"), "ledger")
        return cls(fields.text(obj, "origin"), fields.text(obj, "vkey"))


@dataclass(frozen=True, slots=True)
class SharingProtocol:
    """What ``a`` and ``b`` (ascending by agency id, two different keys) may share, until when.

    ``purposes`` and ``categories`` are sorted tuples of code words; times are seconds since the
    epoch, live while ``not_before <= now < not_after``. A bad field raises MALFORMED.
    """

    id: str
    a: Party
    b: Party
    purposes: tuple[str, ...]
    categories: tuple[str, ...]
    retention_days: int
    not_before: int
    not_after: int
    ledger: LedgerPin

    def __post_init__(self) -> None:
        fields.shape(self.id, ids.HEX16_PATTERN, "id")
        fields.word_set(self.purposes, PURPOSES, "purposes")
        fields.word_set(self.categories, CATEGORIES, "categories")
        fields.within(self.retention_days, 1, MAX_RETENTION_DAYS, "retention_days")
        fields.instant(self.not_before, "not_before")
        fields.instant(self.not_after, "not_after")
        if self.not_before >= self.not_after:
            raise fields.malformed("not_after", "the protocol ends before it begins")
        if self.a.agency >= self.b.agency:
            raise fields.malformed("a", "the agencies are not in order")
        if self.a.key == self.b.key:
            raise fields.malformed("key", "both agencies have one key")

    def encode(self) -> bytes:
        value: dict[str, Json] = {
            "v": 1,
            "id": self.id,
            "a": self.a.to_object(),
            "b": self.b.to_object(),
            "purposes": list(self.purposes),
            "categories": list(self.categories),
            "retention_days": self.retention_days,
            "not_before": self.not_before,
            "not_after": self.not_after,
            "ledger": self.ledger.to_object(),
        }
        return canonical.encode(value)

    @classmethod
    def decode(cls, data: bytes) -> SharingProtocol:
        obj = fields.exact(canonical.decode(data, max_bytes=MAX_BYTES), _KEYS, "protocol")
        fields.version(obj)
        return cls(
            id=fields.text(obj, "id"),
            a=Party.from_object(obj["a"]),
            b=Party.from_object(obj["b"]),
            purposes=fields.texts(obj, "purposes"),
            categories=fields.texts(obj, "categories"),
            retention_days=fields.number(obj, "retention_days"),
            not_before=fields.number(obj, "not_before"),
            not_after=fields.number(obj, "not_after"),
            ledger=LedgerPin.from_object(obj["ledger"]),
        )

    def covers(self, purpose: str, categories: Collection[str], now: int) -> None:
        """Return if the protocol is live at ``now`` and names all of it, else PROTOCOL_MISSING."""
        if not self.not_before <= now < self.not_after:
            raise SafehandError(Reason.PROTOCOL_MISSING, "the protocol is not live")
        if purpose not in self.purposes:
            raise SafehandError(Reason.PROTOCOL_MISSING, "the protocol does not name the purpose")
        if not set(categories) <= set(self.categories):
            raise SafehandError(Reason.PROTOCOL_MISSING, "the protocol does not name a category")

    def party(self, agency: str) -> bytes:
        """The pinned identity key (32 bytes) of ``agency``; raises PROTOCOL_MISSING."""
        for party in (self.a, self.b):
            if party.agency == agency:
                return party.key
        raise SafehandError(Reason.PROTOCOL_MISSING, "the agency is no party of the protocol")


@dataclass(frozen=True, slots=True)
class SignedProtocol:
    """Protocol bytes with both signatures, a's first. Trust nothing in it before ``verify``."""

    protocol_bytes: bytes
    signature_a: bytes
    signature_b: bytes

    @classmethod
    def sign(
        cls, protocol: SharingProtocol, private_a: Ed25519PrivateKey, private_b: Ed25519PrivateKey
    ) -> SignedProtocol:
        """Both signatures at once, where one process holds both keys (tests, ``make run``)."""
        data = protocol.encode()
        return cls(data, sign_as_party(data, private_a), sign_as_party(data, private_b))

    @property
    def protocol(self) -> SharingProtocol:
        """The decoded protocol; raises MALFORMED. Says nothing about who signed it."""
        return SharingProtocol.decode(self.protocol_bytes)

    @property
    def digest(self) -> bytes:
        """32 bytes; the ``protocol`` of a GRANT leaf's body is its hex."""
        return fields.signed_digest(
            CONTEXT, self.protocol_bytes, self.signature_a, self.signature_b
        )

    def verify(self) -> SharingProtocol:
        """The protocol, if both keys that it names signed it.

        Raises MALFORMED or SIGNATURE_INVALID. That a named key is the agency's is known from
        another channel (the typed fingerprint) or from the keys that consent enrolled.
        """
        protocol = self.protocol
        signing.verify(protocol.a.key, CONTEXT, self.protocol_bytes, self.signature_a)
        signing.verify(protocol.b.key, CONTEXT, self.protocol_bytes, self.signature_b)
        return protocol

    def covers(self, purpose: str, categories: Collection[str], now: int) -> None:
        """As ``SharingProtocol.covers``."""
        self.protocol.covers(purpose, categories, now)

    def party(self, agency: str) -> bytes:
        """As ``SharingProtocol.party``."""
        return self.protocol.party(agency)


def sign_as_party(protocol_bytes: bytes, private: Ed25519PrivateKey) -> bytes:
    """One party's signature over the protocol's bytes. Raises MALFORMED for other bytes."""
    SharingProtocol.decode(protocol_bytes)
    return signing.sign(private, CONTEXT, protocol_bytes)

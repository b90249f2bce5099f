"""The manifest: what a sender wants to send, signed (docs/formats.md section 3).

Everything that is sealed or checked later is rebuilt from these bytes, never from a request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand_core import canonical, ids
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CARD, CATEGORIES, PURPOSES, STAGES, URGENCY_ANSWER_S

from safehand_formats import fields, signing

CONTEXT: Final = "safehand/v1/manifest"
DIGEST_CONTEXT: Final = "safehand/v1/signed-manifest"

MAX_HEADER_BYTES: Final = 2048
MAX_MANIFEST_BYTES: Final = 16384
MAX_PARTS: Final = 16
"""More than there are categories: room for new ones without a new format."""
BUCKETS: Final = (1024, 4096, 16384, 65536)
"""Sizes of padded content in bytes: few, so that a size says little about what is inside."""
MAX_SCHEMA: Final = 65535

_STAGE_CARD, _STAGE_IDENTITY = STAGES
_HEADER_KEYS: Final = (
    "v", "referral", "grant", "sender", "sender_key", "recipient", "recipient_key", "purpose",
    "service", "urgency", "created", "not_after",
)  # fmt: skip
_RESEALS: Final = "reseals"
"""The one optional key of a header: absent where the manifest is the referral's first."""
_LABEL_KEYS: Final = ("id", "category", "stage", "schema", "bucket")
_PART_KEYS: Final = ("ciphertext", "label", "wrap")


@dataclass(frozen=True, slots=True)
class Header:
    """The manifest without parts. Constructing one with a bad field raises MALFORMED.

    Attributes:
        referral, grant: random ids (32 hex). sender, recipient: agency ids, not the same.
        sender_key: identity key id (64 hex). recipient_key: recipient key id (64 hex).
        created, not_after: seconds since the epoch, ``created < not_after``.
        reseals: digest (64 hex) of the manifest of the same referral that this one replaces, or "".
    """

    referral: str
    grant: str
    sender: str
    sender_key: str
    recipient: str
    recipient_key: str
    purpose: str
    service: str
    urgency: str
    created: int
    not_after: int
    reseals: str = ""

    def __post_init__(self) -> None:
        if self.reseals != "":
            fields.shape(self.reseals, ids.HEX32_PATTERN, _RESEALS)
        fields.shape(self.referral, ids.HEX16_PATTERN, "referral")
        fields.shape(self.grant, ids.HEX16_PATTERN, "grant")
        fields.shape(self.sender, ids.AGENCY_PATTERN, "sender")
        fields.shape(self.sender_key, ids.HEX32_PATTERN, "sender_key")
        fields.shape(self.recipient, ids.AGENCY_PATTERN, "recipient")
        fields.shape(self.recipient_key, ids.HEX32_PATTERN, "recipient_key")
        fields.one_of(self.purpose, PURPOSES, "purpose")
        fields.shape(self.service, ids.SERVICE_ID_PATTERN, "service")
        fields.one_of(self.urgency, URGENCY_ANSWER_S, "urgency")
        fields.instant(self.created, "created")
        fields.instant(self.not_after, "not_after")
        if self.sender == self.recipient:
            raise fields.malformed("recipient", "sender and recipient are one agency")
        if self.created >= self.not_after:
            raise fields.malformed("not_after", "the manifest ends before it begins")

    def to_object(self) -> dict[str, Json]:
        first: dict[str, Json] = {
            "v": 1,
            "referral": self.referral,
            "grant": self.grant,
            "sender": self.sender,
            "sender_key": self.sender_key,
            "recipient": self.recipient,
            "recipient_key": self.recipient_key,
            "purpose": self.purpose,
            "service": self.service,
            "urgency": self.urgency,
            "created": self.created,
            "not_after": self.not_after,
        }
        return {**first, _RESEALS: self.reseals} if self.reseals else first

    def encode(self) -> bytes:
        """The canonical bytes, at most ``MAX_HEADER_BYTES``: bound into every part's sealing."""
        data = canonical.encode(self.to_object())
        if len(data) > MAX_HEADER_BYTES:
            raise fields.malformed("header", "the header is too large")
        return data

    @classmethod
    def from_object(cls, value: Json) -> Header:
        more = (_RESEALS,) if isinstance(value, dict) and _RESEALS in value else ()
        obj = fields.exact(value, (*_HEADER_KEYS, *more), "header")
        if more:
            fields.shape(fields.text(obj, _RESEALS), ids.HEX32_PATTERN, _RESEALS)
        fields.version(obj)
        return cls(
            referral=fields.text(obj, "referral"),
            grant=fields.text(obj, "grant"),
            sender=fields.text(obj, "sender"),
            sender_key=fields.text(obj, "sender_key"),
            recipient=fields.text(obj, "recipient"),
            recipient_key=fields.text(obj, "recipient_key"),
            purpose=fields.text(obj, "purpose"),
            service=fields.text(obj, "service"),
            urgency=fields.text(obj, "urgency"),
            created=fields.number(obj, "created"),
            not_after=fields.number(obj, "not_after"),
            reseals=fields.text(obj, _RESEALS) if more else "",
        )

    @classmethod
    def decode(cls, data: bytes) -> Header:
        return cls.from_object(canonical.decode(data, max_bytes=MAX_HEADER_BYTES))


def stage_of(category: str) -> str:
    """The stage of a category: ``card`` for CARD, ``identity`` for every other."""
    return _STAGE_CARD if category == CARD else _STAGE_IDENTITY


@dataclass(frozen=True, slots=True)
class PartLabel:
    """What a part is, in words: signed in the manifest and bound into its sealing."""

    id: int
    category: str
    stage: str
    schema: int
    bucket: int

    def __post_init__(self) -> None:
        fields.within(self.id, 0, MAX_PARTS - 1, "id")
        fields.one_of(self.category, CATEGORIES, "category")
        fields.one_of(self.stage, STAGES, "stage")
        fields.within(self.schema, 1, MAX_SCHEMA, "schema")
        fields.within(self.bucket, BUCKETS[0], BUCKETS[-1], "bucket")
        if self.bucket not in BUCKETS:
            raise fields.malformed("bucket")
        if self.stage != stage_of(self.category):
            raise fields.malformed("stage", "the stage is not the category's")

    def to_object(self) -> dict[str, Json]:
        return {
            "id": self.id,
            "category": self.category,
            "stage": self.stage,
            "schema": self.schema,
            "bucket": self.bucket,
        }

    def encode(self) -> bytes:
        return canonical.encode(self.to_object())

    @classmethod
    def from_object(cls, value: Json) -> PartLabel:
        obj = fields.exact(value, _LABEL_KEYS, "label")
        return cls(
            id=fields.number(obj, "id"),
            category=fields.text(obj, "category"),
            stage=fields.text(obj, "stage"),
            schema=fields.number(obj, "schema"),
            bucket=fields.number(obj, "bucket"),
        )


@dataclass(frozen=True, slots=True)
class Part:
    """A label with ``H(ciphertext)`` and ``H(inner wrap)``, 32 bytes each."""

    label: PartLabel
    ciphertext: bytes
    wrap: bytes

    def __post_init__(self) -> None:
        fields.octets(self.ciphertext, fields.DIGEST_BYTES, "ciphertext")
        fields.octets(self.wrap, fields.DIGEST_BYTES, "wrap")

    def to_object(self) -> dict[str, Json]:
        return {
            "ciphertext": self.ciphertext.hex(),
            "label": self.label.to_object(),
            "wrap": self.wrap.hex(),
        }

    @classmethod
    def from_object(cls, value: Json) -> Part:
        obj = fields.exact(value, _PART_KEYS, "part")
        ciphertext = fields.from_hex(
            fields.text(obj, "ciphertext"), fields.DIGEST_BYTES, "ciphertext"
        )
        wrap = fields.from_hex(fields.text(obj, "wrap"), fields.DIGEST_BYTES, "wrap")
        return cls(PartLabel.from_object(obj["label"]), ciphertext, wrap)

    def match_ciphertext(self, ciphertext: bytes) -> None:
        """Raises MANIFEST_MISMATCH unless these are the bytes that the sender signed for."""
        if fields.sha256(ciphertext) != self.ciphertext:
            raise SafehandError(Reason.MANIFEST_MISMATCH, "a ciphertext is not the signed one")

    def match_wrap(self, inner_wrap: bytes) -> None:
        """Raises MANIFEST_MISMATCH unless this is the inner wrap that the sender signed for."""
        if fields.sha256(inner_wrap) != self.wrap:
            raise SafehandError(Reason.MANIFEST_MISMATCH, "an inner wrap is not the signed one")


@dataclass(frozen=True, slots=True)
class Manifest:
    """Header and 1 to 16 parts: ids 0, 1, 2 … in order, no category twice."""

    header: Header
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        fields.within(len(self.parts), 1, MAX_PARTS, "parts")
        if [part.label.id for part in self.parts] != list(range(len(self.parts))):
            raise fields.malformed("id", "part ids ascend from 0 without gaps")
        if len({part.label.category for part in self.parts}) != len(self.parts):
            raise fields.malformed("category", "no category twice")

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories of all parts, sorted."""
        return tuple(sorted(part.label.category for part in self.parts))

    def part(self, part_id: int) -> Part:
        """The part with that id; raises MANIFEST_MISMATCH where there is none."""
        if not 0 <= part_id < len(self.parts):
            raise SafehandError(Reason.MANIFEST_MISMATCH, "the manifest has no such part")
        return self.parts[part_id]

    def encode(self) -> bytes:
        """The canonical bytes that are signed, at most ``MAX_MANIFEST_BYTES``."""
        self.header.encode()
        data = canonical.encode(
            {"header": self.header.to_object(), "parts": [part.to_object() for part in self.parts]}
        )
        if len(data) > MAX_MANIFEST_BYTES:
            raise fields.malformed("parts", "the manifest is too large")
        return data

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """The manifest of canonical ``data``; raises MALFORMED."""
        value = canonical.decode(data, max_bytes=MAX_MANIFEST_BYTES)
        obj = fields.exact(value, ("header", "parts"), "manifest")
        header = Header.from_object(obj["header"])
        header.encode()
        return cls(header, tuple(Part.from_object(item) for item in fields.items(obj, "parts")))


@dataclass(frozen=True, slots=True)
class SignedManifest:
    """Manifest bytes with the sender's signature. Trust neither before ``verify``."""

    manifest_bytes: bytes
    signature: bytes

    @classmethod
    def sign(cls, manifest: Manifest, private: Ed25519PrivateKey) -> SignedManifest:
        """Raises MANIFEST_MISMATCH where ``header.sender_key`` is not ``private``'s key id."""
        if manifest.header.sender_key != signing.identity_key_id(signing.public_bytes(private)):
            raise SafehandError(Reason.MANIFEST_MISMATCH, "sender_key is not the signing key's id")
        data = manifest.encode()
        return cls(data, signing.sign(private, CONTEXT, data))

    @property
    def manifest(self) -> Manifest:
        """The decoded manifest; raises MALFORMED. Says nothing about who signed it."""
        return Manifest.decode(self.manifest_bytes)

    @property
    def digest(self) -> bytes:
        """The manifest digest: 32 bytes over manifest and signature."""
        return fields.signed_digest(DIGEST_CONTEXT, self.manifest_bytes, self.signature)

    def verify(self, sender_public: bytes) -> Manifest:
        """The manifest, if ``sender_public`` (pinned, 32 bytes) is named in it and signed it.

        Raises MALFORMED, or SIGNATURE_INVALID.
        """
        manifest = self.manifest
        if manifest.header.sender_key != signing.identity_key_id(sender_public):
            raise SafehandError(Reason.SIGNATURE_INVALID, "sender_key is not the pinned key's id")
        signing.verify(sender_public, CONTEXT, self.manifest_bytes, self.signature)
        return manifest

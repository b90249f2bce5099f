"""The opening: what a leaf's commitment was made over (docs/formats.md 2.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from safehand_core import canonical
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_formats.bodies import MAX_BODY_BYTES, check_body, encode_body
from safehand_formats.kinds import Kind, kind_named
from safehand_formats.leaf import SALT_BYTES, Leaf, body_commitment
from safehand_formats.merkle import MAX_SIZE

MAX_OPENING_BYTES: Final = MAX_BODY_BYTES + 1024
"""A body and the fixed keys around it."""
MAX_OPENING_INDEX: Final = min(MAX_SIZE, canonical.MAX_INTEGER)


@dataclass(frozen=True, slots=True)
class Opening:
    """``salt`` is 32 bytes, ``body`` is checked against its kind's schema."""

    index: int
    kind: Kind
    salt: bytes
    body: dict[str, Json]

    def to_bytes(self) -> bytes:
        """Canonical JSON and one newline."""
        document: dict[str, Json] = {
            "body": dict(self.body),
            "index": self.index,
            "kind": self.kind.name,
            "salt": self.salt.hex(),
        }
        return canonical.encode(document) + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Opening:
        """Strict: raises MALFORMED unless ``to_bytes`` gives ``data`` again."""
        if not data.endswith(b"\n"):
            raise SafehandError(Reason.MALFORMED, "an opening ends with one newline")
        document = canonical.decode_object(data[:-1], max_bytes=MAX_OPENING_BYTES)
        if document.keys() != {"body", "index", "kind", "salt"}:
            raise SafehandError(Reason.MALFORMED, "an opening has exactly four keys")
        index, name, salt, body = (document[k] for k in ("index", "kind", "salt", "body"))
        if type(index) is not int or not 0 <= index <= MAX_OPENING_INDEX:
            raise SafehandError(Reason.MALFORMED, "not an index")
        if not isinstance(name, str) or not isinstance(body, dict):
            raise SafehandError(Reason.MALFORMED, "an opening names a kind and a body")
        kind = kind_named(name)
        check_body(kind, body)
        return cls(index, kind, _salt(salt), body)

    def require_match(self, leaf: Leaf) -> None:
        """Raise PROOF_INVALID unless this is what ``leaf`` commits to."""
        same = body_commitment(self.salt, encode_body(self.kind, self.body)) == leaf.commitment
        if self.kind is not leaf.kind or not same:
            raise SafehandError(Reason.PROOF_INVALID, "the opening is not of this leaf")


def _salt(value: Json) -> bytes:
    if not isinstance(value, str) or len(value) != 2 * SALT_BYTES:
        raise SafehandError(Reason.MALFORMED, "a salt is 64 hex digits")
    try:
        salt = bytes.fromhex(value)
    except ValueError as error:
        raise SafehandError(Reason.MALFORMED, "a salt is 64 hex digits") from error
    if salt.hex() != value:
        raise SafehandError(Reason.MALFORMED, "a salt is 64 hex digits")
    return salt

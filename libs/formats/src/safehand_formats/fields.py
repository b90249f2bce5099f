"""Reading and checking the fields of a canonical document, and the byte pieces of section 1.

Every function either returns a value of the type that it names or raises MALFORMED with the name
of the field in ``metadata["field"]``, never the value (docs/formats.md section 1).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Collection, Mapping
from typing import Final

from safehand_core.canonical import MAX_INTEGER, Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

DIGEST_BYTES: Final = 32
"""SHA-256 values and Ed25519 public keys."""
SIGNATURE_BYTES: Final = 64
"""Ed25519 signatures (RFC 8032 section 5.1.6)."""
KEY_NAME_PATTERN: Final = r"[!-*,-~]{1,255}"
"""A ledger's origin and key name: the ASCII part of what C2SP ``signed-note`` allows."""

Object = Mapping[str, Json]


def malformed(field: str, detail: str = "a field has the wrong shape") -> SafehandError:
    """The refusal of one field; ``detail`` must be a constant."""
    return SafehandError(Reason.MALFORMED, detail, metadata={"field": field})


def exact(value: Json, keys: Collection[str], field: str) -> dict[str, Json]:
    """``value`` as an object that has exactly ``keys``."""
    if not isinstance(value, dict) or value.keys() != set(keys):
        raise malformed(field, "an object has not exactly the keys of its format")
    return value


def text(obj: Object, key: str) -> str:
    value = obj[key]
    if not isinstance(value, str):
        raise malformed(key)
    return value


def number(obj: Object, key: str) -> int:
    value = obj[key]
    if not isinstance(value, int) or isinstance(value, bool):
        raise malformed(key)
    return value


def items(obj: Object, key: str) -> list[Json]:
    value = obj[key]
    if not isinstance(value, list):
        raise malformed(key)
    return value


def texts(obj: Object, key: str) -> tuple[str, ...]:
    out: list[str] = []
    for value in items(obj, key):
        if not isinstance(value, str):
            raise malformed(key)
        out.append(value)
    return tuple(out)


def version(obj: Object) -> None:
    """``v`` is 1: nothing is negotiated, another version is another format."""
    if number(obj, "v") != 1:
        raise malformed("v")


def shape(value: object, pattern: str, field: str) -> None:
    """``value`` is a string that ``pattern`` matches from end to end."""
    bare = pattern.removeprefix("^").removesuffix("$")
    if not isinstance(value, str) or re.fullmatch(bare, value) is None:
        raise malformed(field)


def within(value: object, low: int, high: int, field: str) -> None:
    """``value`` is an integer from ``low`` to ``high``, both included."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise malformed(field)


def instant(value: object, field: str) -> None:
    """``value`` is a time: whole seconds since 1970-01-01T00:00:00Z, 0 to 2^53-1."""
    within(value, 0, MAX_INTEGER, field)


def one_of(value: object, allowed: Collection[str], field: str) -> None:
    """``value`` is a code word of a closed list."""
    if not isinstance(value, str) or value not in allowed:
        raise malformed(field)


def word_set(values: object, allowed: Collection[str], field: str) -> None:
    """``values`` is a non-empty tuple of code words, ascending, none twice."""
    if not isinstance(values, tuple) or not values:
        raise malformed(field)
    for value in values:
        one_of(value, allowed, field)
    if list(values) != sorted(set(values)):
        raise malformed(field)


def octets(value: object, size: int, field: str) -> None:
    """``value`` is exactly ``size`` bytes."""
    if not isinstance(value, bytes) or len(value) != size:
        raise malformed(field)


def from_hex(value: str, size: int, field: str) -> bytes:
    """The ``size`` bytes of lower-case hex ``value``."""
    shape(value, f"[0-9a-f]{{{2 * size}}}", field)
    return bytes.fromhex(value)


def from_b64(value: str, field: str) -> bytes:
    """The bytes of strict base64 ``value`` (RFC 4648 section 4, padded)."""
    try:
        data = base64.b64decode(value.encode("ascii"), validate=True)
    except (ValueError, binascii.Error) as error:
        raise malformed(field) from error
    if to_b64(data) != value:
        raise malformed(field)
    return data


def to_b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def from_b64url(value: str, field: str) -> bytes:
    """The bytes of strict base64url ``value`` (RFC 4648 section 5, no padding)."""
    shape(value, "[A-Za-z0-9_-]*", field)
    try:
        data = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except (ValueError, binascii.Error) as error:
        raise malformed(field) from error
    if to_b64url(data) != value:
        raise malformed(field)
    return data


def to_b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def lp(data: bytes) -> bytes:
    """``u32(len) || data``: length-prefixed, so that concatenations cannot be confused."""
    return len(data).to_bytes(4, "big") + data


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def signed_digest(context: str, message: bytes, *signatures: bytes) -> bytes:
    """The digest of a signed message: 32 bytes (docs/formats.md sections 3 and 5)."""
    return sha256(context.encode("ascii") + b"\x00" + lp(message) + b"".join(signatures))

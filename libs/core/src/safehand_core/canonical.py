"""Canonical JSON: one byte string for one value.

The subset of RFC 8785 (JCS) that safehand signs: objects with ASCII keys, arrays, strings,
booleans and integers of at most 53 bits. No floats, no null. A document is canonical when its
bytes equal the encoding of what it decodes to; everything that is signed or hashed must be.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

MAX_INTEGER = 2**53 - 1
"""Largest magnitude of an integer (RFC 8785 section 3.2.2.3 keeps to IEEE 754 doubles)."""
MAX_DEPTH = 8
"""Deepest nesting; nothing we sign nests deeper than 5."""

_NOT_CANONICAL = "not canonical JSON"
_ENCODER = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
)
"""Made once: every ledger entry is encoded, and ``json.dumps`` would make one for each."""

Json = str | int | bool | list["Json"] | dict[str, "Json"]


def encode(value: Json) -> bytes:
    """The canonical bytes of ``value``. Raises MALFORMED for what the subset does not hold."""
    _check(value, 0)
    try:
        return _ENCODER.encode(value).encode("utf-8")
    except UnicodeEncodeError as error:
        raise SafehandError(Reason.MALFORMED, "a string holds a lone surrogate") from error


def decode(data: bytes, *, max_bytes: int) -> Json:
    """The value of canonical ``data``. Raises MALFORMED for anything that is not canonical."""
    if len(data) > max_bytes:
        raise SafehandError(Reason.MALFORMED, f"larger than {max_bytes} bytes")
    try:
        value: Json = json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise SafehandError(Reason.MALFORMED, _NOT_CANONICAL) from error
    if encode(value) != data:
        raise SafehandError(Reason.MALFORMED, _NOT_CANONICAL)
    return value


def decode_object(data: bytes, *, max_bytes: int) -> dict[str, Json]:
    """As ``decode``, for a document that must be an object."""
    value = decode(data, max_bytes=max_bytes)
    if not isinstance(value, dict):
        raise SafehandError(Reason.MALFORMED, "the document must be an object")
    return value


def _unique(pairs: Iterable[tuple[str, Json]]) -> dict[str, Json]:
    out: dict[str, Json] = {}
    for key, value in pairs:
        if key in out:
            raise ValueError("duplicate key")
        out[key] = value
    return out


def _check(value: object, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise SafehandError(Reason.MALFORMED, "nested too deeply")
    if isinstance(value, (bool, str)):
        return
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise SafehandError(Reason.MALFORMED, "integer out of range")
        return
    if isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise SafehandError(Reason.MALFORMED, "object keys are ASCII strings")
            if type(item) is not str or depth >= MAX_DEPTH:
                _check(item, depth + 1)
        return
    raise SafehandError(Reason.MALFORMED, "value outside the canonical subset")

"""The frozen table of ledger entry kinds and their tags (docs/formats.md 2.3)."""

from __future__ import annotations

import hashlib
from enum import IntEnum
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

SECRET_BYTES: Final = 32
"""Length of a grant's secret: whoever holds it can enumerate the grant's entries."""
MAX_COUNTER: Final = 2**53 - 1
"""Largest counter or sequence: it must also fit a canonical JSON integer."""

_TAG_CONTEXT: Final = b"safehand/v1/tag/"


class Kind(IntEnum):
    """What a leaf records. The codes never change and are never reused."""

    GRANT = 1
    NARROW = 2
    STOP = 3
    RESUME = 4
    REVOKE = 5
    EXPIRE = 6
    REFUSE = 7
    REFER = 8
    DISCLOSE = 9
    RECALL_ANSWER = 10
    BASIS = 11
    KEY = 12
    ERASE = 13
    PAD = 14
    SHARD = 15
    CONFIRM = 16

    @property
    def built(self) -> bool:
        """Whether entries of this kind may be appended; the others only hold their number."""
        return self in BUILT

    @property
    def of_grant(self) -> bool:
        """Whether the tag derives from a secret of hers (docs/formats.md 2.3): a grant's, or for a
        REFUSE the secret of the question that she answered with no."""
        return self.built and self is not Kind.KEY


BUILT: Final = frozenset(
    {
        Kind.GRANT,
        Kind.NARROW,
        Kind.STOP,
        Kind.RESUME,
        Kind.REVOKE,
        Kind.EXPIRE,
        Kind.REFUSE,
        Kind.REFER,
        Kind.DISCLOSE,
        Kind.KEY,
        Kind.CONFIRM,
    }
)
COUNTED: Final = frozenset(
    {Kind.NARROW, Kind.STOP, Kind.RESUME, Kind.REFER, Kind.DISCLOSE, Kind.CONFIRM}
)
"""Kinds whose body carries a counter per grant; the other kinds of a grant always use 0."""


def grant_tag(kind: Kind, secret: bytes, counter: int) -> bytes:
    """``H("safehand/v1/tag/" || KIND || 00 || secret(32) || u64(counter))``: 32 bytes.

    Raises MALFORMED for a kind that carries no grant tag, a secret that is not 32 bytes, or a
    counter outside 0..2^53-1.
    """
    if not kind.of_grant:
        raise SafehandError(Reason.MALFORMED, "this kind has no grant tag")
    if len(secret) != SECRET_BYTES:
        raise SafehandError(Reason.MALFORMED, "a grant's secret is 32 bytes")
    context = _TAG_CONTEXT + kind.name.encode("ascii") + b"\x00"
    return hashlib.sha256(context + secret + _u64(counter)).digest()


def key_tag(agency: str, sequence: int) -> bytes:
    """``H("safehand/v1/tag/KEY" || 00 || lp(agency) || u64(sequence))``: 32 bytes.

    Anyone can compute it, so an agency can watch for keys issued in its name.
    """
    try:
        name = agency.encode("ascii")
    except UnicodeEncodeError as error:
        raise SafehandError(Reason.MALFORMED, "an agency id is ASCII") from error
    message = len(name).to_bytes(4, "big") + name + _u64(sequence)
    return hashlib.sha256(_TAG_CONTEXT + b"KEY\x00" + message).digest()


def kind_named(name: str) -> Kind:
    """The kind called ``name``; raises MALFORMED for any other word."""
    try:
        return Kind[name]
    except KeyError as error:
        raise SafehandError(Reason.MALFORMED, "unknown kind of entry") from error


def _u64(value: int) -> bytes:
    if not 0 <= value <= MAX_COUNTER:
        raise SafehandError(Reason.MALFORMED, "counter out of range")
    return value.to_bytes(8, "big")

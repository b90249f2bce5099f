"""What the body of each built kind holds: exact keys, types and ranges (docs/formats.md 2.3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from safehand_core import canonical, words
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.ids import AGENCY_PATTERN, HEX16_PATTERN, HEX32_PATTERN, REF_PATTERN
from safehand_core.reasons import Reason

from safehand_formats.kinds import Kind

MAX_BODY_BYTES: Final = 4096
MAX_PART: Final = 15
"""Largest part id: a manifest has at most 16 parts."""
LANGUAGE_PATTERN: Final = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"
"""The shape of a BCP 47 tag (RFC 5646 section 2.1), without its registry."""
MAX_LANGUAGE_CHARS: Final = 35
"""RFC 5646 section 4.4.1 asks implementations for at least 35."""

_Check = Callable[[Json], bool]


def _matches(pattern: str) -> _Check:
    compiled = re.compile(pattern.removeprefix("^").removesuffix("$"))
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _integer(maximum: int = canonical.MAX_INTEGER) -> _Check:
    return lambda value: type(value) is int and 0 <= value <= maximum


def _one_of(*allowed: str) -> _Check:
    return lambda value: isinstance(value, str) and value in allowed


def _categories(value: Json) -> bool:
    if not isinstance(value, list) or not value:
        return False
    names = [item for item in value if isinstance(item, str) and item in words.CATEGORIES]
    return len(names) == len(value) and names == sorted(set(names))


def _language(value: Json) -> bool:
    return isinstance(value, str) and len(value) <= MAX_LANGUAGE_CHARS and _tag(value)


def _accept(value: Json) -> bool:
    return value == "" or _digest(value)


_tag = _matches(LANGUAGE_PATTERN)
_id = _matches(HEX16_PATTERN)
_digest = _matches(HEX32_PATTERN)
_ref = _matches(REF_PATTERN)
_agency = _matches(AGENCY_PATTERN)
_time = _integer()
_count = _integer()
_purpose = _one_of(*words.PURPOSES)

SCHEMAS: Final[Mapping[Kind, Mapping[str, _Check]]] = {
    Kind.GRANT: {
        "kind": _one_of("GRANT"),
        "grant": _id,
        "releasing": _agency,
        "recipient": _agency,
        "purpose": _purpose,
        "categories": _categories,
        "issued_at": _time,
        "expires_at": _time,
        "erase_by": _time,
        "redisclosure": _one_of("none"),
        "notice": _digest,
        "language": _language,
        "given_how": _one_of(*words.CONSENT_GIVEN_HOW),
        "present": _one_of(*words.CONSENT_PRESENT),
        "protocol": _digest,
    },
    Kind.NARROW: {
        "kind": _one_of("NARROW"),
        "grant": _id,
        "counter": _count,
        "categories": _categories,  # what is left
        "expires_at": _time,  # never later than before
        "by": _one_of("self"),
        "at": _time,
    },
    Kind.STOP: {
        "kind": _one_of("STOP"),
        "grant": _id,
        "counter": _count,
        "by": _one_of(*words.STOPPED_BY),
        "strength": _one_of("strong", "weak"),
        "at": _time,
        "final_at": _time,
    },
    Kind.RESUME: {
        "kind": _one_of("RESUME"),
        "grant": _id,
        "counter": _count,
        "by": _one_of("self", "staff"),
        "at": _time,
    },
    Kind.REVOKE: {
        "kind": _one_of("REVOKE"),
        "grant": _id,
        "cause": _one_of("window", "destroy_now", "invalidated"),
        "stop_index": _count,
        "at": _time,
    },
    Kind.EXPIRE: {
        "kind": _one_of("EXPIRE"),
        "grant": _id,
        "expires_at": _time,
        "at": _time,
    },
    Kind.REFUSE: {
        "kind": _one_of("REFUSE"),
        "ask": _id,
        "releasing": _agency,
        "recipient": _agency,
        "purpose": _purpose,
        "categories": _categories,  # what was asked for
        "notice": _digest,
        "language": _language,
        "given_how": _one_of(*words.CONSENT_GIVEN_HOW),
        "present": _one_of(*words.CONSENT_PRESENT),
        "at": _time,
    },
    Kind.REFER: {
        "kind": _one_of("REFER"),
        "grant": _id,
        "counter": _count,
        "manifest": _digest,
        "referral": _id,
        "sender": _agency,
        "recipient": _agency,
        "purpose": _purpose,
        "categories": _categories,
        "not_after": _time,
        "at": _time,
    },
    Kind.DISCLOSE: {
        "kind": _one_of("DISCLOSE"),
        "grant": _id,
        "counter": _count,
        "manifest": _digest,
        "part": _integer(MAX_PART),
        "category": _one_of(*words.CATEGORIES),
        "stage": _one_of(*words.STAGES),
        "recipient": _agency,
        "worker_ref": _matches(REF_PATTERN),
        "request": _digest,
        "accept": _accept,
        "at": _time,
    },
    Kind.KEY: {
        "kind": _one_of("KEY"),
        "agency": _agency,
        "sequence": _count,
        "record": _digest,
        "at": _time,
    },
    Kind.CONFIRM: {
        "kind": _one_of("CONFIRM"),
        "grant": _id,
        "counter": _count,
        "by": _one_of(*words.CONFIRMED_BY),
        "at": _time,
    },
}
"""One row per built kind: the keys that it always has, and what each value must be."""

OPTIONAL: Final[Mapping[Kind, tuple[Mapping[str, _Check], ...]]] = {
    Kind.GRANT: (
        {"ask": _id},  # the question that she answered with it
        {"supersedes": _id},  # the grant whose place it takes
        {"check": _one_of(*words.COMPREHENSION)},
        {  # a worker recorded it for her
            "recorded_by": _agency,
            "recorder_ref": _ref,
            "medium": _one_of(*words.RECORDED_MEDIA),
            "record": _digest,
            "confirm_by": _time,
        },
        {"cosign_by": _time},  # a guardian must sign too, until then nothing is shared
    ),
    Kind.STOP: (
        {"agency": _agency, "worker_ref": _ref, "channel": _one_of(*words.STOP_CHANNELS)},
        {"why": _one_of(*words.STOP_WHY)},
    ),
    Kind.RESUME: ({"agency": _agency, "worker_ref": _ref, "second_ref": _ref},),
    Kind.EXPIRE: ({"cause": _one_of("unconfirmed")},),
    Kind.REFER: ({"reseals": _digest},),  # the manifest that this one replaces
    Kind.CONFIRM: ({"agency": _agency, "worker_ref": _ref, "record": _digest},),
}
"""Groups of keys that a body of the kind may have: all of a group, or none of it.

A key that is absent means that there was no such thing; it is never written with an empty value,
so that one fact has one encoding. The commitment covers what is there.
"""


def check_body(kind: Kind, body: Mapping[str, Json]) -> None:
    """Raise MALFORMED unless ``body`` has exactly the keys of ``kind``, whole groups of its
    optional ones, and each value in its range.

    The error's metadata names the field, never its value.
    """
    schema = SCHEMAS.get(kind)
    if schema is None:
        raise SafehandError(Reason.MALFORMED, "entries of this kind are not built")
    checks = dict(schema)
    for group in OPTIONAL.get(kind, ()):
        if body.keys() & group.keys():
            checks.update(group)
    if body.keys() != checks.keys():
        raise SafehandError(Reason.MALFORMED, "a body has exactly the keys of its kind")
    for field, check in checks.items():
        if not check(body[field]):
            raise SafehandError(
                Reason.MALFORMED, "a body's field is out of range", metadata={"field": field}
            )


def encode_body(kind: Kind, body: Mapping[str, Json]) -> bytes:
    """The canonical bytes of a checked body; these are what the leaf commits to."""
    check_body(kind, body)
    data = canonical.encode(dict(body))
    if len(data) > MAX_BODY_BYTES:
        raise SafehandError(Reason.TOO_LARGE, "a body is at most 4096 bytes")
    return data


def decode_body(kind: Kind, data: bytes) -> dict[str, Json]:
    """The checked body in canonical ``data``; raises MALFORMED for anything else."""
    body = canonical.decode_object(data, max_bytes=MAX_BODY_BYTES)
    check_body(kind, body)
    return body


def body_time(kind: Kind, body: Mapping[str, Json]) -> int:
    """When the entry was made, seconds since the epoch: ``issued_at`` of a GRANT, else ``at``."""
    value = body["issued_at" if kind is Kind.GRANT else "at"]
    if type(value) is not int:
        raise SafehandError(Reason.MALFORMED, "a body's time is an integer")
    return value

"""Valid values of every format, drawn by Hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from safehand_core.canonical import MAX_INTEGER
from safehand_core.words import CATEGORIES, DECLINE_REASONS, PURPOSES, URGENCY_ANSWER_S
from safehand_formats import answer, keyrecord, manifest, release_request, sharing_protocol, token
from safehand_formats.note import NoteVerifier

from tests.vectors import parties as p

HEX = "0123456789abcdef"


def hexes(size: int) -> st.SearchStrategy[str]:
    return st.text(HEX, min_size=2 * size, max_size=2 * size)


ids16 = hexes(16)
digests = hexes(32)
octets32 = st.binary(min_size=32, max_size=32)


def _word(first: str, rest: str, low: int, high: int) -> st.SearchStrategy[str]:
    """One character of ``first``, then ``low`` to ``high`` of ``rest``."""
    tail = st.text(rest, min_size=low, max_size=high)
    return st.tuples(st.sampled_from(first), tail).map("".join)


LOWER = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
agencies = _word(LOWER, LOWER + DIGITS + "-", 1, 39)
services = _word(LOWER + LOWER.upper() + DIGITS, LOWER + LOWER.upper() + DIGITS + "_-", 0, 63)
workers = _word(LOWER + DIGITS, LOWER + DIGITS + "-", 3, 63)
request_ids = st.uuids().map(str)
names = st.text("".join(chr(n) for n in range(0x21, 0x7F) if n != 0x2B), min_size=1, max_size=60)
times = st.integers(0, MAX_INTEGER)
spans = st.tuples(times, times).filter(lambda pair: pair[0] != pair[1]).map(sorted)
categories = st.sets(st.sampled_from(sorted(CATEGORIES)), min_size=1).map(
    lambda chosen: tuple(sorted(chosen))
)
purposes = st.sets(st.sampled_from(sorted(PURPOSES)), min_size=1).map(
    lambda chosen: tuple(sorted(chosen))
)
focal_points = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x24F, exclude_categories=("Cc", "Cs")),
    min_size=1,
    max_size=80,
)


@st.composite
def headers(draw: st.DrawFn, /, **fixed: Any) -> manifest.Header:
    created, not_after = draw(spans)
    sender = draw(agencies)
    values: dict[str, Any] = {
        "referral": draw(ids16),
        "grant": draw(ids16),
        "sender": sender,
        "sender_key": draw(digests),
        "recipient": draw(agencies.filter(lambda other: other != sender)),
        "recipient_key": draw(digests),
        "purpose": draw(st.sampled_from(sorted(PURPOSES))),
        "service": draw(services),
        "urgency": draw(st.sampled_from(sorted(URGENCY_ANSWER_S))),
        "created": created,
        "not_after": not_after,
        "reseals": draw(st.just("") | digests),
    }
    return manifest.Header(**{**values, **fixed})


@st.composite
def manifests(draw: st.DrawFn, /, **fixed: Any) -> manifest.Manifest:
    chosen = draw(st.permutations(draw(categories)))
    parts = tuple(
        manifest.Part(
            manifest.PartLabel(
                number,
                category,
                manifest.stage_of(category),
                draw(st.integers(1, manifest.MAX_SCHEMA)),
                draw(st.sampled_from(manifest.BUCKETS)),
            ),
            draw(octets32),
            draw(octets32),
        )
        for number, category in enumerate(chosen)
    )
    return manifest.Manifest(draw(headers(**fixed)), parts)


@st.composite
def key_records(draw: st.DrawFn) -> keyrecord.KeyRecord:
    not_before, not_after = draw(spans)
    public = draw(st.sampled_from([p.HPKE_PUBLIC, p.OTHER_HPKE_PUBLIC]))
    return keyrecord.KeyRecord(draw(agencies), draw(times), public, not_before, not_after)


@st.composite
def protocols(draw: st.DrawFn) -> sharing_protocol.SharingProtocol:
    not_before, not_after = draw(spans)
    first, second = sorted(draw(st.sets(agencies, min_size=2, max_size=2)))
    origin = draw(names)
    return sharing_protocol.SharingProtocol(
        draw(ids16),
        sharing_protocol.Party(first, p.SENDER_PUBLIC, draw(focal_points)),
        sharing_protocol.Party(second, p.RECIPIENT_PUBLIC, draw(focal_points)),
        draw(purposes),
        draw(categories),
        draw(st.integers(1, 3650)),
        not_before,
        not_after,
        sharing_protocol.LedgerPin(origin, NoteVerifier(origin, p.LEDGER_KEY.public_key()).vkey),
    )


@st.composite
def answers(draw: st.DrawFn) -> answer.Answer:
    word = draw(st.sampled_from(answer.ANSWERS))
    reason = "" if word == answer.ACCEPT else draw(st.sampled_from(sorted(DECLINE_REASONS)))
    return answer.Answer(word, draw(digests), draw(ids16), draw(agencies), reason, draw(times))


answer_acks = st.builds(answer.AnswerAck, digests, times)
release_requests = st.builds(
    release_request.ReleaseRequest,
    digests,
    ids16,
    st.integers(0, 15),
    agencies,
    workers,
    request_ids,
)


@st.composite
def token_claims(draw: st.DrawFn) -> token.TokenClaims:
    issued = draw(st.integers(0, MAX_INTEGER - 300))
    expires = issued + draw(st.integers(1, 300))
    return token.TokenClaims(
        issuer=draw(names),
        audience=draw(names),
        issued_at=issued,
        not_before=draw(st.integers(issued, expires - 1)),
        expires_at=expires,
        jti=draw(ids16),
        certificate=draw(octets32),
        recipient=draw(agencies),
        purpose=draw(st.sampled_from(sorted(PURPOSES))),
        categories=draw(categories),
        manifest_digest=draw(octets32),
        outer_wraps_digest=draw(octets32),
        ledger_origin=draw(names),
        ledger_index=draw(times),
        leaf_hash=draw(octets32),
        revoke_tag=draw(octets32),
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)

"""Leaves, tags, bodies and openings: one byte string for each."""

from __future__ import annotations

import hashlib
import json
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safehand_core import canonical
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.bodies import OPTIONAL, SCHEMAS, check_body, decode_body, encode_body
from safehand_formats.kinds import BUILT, Kind, grant_tag, key_tag
from safehand_formats.leaf import Leaf, body_commitment
from safehand_formats.opening import Opening

from tests.formats.refusals import refusal

BODIES: dict[Kind, dict[str, Json]] = {
    Kind.GRANT: {
        "kind": "GRANT",
        "grant": "a" * 32,
        "releasing": "agency-a",
        "recipient": "agency-b",
        "purpose": "housing",
        "categories": ["CARD", "NAME"],
        "issued_at": 100,
        "expires_at": 200,
        "erase_by": 300,
        "redisclosure": "none",
        "notice": "b" * 64,
        "language": "zh-Hant-TW",
        "given_how": "heard",
        "present": "with_worker",
        "protocol": "c" * 64,
    },
    Kind.STOP: {
        "kind": "STOP",
        "grant": "a" * 32,
        "counter": 0,
        "by": "self",
        "strength": "strong",
        "at": 100,
        "final_at": 200,
    },
    Kind.RESUME: {"kind": "RESUME", "grant": "a" * 32, "counter": 0, "by": "self", "at": 100},
    Kind.REVOKE: {
        "kind": "REVOKE",
        "grant": "a" * 32,
        "cause": "window",
        "stop_index": 4,
        "at": 100,
    },
    Kind.EXPIRE: {"kind": "EXPIRE", "grant": "a" * 32, "expires_at": 100, "at": 100},
    Kind.REFER: {
        "kind": "REFER",
        "grant": "a" * 32,
        "counter": 0,
        "manifest": "d" * 64,
        "referral": "e" * 32,
        "sender": "agency-a",
        "recipient": "agency-b",
        "purpose": "legal",
        "categories": ["CARD"],
        "not_after": 300,
        "at": 100,
    },
    Kind.DISCLOSE: {
        "kind": "DISCLOSE",
        "grant": "a" * 32,
        "counter": 0,
        "manifest": "d" * 64,
        "part": 15,
        "category": "CARD",
        "stage": "card",
        "recipient": "agency-b",
        "worker_ref": "worker-0001",
        "request": "f" * 64,
        "accept": "",
        "at": 100,
    },
    Kind.KEY: {"kind": "KEY", "agency": "agency-b", "sequence": 0, "record": "0" * 64, "at": 1},
    Kind.NARROW: {
        "kind": "NARROW",
        "grant": "a" * 32,
        "counter": 0,
        "categories": ["CARD"],
        "expires_at": 200,
        "by": "self",
        "at": 100,
    },
    Kind.REFUSE: {
        "kind": "REFUSE",
        "ask": "a" * 32,
        "releasing": "agency-a",
        "recipient": "agency-b",
        "purpose": "housing",
        "categories": ["CARD", "NAME"],
        "notice": "b" * 64,
        "language": "en",
        "given_how": "read",
        "present": "alone",
        "at": 100,
    },
    Kind.CONFIRM: {"kind": "CONFIRM", "grant": "a" * 32, "counter": 0, "by": "self", "at": 100},
}
MORE: dict[Kind, dict[str, Json]] = {
    Kind.GRANT: {
        "ask": "1" * 32,
        "supersedes": "2" * 32,
        "check": "understood",
        "recorded_by": "agency-a",
        "recorder_ref": "worker-0001",
        "medium": "paper",
        "record": "3" * 64,
        "confirm_by": 150,
        "cosign_by": 150,
    },
    Kind.STOP: {
        "agency": "agency-a",
        "worker_ref": "worker-0001",
        "channel": "phone",
        "why": "coercion",
    },
    Kind.RESUME: {"agency": "agency-a", "worker_ref": "worker-0001", "second_ref": "worker-0002"},
    Kind.EXPIRE: {"cause": "unconfirmed"},
    Kind.REFER: {"reseals": "4" * 64},
    Kind.CONFIRM: {"agency": "agency-a", "worker_ref": "worker-0001", "record": "5" * 64},
}
LEAF = Leaf(Kind.STOP, b"\x01" * 32, b"\x02" * 32, b"\x03" * 32)


def test_the_codes_are_frozen() -> None:
    assert {kind.name: int(kind) for kind in Kind} == {
        "GRANT": 1,
        "NARROW": 2,
        "STOP": 3,
        "RESUME": 4,
        "REVOKE": 5,
        "EXPIRE": 6,
        "REFUSE": 7,
        "REFER": 8,
        "DISCLOSE": 9,
        "RECALL_ANSWER": 10,
        "BASIS": 11,
        "KEY": 12,
        "ERASE": 13,
        "PAD": 14,
        "SHARD": 15,
        "CONFIRM": 16,
    }
    assert {kind for kind in Kind if kind.built} == set(BODIES) == set(SCHEMAS) == BUILT


def test_a_leaf_is_the_documented_104_bytes() -> None:
    data = LEAF.encode()
    assert data == b"\x01\x03" + bytes(6) + b"\x01" * 32 + b"\x02" * 32 + b"\x03" * 32
    assert Leaf.decode(data) == LEAF


def test_a_leaf_has_one_spelling() -> None:
    data = LEAF.encode()
    for at in range(8):
        for bit in range(8):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            reason = refusal(partial(Leaf.decode, bytes(changed)))
            if reason is None:
                assert at == 1, "only the kind may be another valid one"
                assert Leaf.decode(bytes(changed)).encode() == bytes(changed)
            else:
                assert reason is Reason.MALFORMED
    for size in (0, 103, 105):
        with pytest.raises(SafehandError):
            Leaf.decode((data + b"\x00")[:size])
    for code in (0, 17, 255):
        with pytest.raises(SafehandError):
            Leaf.decode(data[:1] + bytes([code]) + data[2:])


def test_a_leaf_of_odd_fields_is_not_built() -> None:
    with pytest.raises(SafehandError):
        Leaf(Kind.STOP, b"\x01" * 31, b"\x02" * 32, b"\x03" * 32).encode()


def test_tags_follow_the_frozen_formula() -> None:
    secret = bytes(range(32))
    for kind in BUILT - {Kind.KEY}:
        context = f"safehand/v1/tag/{kind.name}".encode() + b"\x00"
        for counter in (0, 1, 300):
            expected = hashlib.sha256(context + secret + counter.to_bytes(8, "big")).digest()
            assert grant_tag(kind, secret, counter) == expected
    expected = hashlib.sha256(
        b"safehand/v1/tag/KEY\x00" + b"\x00\x00\x00\x08agency-b" + (5).to_bytes(8, "big")
    ).digest()
    assert key_tag("agency-b", 5) == expected


def test_tags_refuse_what_has_none() -> None:
    for kind, secret, counter in (
        (Kind.KEY, bytes(32), 0),
        (Kind.PAD, bytes(32), 0),
        (Kind.STOP, bytes(31), 0),
        (Kind.STOP, bytes(32), -1),
        (Kind.STOP, bytes(32), 2**53),
    ):
        with pytest.raises(SafehandError):
            grant_tag(kind, secret, counter)
    with pytest.raises(SafehandError):
        key_tag("agencé", 0)


def test_every_built_kind_has_a_body_that_survives_the_round_trip() -> None:
    for kind, body in BODIES.items():
        assert decode_body(kind, encode_body(kind, body)) == body


BAD: list[Json] = ["", "x", -1, 2**53, True, [], {}, ["CARD", "CARD"], ["NAME", "CARD"], ["X"]]


@pytest.mark.parametrize("kind", list(BODIES))
def test_every_field_of_every_body_is_checked(kind: Kind) -> None:
    body = BODIES[kind]
    for field in body:
        missing = {key: value for key, value in body.items() if key != field}
        with pytest.raises(SafehandError):
            check_body(kind, missing)
        for value in BAD:
            if field == "accept" and value == "":
                continue
            with pytest.raises(SafehandError) as refused:
                check_body(kind, {**body, field: value})
            assert refused.value.reason is Reason.MALFORMED
            assert refused.value.metadata == {"field": field}
    with pytest.raises(SafehandError):
        check_body(kind, {**body, "more": 1})


@pytest.mark.parametrize("kind", list(MORE))
def test_optional_keys_come_in_whole_groups(kind: Kind) -> None:
    body = {**BODIES[kind], **MORE[kind]}
    assert decode_body(kind, encode_body(kind, body)) == body
    assert {key for group in OPTIONAL[kind] for key in group} == MORE[kind].keys()
    for group in OPTIONAL[kind]:
        check_body(kind, {**BODIES[kind], **{key: MORE[kind][key] for key in group}})
        for field in group:
            if len(group) > 1:
                with pytest.raises(SafehandError):
                    check_body(kind, {key: body[key] for key in body if key != field})
            for value in BAD:
                with pytest.raises(SafehandError) as refused:
                    check_body(kind, {**body, field: value})
                assert refused.value.metadata == {"field": field}


def test_reserved_kinds_have_no_body() -> None:
    for kind in set(Kind) - BUILT:
        with pytest.raises(SafehandError):
            check_body(kind, {"kind": kind.name})


def test_a_body_of_another_kind_is_refused() -> None:
    with pytest.raises(SafehandError):
        check_body(Kind.RESUME, {**BODIES[Kind.RESUME], "kind": "STOP"})


def test_a_body_may_reach_its_longest_values_and_no_more() -> None:
    body = {**BODIES[Kind.GRANT], "language": "de" + "-a" * 16 + "b"}
    check_body(Kind.GRANT, body)
    with pytest.raises(SafehandError):
        check_body(Kind.GRANT, {**body, "language": "de" + "-a" * 17})
    check_body(Kind.DISCLOSE, {**BODIES[Kind.DISCLOSE], "accept": "9" * 64})
    with pytest.raises(SafehandError):
        check_body(Kind.DISCLOSE, {**BODIES[Kind.DISCLOSE], "part": 16})


def test_the_commitment_follows_the_frozen_formula() -> None:
    salt, body = bytes(range(32)), encode_body(Kind.STOP, BODIES[Kind.STOP])
    expected = hashlib.sha256(b"safehand/v1/body\x00" + salt + body).digest()
    assert body_commitment(salt, body) == expected
    with pytest.raises(SafehandError):
        body_commitment(salt[:-1], body)


def opened(kind: Kind) -> tuple[Opening, Leaf]:
    salt, body = bytes(range(32)), BODIES[kind]
    commitment = body_commitment(salt, encode_body(kind, body))
    return Opening(7, kind, salt, body), Leaf(kind, bytes(32), commitment, bytes(32))


@pytest.mark.parametrize("kind", list(BODIES))
def test_an_opening_survives_the_round_trip_and_opens_its_leaf_alone(kind: Kind) -> None:
    opening, leaf = opened(kind)
    data = opening.to_bytes()
    assert data == canonical.encode(json.loads(data)) + b"\n"
    assert Opening.from_bytes(data) == opening
    opening.require_match(leaf)
    for other in BODIES:
        if other is not kind:
            with pytest.raises(SafehandError) as refused:
                opening.require_match(opened(other)[1])
            assert refused.value.reason is Reason.PROOF_INVALID


def test_every_changed_byte_of_an_opening_is_refused() -> None:
    opening, leaf = opened(Kind.DISCLOSE)
    data = opening.to_bytes()
    index = data.index(b'"index":7') + 8
    for at in range(len(data)):
        if at == index:
            continue  # another index is the reader's to compare: the leaf does not hold it
        changed = bytearray(data)
        changed[at] ^= 0x01
        with pytest.raises(SafehandError):
            Opening.from_bytes(bytes(changed)).require_match(leaf)


@given(st.binary(max_size=300))
def test_only_refusals_escape_whatever_comes(data: bytes) -> None:
    assert refusal(lambda: Leaf.decode(data)) in (None, Reason.MALFORMED)
    assert refusal(lambda: Opening.from_bytes(data)) is Reason.MALFORMED
    assert refusal(lambda: decode_body(Kind.STOP, data)) is Reason.MALFORMED

"""Whatever bytes come in, a reader answers or refuses with a reason; nothing else escapes."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safehand_core import canonical
from safehand_core.errors import SafehandError
from safehand_formats import (
    answer,
    keyrecord,
    manifest,
    note,
    opening,
    proof,
    release_request,
    sealing,
    sharing_protocol,
    signing,
    token,
    wraps,
)
from safehand_formats.checkpoint import Checkpoint
from safehand_formats.leaf import Leaf

from tests.formats import second_decoder, strategies
from tests.formats.test_vectors import FOLDER
from tests.vectors import parties as p

DECODERS: dict[str, Callable[[bytes], Any]] = {
    "header": manifest.Header.decode,
    "manifest": manifest.Manifest.decode,
    "key record": keyrecord.KeyRecord.decode,
    "protocol": sharing_protocol.SharingProtocol.decode,
    "answer": answer.Answer.decode,
    "ack": answer.AnswerAck.decode,
    "release request": release_request.ReleaseRequest.decode,
    "claims": token.TokenClaims.decode,
    "leaf": Leaf.decode,
    "opening": opening.Opening.from_bytes,
    "checkpoint": lambda data: Checkpoint.from_text(note.decode_utf8(data)),
    "proof": lambda data: proof.TlogProof.from_text(note.decode_utf8(data)),
    "vkey": lambda data: note.NoteVerifier.from_vkey(note.decode_utf8(data)),
    "signature": lambda data: signing.verify(data[:32], "safehand/v1/x", b"", data[32:]),
    "recipient key": sealing.load_recipient_public,
    "seed": sealing.recipient_public,
    "inner wrap": lambda data: sealing.open_inner_wrap(p.HEADER, p.CARD_LABEL, b"", data, p.SEED),
    "part": lambda data: sealing.open_part(
        p.HEADER, p.CARD_LABEL, data, data.ljust(1168, b"\x00")[:1168], p.SEED
    ),
    "outer wrap": lambda data: wraps.outer_unwrap(bytes(32), bytes(32), 0, data),
    "category key": lambda data: wraps.open_category_key(
        bytes(32), 0, p.random_id("grant"), "CARD", data
    ),
    "token": lambda data: token.verify(
        data.decode("latin-1"),
        keys={},
        issuer="i",
        audience="a",
        now=0,
        peer_cert_der=b"",
    ),
}
SIZES = {"leaf": 104, "signature": 96, "recipient key": 1216, "seed": 32, "inner wrap": 1168}
SIZES |= {"outer wrap": 1196, "category key": 60}


@pytest.mark.parametrize("name", sorted(DECODERS))
def test_no_bytes_make_a_reader_fail_otherwise(name: str) -> None:
    size = SIZES.get(name, 8)

    @given(st.binary(max_size=300) | st.binary(min_size=size, max_size=size))
    def check(data: bytes) -> None:
        with suppress(SafehandError):
            DECODERS[name](data)

    check()


@pytest.mark.parametrize("name", sorted(DECODERS))
def test_no_json_makes_a_reader_fail_otherwise(name: str) -> None:
    @given(strategies.json_values)
    def check(value: Any) -> None:
        data = json.dumps(value, separators=(",", ":"), sort_keys=False).encode()
        with suppress(SafehandError):
            DECODERS[name](data)

    check()


MESSAGES = {
    "manifest": ("manifest", "manifest"),
    "key record": ("key-record", "message"),
    "protocol": ("protocol", "message"),
    "answer": ("answer", "message"),
    "ack": ("answer-ack", "message"),
    "release request": ("release-request", "message"),
}


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    out = [path] if path else []
    if isinstance(value, dict):
        for key, item in value.items():
            out += _paths(item, (*path, key))
    if isinstance(value, list):
        for number, item in enumerate(value):
            out += _paths(item, (*path, number))
    return out


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_one_odd_value_in_a_message_is_refused_or_read_back_the_same(name: str) -> None:
    format_name, key = MESSAGES[name]
    document = json.loads((FOLDER / f"{format_name}.json").read_text("utf-8"))["base"][key]
    paths = _paths(json.loads(document))

    @given(st.sampled_from(paths), strategies.json_values)
    def check(path: tuple[Any, ...], odd: Any) -> None:
        value = json.loads(document)
        spot = value
        for step in path[:-1]:
            spot = spot[step]
        spot[path[-1]] = odd
        try:
            data = canonical.encode(value)
            read = DECODERS[name](data)
        except SafehandError:
            return
        assert read.encode() == data

    check()


@given(strategies.json_values)
def test_two_writers_of_canonical_json_agree(value: Any) -> None:
    try:
        ours = canonical.encode(value)
    except SafehandError:
        with pytest.raises(second_decoder.Refused):
            second_decoder.cj_encode(value)
        return
    assert second_decoder.cj_encode(value).encode() == ours
    assert canonical.decode(ours, max_bytes=len(ours)) == value
    assert second_decoder.cj(ours, len(ours)) == value


@given(st.binary(max_size=60) | st.text('{}[]":,0123456789-+.eE\\u truefalsn', max_size=40))
def test_two_readers_of_canonical_json_agree(data: bytes | str) -> None:
    raw = data if isinstance(data, bytes) else data.encode()
    try:
        ours = canonical.decode(raw, max_bytes=100)
    except SafehandError:
        with pytest.raises(second_decoder.Refused):
            second_decoder.cj(raw, 100)
        return
    assert second_decoder.cj(raw, 100) == ours


@given(st.data())
def test_a_constructor_takes_no_value_of_another_type(data: st.DataObject) -> None:
    odd = data.draw(strategies.json_values)
    field = data.draw(st.sampled_from(manifest.Header.__slots__))
    values = {name: getattr(p.HEADER, name) for name in manifest.Header.__slots__}
    try:
        header = manifest.Header(**{**values, field: odd})
    except SafehandError:
        return
    assert manifest.Header.decode(header.encode()) == header


@pytest.mark.parametrize("field", ["id", "schema", "bucket"])
@pytest.mark.parametrize("odd", [True, 1.0, "1", None, -1, 2**64])
def test_a_number_of_a_label_is_an_integer_in_range(field: str, odd: Any) -> None:
    values = {name: getattr(p.CARD_LABEL, name) for name in manifest.PartLabel.__slots__}
    with pytest.raises(SafehandError):
        manifest.PartLabel(**{**values, field: odd})

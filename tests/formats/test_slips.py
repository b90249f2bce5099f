"""Slips and check codes: plain words from the body alone, and eight characters to read out."""

from __future__ import annotations

import hashlib
import re
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import checkcode, slips
from safehand_formats.bodies import encode_body
from safehand_formats.kinds import Kind
from safehand_formats.leaf import Leaf, body_commitment
from safehand_formats.opening import Opening

from tests.formats.refusals import refusal
from tests.formats.test_leaf import BODIES, MORE

NAMES = {"agency-a": "Harbour House", "agency-b": "Legal Aid 7"}


def made(kind: Kind, **more: Json) -> slips.Slip:
    body = {**BODIES[kind], **more}
    salt = bytes(32)
    leaf = Leaf(kind, bytes(32), body_commitment(salt, encode_body(kind, body)), bytes(32))
    return slips.slip(Opening(3, kind, salt, body), leaf.encode(), NAMES)


def words(slip: slips.Slip) -> str:
    return " ".join(line.english for line in slip.lines)


@given(st.binary(min_size=32, max_size=32))
def test_a_code_follows_the_frozen_formula(leaf_hash: bytes) -> None:
    digest = hashlib.sha256(b"safehand/v1/check-code\x00" + leaf_hash).digest()
    bits = "".join(f"{byte:08b}" for byte in digest[:5])
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    plain = "".join(alphabet[int(bits[at : at + 5], 2)] for at in range(0, 40, 5))
    assert checkcode.of_leaf_hash(leaf_hash) == f"{plain[:4]}-{plain[4:]}"


@given(st.binary(min_size=32, max_size=32))
def test_a_code_survives_being_read_out(leaf_hash: bytes) -> None:
    code = checkcode.of_leaf_hash(leaf_hash)
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}", code)
    heard = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert checkcode.parse(f"  {heard} ") == code


@pytest.mark.parametrize("text", ["", "1234567", "123456789", "ABCD-EFGU", "ABCD–EFGH", "٠٠٠٠٠٠٠٠"])
def test_what_is_no_code_is_refused(text: str) -> None:
    assert refusal(partial(checkcode.parse, text)) is Reason.MALFORMED


def test_every_slip_says_something_that_is_whole() -> None:
    for kind in slips.KINDS:
        for more in ({}, MORE.get(kind, {})):
            for line in made(kind, **more).lines:
                assert line.english.endswith(".")
                assert "{" not in line.english


def test_a_grant_names_who_what_why_and_until_when() -> None:
    said = words(made(Kind.GRANT, expires_at=86_400 * 400, erase_by=86_400 * 430))
    for part in ("Harbour House", "Legal Aid 7", "your name", "a safe place to stay"):
        assert part in said
    assert "5 February 1971" in said
    assert "any time" in said


def test_who_stopped_it_is_said() -> None:
    said = {by: words(made(Kind.STOP, by=by)) for by in ("self", "worker", "representative")}
    assert len(set(said.values())) == 3
    assert said["self"].startswith("You stopped it")
    for text in said.values():
        # The window is a promise about a moment, and help is none of it.
        assert re.search(r"until 1 January 1970, 00:03 UTC", text)
        assert "It does not end a place or an appointment." in text


def test_only_an_end_says_that_keys_are_deleted() -> None:
    assert "keys are deleted" in words(made(Kind.REVOKE))
    assert "keys are deleted" in words(made(Kind.EXPIRE))
    for kind in (Kind.GRANT, Kind.REFUSE, Kind.RESUME, Kind.CONFIRM):
        assert "deleted," not in words(made(kind))


def test_void_is_another_word_than_over_and_says_no_reason() -> None:
    # A worker's word and her No to a record make it void too: the entry does not say why.
    void = words(made(Kind.REVOKE, cause="invalidated"))
    assert "It is void since 1 January 1970: it counts as no consent." in void
    assert "made to" not in void
    assert "void" not in words(made(Kind.REVOKE))
    assert words(made(Kind.EXPIRE, cause="unconfirmed")) != words(made(Kind.EXPIRE))


def test_what_was_final_at_once_is_not_said_to_be_undone() -> None:
    at = BODIES[Kind.STOP]["at"]
    said = words(made(Kind.STOP, final_at=at))
    assert "It can not be turned on again." in said
    assert "until" not in said
    assert "can not" not in words(made(Kind.STOP))


def test_an_end_is_said_to_be_when_it_was_and_not_when_it_was_written_down() -> None:
    for more in ({}, {"cause": "unconfirmed"}):
        said = words(made(Kind.EXPIRE, at=86_400 * 400, expires_at=86_400 * 395, **more))
        assert "31 January 1971" in said
        assert "5 February 1971" not in said


def test_a_lapse_fits_a_word_and_a_signature_that_did_not_come() -> None:
    said = words(made(Kind.EXPIRE, cause="unconfirmed"))
    assert "because nobody confirmed or signed it in time" in said


def test_a_no_does_not_say_who_asked() -> None:
    said = words(made(Kind.REFUSE))
    assert "You were asked whether Harbour House may tell Legal Aid 7: " in said
    assert "Harbour House asked" not in said


def test_a_narrowing_does_not_say_that_something_was_taken_out() -> None:
    # Its body names what stays: it may have moved the end alone.
    assert "If you took something out, it can not be opened any more" in words(made(Kind.NARROW))


def test_the_short_form_says_nothing_of_what_it_is() -> None:
    slip = made(Kind.STOP)
    assert slip.short == f"1 January 1970  {slip.code}"


def test_other_kinds_have_no_slip_and_a_false_opening_none_either() -> None:
    for kind in set(BODIES) - slips.KINDS:
        with pytest.raises(SafehandError) as refused:
            made(kind)
        assert refused.value.reason is Reason.NOT_FOUND
    body = BODIES[Kind.STOP]
    leaf = Leaf(Kind.STOP, bytes(32), bytes(32), bytes(32)).encode()
    with pytest.raises(SafehandError) as refused:
        slips.slip(Opening(3, Kind.STOP, bytes(32), body), leaf)
    assert refused.value.reason is Reason.PROOF_INVALID

"""Records and seconds: what goes in comes out, and nothing else is believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from safehand_core import canonical, words
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import fields, signing
from safehand_formats.record import (
    CONTEXT,
    SECOND_CONTEXT,
    Record,
    RecordedTerms,
    Second,
    SignedRecord,
    SignedSecond,
)

AGENCIES = st.from_regex(r"[a-z][a-z0-9-]{1,39}", fullmatch=True)
REFS = st.from_regex(r"[a-z0-9][a-z0-9-]{3,63}", fullmatch=True)
TIMES = st.integers(0, 2**53 - 1)
HEX32 = st.binary(min_size=32, max_size=32).map(bytes.hex)
IDS = st.uuids().map(str)
CATEGORIES = st.sets(st.sampled_from(sorted(words.CATEGORIES)), min_size=1).map(
    lambda names: tuple(sorted(names))
)
TERMS = st.builds(
    RecordedTerms,
    releasing=AGENCIES,
    recipient=AGENCIES,
    purpose=st.sampled_from(sorted(words.PURPOSES)),
    categories=CATEGORIES,
    expires_at=TIMES,
    erase_by=TIMES,
    notice=HEX32,
    language=st.sampled_from(["en", "es-419", "prs", "zh-Hant-TW"]),
    given_how=st.sampled_from(words.CONSENT_GIVEN_HOW),
    present=st.sampled_from(words.CONSENT_PRESENT),
)
RECORDS = st.builds(
    Record,
    agency=AGENCIES,
    worker_ref=REFS,
    subject_ref=REFS,
    medium=st.sampled_from(words.RECORDED_MEDIA),
    terms=TERMS,
    request_id=IDS,
    at=TIMES,
)
SECONDS = st.builds(
    Second,
    agency=AGENCIES,
    worker_ref=REFS,
    subject_ref=REFS,
    record=HEX32,
    request_id=IDS,
    at=TIMES,
)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
RECORD = Record(
    agency="agency-a",
    worker_ref="worker-1",
    subject_ref="case-0001",
    medium="paper",
    terms=RecordedTerms(
        releasing="agency-a",
        recipient="agency-b",
        purpose="legal",
        categories=("CARD", "NAME"),
        expires_at=200,
        erase_by=300,
        notice="ab" * 32,
        language="en",
        given_how="heard",
        present="with_worker",
    ),
    request_id="00000000-0000-4000-8000-000000000001",
    at=100,
)
SECOND = Second("agency-c", "nurse-9", "client-7", "cd" * 32, RECORD.request_id, 101)


def refusal(reason: Reason) -> Any:
    return pytest.raises(SafehandError, check=lambda error: error.reason is reason)


@given(RECORDS)
def test_every_record_survives_encoding_and_decoding(record: Record) -> None:
    data = record.encode()
    assert Record.decode(data) == record
    assert Record.decode(data).encode() == data


@given(SECONDS)
def test_every_second_survives_encoding_and_decoding(second: Second) -> None:
    data = second.encode()
    assert Second.decode(data) == second
    assert Second.decode(data).encode() == data


def test_the_bytes_are_the_frozen_ones() -> None:
    """Written out, so that a changed key or order is a changed test."""
    assert RECORD.encode() == (
        b'{"agency":"agency-a","at":100,"medium":"paper",'
        b'"request_id":"00000000-0000-4000-8000-000000000001","subject_ref":"case-0001",'
        b'"terms":{"categories":["CARD","NAME"],"erase_by":300,"expires_at":200,'
        b'"given_how":"heard","language":"en","notice":"' + b"ab" * 32 + b'",'
        b'"present":"with_worker","purpose":"legal","recipient":"agency-b",'
        b'"releasing":"agency-a"},"v":1,"worker_ref":"worker-1"}'
    )
    assert SECOND.encode() == (
        b'{"agency":"agency-c","at":101,"record":"' + b"cd" * 32 + b'",'
        b'"request_id":"00000000-0000-4000-8000-000000000001","subject_ref":"client-7",'
        b'"v":1,"worker_ref":"nurse-9"}'
    )
    signed = SignedRecord.sign(RECORD, KEY)
    lp = fields.lp(RECORD.encode())
    assert signed.digest == fields.sha256(CONTEXT.encode() + b"\0" + lp + signed.signature)
    assert CONTEXT == "safehand/v1/record"
    assert SECOND_CONTEXT == "safehand/v1/second"


WRONG: list[Callable[[], object]] = [
    lambda: replace(RECORD, agency="Agency A"),
    lambda: replace(RECORD, worker_ref="Maria Lopez"),
    lambda: replace(RECORD, subject_ref=""),
    lambda: replace(RECORD, medium="photo"),
    lambda: replace(RECORD, request_id="1"),
    lambda: replace(RECORD, at=-1),
    lambda: replace(RECORD, at=True),
    lambda: replace(RECORD.terms, releasing=""),
    lambda: replace(RECORD.terms, recipient="B"),
    lambda: replace(RECORD.terms, purpose="marketing"),
    lambda: replace(RECORD.terms, categories=()),
    lambda: replace(RECORD.terms, categories=("NAME", "CARD")),
    lambda: replace(RECORD.terms, categories=("CARD", "CARD")),
    lambda: replace(RECORD.terms, expires_at=-1),
    lambda: replace(RECORD.terms, erase_by=2**53),
    lambda: replace(RECORD.terms, notice="ab"),
    lambda: replace(RECORD.terms, language="e"),
    lambda: replace(RECORD.terms, language="en-" + "a-" * 20 + "a"),
    lambda: replace(RECORD.terms, given_how="guessed"),
    lambda: replace(RECORD.terms, present="with_him"),
    lambda: replace(SECOND, agency=""),
    lambda: replace(SECOND, worker_ref="x"),
    lambda: replace(SECOND, record="cd"),
    lambda: replace(SECOND, request_id=""),
]


@pytest.mark.parametrize("make", WRONG)
def test_a_field_out_of_its_range_is_refused(make: Callable[[], object]) -> None:
    with refusal(Reason.MALFORMED):
        make()


@pytest.mark.parametrize("message", [RECORD, SECOND], ids=["record", "second"])
def test_exactly_the_keys_of_the_format(message: Any) -> None:
    value = canonical.decode_object(message.encode(), max_bytes=4096)
    for key in value:
        less = {k: v for k, v in value.items() if k != key}
        with refusal(Reason.MALFORMED):
            type(message).decode(canonical.encode(less))
    for more in ({"extra": 1}, {"v": 2}):
        with refusal(Reason.MALFORMED):
            type(message).decode(canonical.encode({**value, **more}))


def test_only_the_agencys_key_and_the_right_context_sign_it() -> None:
    signed, public = SignedRecord.sign(RECORD, KEY), signing.public_bytes(KEY)
    assert signed.verify(public) == RECORD
    made = SignedSecond.sign(SECOND, KEY)
    assert made.verify(public) == SECOND
    for wrong in (SignedRecord.sign(RECORD, OTHER), replace(signed, signature=made.signature)):
        with refusal(Reason.SIGNATURE_INVALID):
            wrong.verify(public)
    data = SECOND.encode()
    with refusal(Reason.SIGNATURE_INVALID):
        SignedSecond(data, signing.sign(KEY, CONTEXT, data)).verify(public)
    changed = replace(RECORD, worker_ref="worker-2").encode()
    with refusal(Reason.SIGNATURE_INVALID):
        SignedRecord(changed, signed.signature).verify(public)

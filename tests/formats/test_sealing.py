"""Sealing: only the named recipient, only under the signed header and label, opens a part."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safehand_core.entropy import SeededEntropy, SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CATEGORIES
from safehand_formats import fields, sealing, wraps
from safehand_formats.manifest import BUCKETS, Header, Manifest, PartLabel, SignedManifest, stage_of

from tests.formats import second_decoder, strategies
from tests.formats.test_messages import refusal
from tests.vectors import parties as p

ENTROPY = SystemEntropy()
contents = st.binary(max_size=1020)


@given(contents)
def test_the_recipient_reads_what_was_sealed(content: bytes) -> None:
    part = sealing.seal_part(p.HEADER, p.CARD_LABEL, content, p.HPKE_PUBLIC, ENTROPY)
    opened = sealing.open_part(p.HEADER, p.CARD_LABEL, part.ciphertext, part.inner_wrap, p.SEED)
    assert opened == content
    assert len(part.ciphertext) == 1024 + sealing.TAG_BYTES
    assert len(part.inner_wrap) == sealing.INNER_WRAP_BYTES
    part.part.match_ciphertext(part.ciphertext)
    part.part.match_wrap(part.inner_wrap)


@settings(max_examples=25)
@given(contents)
def test_a_reader_that_shares_no_code_opens_what_we_seal(content: bytes) -> None:
    sealed = sealing.seal_part(p.HEADER, p.CARD_LABEL, content, p.HPKE_PUBLIC, ENTROPY)
    signed = SignedManifest.sign(Manifest(p.HEADER, (sealed.part,)), p.SENDER)
    value = second_decoder.sealed_part_case(
        {
            "manifest": signed.manifest_bytes.decode(),
            "signature": signed.signature.hex(),
            "public": p.SENDER_PUBLIC.hex(),
            "part": 0,
            "ciphertext": sealed.ciphertext.hex(),
            "inner_wrap": sealed.inner_wrap.hex(),
            "seed": p.SEED.hex(),
        }
    )
    assert value == {"content": content.hex()}


@given(data=st.data())
def test_any_changed_byte_of_what_was_sealed_is_refused(data: st.DataObject) -> None:
    sealed = sealing.seal_part(p.HEADER, p.CARD_LABEL, b"content", p.HPKE_PUBLIC, ENTROPY)
    whole = bytearray(sealed.ciphertext + sealed.inner_wrap)
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    cut = len(sealed.ciphertext)
    with pytest.raises(SafehandError):
        sealing.open_part(p.HEADER, p.CARD_LABEL, bytes(whole[:cut]), bytes(whole[cut:]), p.SEED)


@given(strategies.headers(recipient_key=p.HEADER.recipient_key))
def test_a_part_opens_under_no_other_header(other: Header) -> None:
    sealed = sealing.seal_part(p.HEADER, p.CARD_LABEL, b"content", p.HPKE_PUBLIC, ENTROPY)
    with refusal(Reason.WRAP_INVALID):
        sealing.open_part(other, p.CARD_LABEL, sealed.ciphertext, sealed.inner_wrap, p.SEED)


@pytest.mark.parametrize("key", [field for field in Header.__slots__ if field != "recipient_key"])
def test_a_part_opens_under_no_header_that_differs_in_one_field(key: str) -> None:
    others: dict[str, Any] = {
        "referral": p.random_id("other"),
        "grant": p.random_id("other"),
        "sender": "harbour-home",
        "sender_key": p.digest("other"),
        "recipient": "legal-aid-8",
        "purpose": "housing",
        "service": "svc-0043",
        "urgency": "normal",
        "created": p.NOW + 1,
        "not_after": p.NOW + 31 * p.DAY,
        "reseals": p.digest("older"),
    }
    sealed = sealing.seal_part(p.HEADER, p.CARD_LABEL, b"content", p.HPKE_PUBLIC, ENTROPY)
    other = replace(p.HEADER, **{key: others[key]})
    with refusal(Reason.WRAP_INVALID):
        sealing.open_part(other, p.CARD_LABEL, sealed.ciphertext, sealed.inner_wrap, p.SEED)


@pytest.mark.parametrize(
    "label",
    [
        PartLabel(1, "CARD", "card", 1, 1024),
        PartLabel(0, "HEALTH", "identity", 1, 1024),
        PartLabel(0, "CARD", "card", 2, 1024),
        PartLabel(0, "CARD", "card", 1, 4096),
    ],
    ids=["id", "category", "schema", "bucket"],
)
def test_a_relabelled_part_does_not_open(label: PartLabel) -> None:
    sealed = sealing.seal_part(p.HEADER, p.CARD_LABEL, b"content", p.HPKE_PUBLIC, ENTROPY)
    with refusal(Reason.WRAP_INVALID):
        sealing.open_part(p.HEADER, label, sealed.ciphertext, sealed.inner_wrap, p.SEED)


@pytest.mark.parametrize("category", sorted(CATEGORIES))
def test_a_label_has_the_stage_of_its_category(category: str) -> None:
    wrong = "identity" if stage_of(category) == "card" else "card"
    with refusal(Reason.MALFORMED):
        PartLabel(0, category, wrong, 1, 1024)


def test_a_part_for_one_recipient_does_not_open_for_another() -> None:
    sealed = sealing.seal_part(p.HEADER, p.CARD_LABEL, b"content", p.HPKE_PUBLIC, ENTROPY)
    with refusal(Reason.WRAP_INVALID):
        sealing.open_part(
            p.HEADER, p.CARD_LABEL, sealed.ciphertext, sealed.inner_wrap, p.OTHER_SEED
        )


def test_a_part_is_sealed_only_for_the_key_that_the_header_names() -> None:
    with refusal(Reason.MANIFEST_MISMATCH):
        sealing.seal_part(p.HEADER, p.CARD_LABEL, b"", p.OTHER_HPKE_PUBLIC, ENTROPY)


def test_a_wrap_does_not_open_with_another_parts_ciphertext() -> None:
    first = sealing.seal_part(p.HEADER, p.CARD_LABEL, b"one", p.HPKE_PUBLIC, ENTROPY)
    second = sealing.seal_part(p.HEADER, p.CARD_LABEL, b"two", p.HPKE_PUBLIC, ENTROPY)
    with refusal(Reason.WRAP_INVALID):
        sealing.open_part(p.HEADER, p.CARD_LABEL, first.ciphertext, second.inner_wrap, p.SEED)


def test_hpke_draws_its_own_randomness() -> None:
    """The library takes no entropy for it, so equal inputs give unequal wraps."""
    first, second = (
        sealing.seal_part(p.HEADER, p.CARD_LABEL, b"one", p.HPKE_PUBLIC, SeededEntropy(b"x"))
        for _ in range(2)
    )
    assert first.ciphertext == second.ciphertext
    assert first.inner_wrap != second.inner_wrap


@given(st.integers(0, 65532))
def test_the_bucket_is_the_smallest_that_holds_the_content(length: int) -> None:
    bucket = sealing.bucket_for(length)
    assert length + 4 <= bucket
    assert all(length + 4 > smaller for smaller in BUCKETS if smaller < bucket)


def test_content_beyond_the_largest_bucket_is_refused() -> None:
    with refusal(Reason.TOO_LARGE):
        sealing.bucket_for(65533)
    with refusal(Reason.TOO_LARGE):
        sealing.seal_part(p.HEADER, p.CARD_LABEL, bytes(1021), p.HPKE_PUBLIC, ENTROPY)


@given(st.binary(max_size=2000))
def test_padding_is_undone_or_refused(padded: bytes) -> None:
    try:
        content = sealing.unpad(padded)
    except SafehandError:
        return
    assert fields.lp(content).ljust(len(padded), b"\x00") == padded


def test_a_fresh_recipient_key_opens_its_own_and_only_its_own() -> None:
    seed, public = sealing.generate_recipient_key()
    assert (len(seed), len(public)) == (sealing.SEED_BYTES, sealing.PUBLIC_BYTES)
    assert sealing.recipient_public(seed) == public
    assert sealing.generate_recipient_key(SeededEntropy(b"k")) == sealing.generate_recipient_key(
        SeededEntropy(b"k")
    )
    header = replace(p.HEADER, recipient_key=sealing.recipient_key_id(public))
    sealed = sealing.seal_part(header, p.CARD_LABEL, b"content", public, ENTROPY)
    args = (header, p.CARD_LABEL, sealed.ciphertext, sealed.inner_wrap)
    assert sealing.open_part(*args, seed) == b"content"
    with refusal(Reason.WRAP_INVALID):
        sealing.open_part(*args, p.SEED)


# --- outer wraps and category keys ------------------------------------------------------------

INNER = bytes(range(256)) * 4 + bytes(144)
DIGEST = bytes.fromhex(p.digest("manifest"))
KEY = SeededEntropy(b"category").bytes(32)


def test_an_outer_wrap_gives_back_the_inner_one() -> None:
    outer = wraps.outer_wrap(KEY, DIGEST, 3, INNER, ENTROPY)
    assert len(outer) == wraps.OUTER_WRAP_BYTES == 1196
    assert wraps.outer_unwrap(KEY, DIGEST, 3, outer) == INNER
    assert outer != wraps.outer_wrap(KEY, DIGEST, 3, INNER, ENTROPY)


@given(data=st.data())
def test_any_changed_byte_of_an_outer_wrap_is_refused(data: st.DataObject) -> None:
    outer = bytearray(wraps.outer_wrap(KEY, DIGEST, 3, INNER, ENTROPY))
    outer[data.draw(st.integers(0, len(outer) - 1))] ^= data.draw(st.integers(1, 255))
    with refusal(Reason.WRAP_INVALID):
        wraps.outer_unwrap(KEY, DIGEST, 3, bytes(outer))


@given(st.binary(min_size=32, max_size=32), st.integers(0, 15), st.binary(min_size=32, max_size=32))
def test_an_outer_wrap_moved_elsewhere_does_not_open(
    digest: bytes, part_id: int, key: bytes
) -> None:
    outer = wraps.outer_wrap(KEY, DIGEST, 3, INNER, ENTROPY)
    if (digest, part_id, key) != (DIGEST, 3, KEY):
        with refusal(Reason.WRAP_INVALID):
            wraps.outer_unwrap(key, digest, part_id, outer)


def test_an_outer_wrap_opens_for_no_other_part_referral_or_category() -> None:
    outer = wraps.outer_wrap(KEY, DIGEST, 3, INNER, ENTROPY)
    other_key = SeededEntropy(b"another category").bytes(32)
    other_digest = bytes.fromhex(p.digest("another referral"))
    for args in ((KEY, DIGEST, 4), (KEY, other_digest, 3), (other_key, DIGEST, 3)):
        with refusal(Reason.WRAP_INVALID):
            wraps.outer_unwrap(*args, outer)


@pytest.mark.parametrize(
    ("epoch", "grant", "category"),
    [
        (8, p.random_id("grant"), "NAME"),
        (7, p.random_id("other"), "NAME"),
        (7, p.random_id("grant"), "HEALTH"),
    ],
    ids=["epoch", "grant", "category"],
)
def test_a_category_key_at_rest_opens_only_in_its_own_row(
    epoch: int, grant: str, category: str
) -> None:
    kek = SeededEntropy(b"kek").bytes(32)
    sealed = wraps.seal_category_key(kek, 7, p.random_id("grant"), "NAME", KEY, ENTROPY)
    assert len(sealed) == wraps.SEALED_KEY_BYTES == 60
    assert wraps.open_category_key(kek, 7, p.random_id("grant"), "NAME", sealed) == KEY
    with refusal(Reason.LEDGER_CORRUPT):
        wraps.open_category_key(kek, epoch, grant, category, sealed)


def test_the_digest_of_outer_wraps_depends_on_their_borders_and_order() -> None:
    lists = [[b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"c", b"ab"], [b"ab", b"c", b""], []]
    assert len({wraps.outer_wraps_digest(item) for item in lists}) == len(lists)

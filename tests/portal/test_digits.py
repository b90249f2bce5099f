"""Digits of every script, as people type and paste them."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safehand_portal_service import digits

ZEROS = [
    chr(code)
    for code in range(sys.maxunicode + 1)
    if unicodedata.decimal(chr(code), None) == 0 and unicodedata.decimal(chr(code + 9), None) == 9
]
"""The zero of every script that Unicode knows; its other nine digits follow."""
BETWEEN = (
    " \t\u00a0\u202f\u2009-\u2010\u2011\u2013\u2014\u2212"
    "\u00ad\u200e\u200f\u202a\u202c\u2066\u2069\u061c\ufeff"
)


def test_unicode_has_the_scripts_that_matter() -> None:
    assert {"0", "٠", "۰", "०", "০", "၀", "០"} <= set(ZEROS)


@given(
    number=st.text("0123456789", min_size=1, max_size=12),
    zeros=st.lists(st.sampled_from(ZEROS), min_size=1, max_size=12),
    between=st.text(BETWEEN, max_size=3),
)
def test_any_script_any_mixture_any_spacing(number: str, zeros: list[str], between: str) -> None:
    typed = between.join(
        chr(ord(zeros[place % len(zeros)]) + int(digit)) for place, digit in enumerate(number)
    )

    assert digits.plain(between + typed + between) == number


@given(st.text("0123456789", max_size=20), st.sampled_from(["arab", "arabext", "deva", "latn"]))
def test_what_is_shown_can_be_typed_back(number: str, system: str) -> None:
    assert digits.plain(digits.shaped(number, system)) == number


@pytest.mark.parametrize("text", ["12a4", "1.2", "1,2", "½", "²", "一", "1/2", "\x001"])
def test_nothing_else_becomes_a_digit_or_disappears(text: str) -> None:
    assert not digits.plain(text).isascii() or not digits.plain(text).isdecimal()


@given(st.text(max_size=40))
def test_ascii_digits_or_what_was_there(text: str) -> None:
    plain = digits.plain(text)

    assert digits.plain(plain) == plain
    assert all(char in digits.ASCII or char in text for char in plain)


def test_a_paste_from_a_message() -> None:
    assert digits.plain("\u200f٤٠٥٥ 1234‑۶۷۸۹\u00a0") == "405512346789"


def test_an_unknown_system_leaves_ascii() -> None:
    assert digits.shaped("42", "klingon") == "42"
    assert digits.shaped("2026-1", "arab") == "٢٠٢٦-١"

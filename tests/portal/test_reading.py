"""English is the text of record: each entry and each page reads at grade 5 or below."""

from __future__ import annotations

import re

import pytest
from safehand_portal_service.catalogue import SOURCE, read
from safehand_portal_service.words import LOCALE

from tests.portal.reading import (
    GRADE_MAX,
    SYLLABLES_MAX,
    WORDS_MAX,
    WORDS_TO_GRADE,
    grade,
    sentences,
    syllables,
    words,
)

ENGLISH = read(LOCALE / SOURCE)
_NUMBERS = frozenset({"count", "minutes", "first", "last", "version"})


def shown(form: str) -> str:
    """``form`` with short values in it: what a value is, no text can help."""
    return re.sub(r"\{(\w+)\}", lambda found: "3" if found[1] in _NUMBERS else "Bay", form)


def texts(page: str) -> dict[str, list[str]]:
    return {
        key: [shown(form) for form in entry.forms]
        for key, entry in ENGLISH.entries.items()
        if key.split(".", 1)[0] == page
    }


@pytest.mark.parametrize("page", ENGLISH.pages)
def test_no_sentence_is_long(page: str) -> None:
    long = {
        (key, sentence): len(words(sentence))
        for key, forms in texts(page).items()
        for form in forms
        for sentence in sentences(form)
        if len(words(sentence)) > WORDS_MAX
    }

    assert not long


@pytest.mark.parametrize("page", ENGLISH.pages)
def test_every_entry_is_easy(page: str) -> None:
    hard = {
        (key, form): round(grade(form), 1)
        for key, forms in texts(page).items()
        for form in forms
        if len(words(form)) >= WORDS_TO_GRADE and grade(form) > GRADE_MAX
    }

    assert not hard


@pytest.mark.parametrize("page", ENGLISH.pages)
def test_short_texts_have_no_long_words(page: str) -> None:
    long = {
        (key, word)
        for key, forms in texts(page).items()
        for form in forms
        for word in words(form)
        if syllables(word) > SYLLABLES_MAX
    }

    assert not long


@pytest.mark.parametrize("page", ENGLISH.pages)
def test_every_page_is_easy(page: str) -> None:
    every = "\n".join(form for forms in texts(page).values() for form in forms)

    assert grade(every) <= GRADE_MAX


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("you", 1),
        ("stopped", 1),
        ("asked", 1),
        ("needed", 2),
        ("opened", 2),
        ("people", 2),
        ("safe", 1),
        ("places", 2),
        ("services", 3),
        ("phones", 1),
        ("little", 2),
        ("rules", 1),
        ("family", 3),
        ("area", 3),
        ("guardian", 4),
        ("quiet", 2),
        ("science", 2),
        ("question", 2),
        ("information", 4),
        ("interpreter", 4),
        ("organisation", 5),
        ("accommodation", 5),
        ("worker's", 2),
    ],
)
def test_syllables_are_counted(word: str, count: int) -> None:
    assert abs(syllables(word) - count) <= (1 if word in {"guardian", "quiet", "science"} else 0)


def test_the_gate_closes_on_a_text_from_an_office() -> None:
    office = (
        "Pursuant to applicable regulations, your authorisation may be withdrawn at any time by "
        "notifying the responsible organisation in accordance with the procedure described."
    )

    assert grade(office) > 2 * GRADE_MAX
    assert len(words(sentences(office)[0])) > WORDS_MAX
    assert grade("You can stop it now. You do not have to say why. Your help goes on.") < 2

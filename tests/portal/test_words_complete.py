"""The shipped languages: whole, each in its own words, and none of them blaming.

What a missing key, value or plural form does at the start is in ``test_words``; here are the
catalogues that are shipped.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from safehand_portal_service import neutral
from safehand_portal_service.catalogue import SOURCE, read
from safehand_portal_service.words import CHROME, FAILING, LOCALE, SENSITIVE

CODE = LOCALE.parent
OTHERS = sorted(place.name for place in LOCALE.iterdir() if place.is_dir() and place.name != SOURCE)
ENGLISH = read(LOCALE / SOURCE)
SHIPPED = {SOURCE: ENGLISH} | {tag: read(LOCALE / tag, ENGLISH) for tag in OTHERS}

SAME: dict[str, frozenset[str]] = {
    # texts that are the same word, or no word at all, in both languages
    "es": frozenset({"common.when", "asked.no", "list.pin", "signin.pin", "signin.again_title"}),
    "ar": frozenset(),
}
LATIN: frozenset[str] = frozenset({"JavaScript", "Shift"})
"""Latin words that an Arabic text may hold: what is written on a key or in a browser's settings."""

_KEY = re.compile(r"""["'](?P<key>[a-z]+(?:\.[A-Za-z0-9_]+)+)["']""")
_PREFIX = re.compile(r"""["'](?P<prefix>[a-z]+\.(?:[a-z0-9_]+\.)*)(?:\{|["']\s*[~+])""")


def test_english_arabic_and_spanish_are_shipped() -> None:
    assert {"ar", "es"} <= set(OTHERS)


@pytest.mark.parametrize("tag", OTHERS)
def test_a_language_is_whole(tag: str) -> None:
    own = SHIPPED[tag]

    assert own.pages == ENGLISH.pages
    assert list(own.entries) == list(ENGLISH.entries)
    for key, entry in own.entries.items():
        assert all(form.strip() == form != "" for form in entry.forms), key


@pytest.mark.parametrize("tag", OTHERS)
def test_no_english_is_left_in_it(tag: str) -> None:
    same = {
        key
        for key, entry in SHIPPED[tag].entries.items()
        if set(entry.forms) & set(ENGLISH.entries[key].forms)
    }

    assert same <= SAME[tag], sorted(same - SAME[tag])


def test_an_arabic_text_is_arabic() -> None:
    for key, entry in SHIPPED["ar"].entries.items():
        for form in entry.forms:
            text = re.sub(r"\{\w+\}", "", form)
            assert set(re.findall(r"[A-Za-z]+", text)) <= LATIN, key
            assert re.search(r"[\u0621-\u064a]", text) or not text.strip("،, "), key
            assert not re.search(r"[,;?]", text), (
                f"{key}: Arabic has its own comma and question mark"
            )


@pytest.mark.parametrize("tag", sorted(SHIPPED))
def test_no_text_blames_or_labels_her(tag: str) -> None:
    hits = {
        key: neutral.blaming(form, tag)
        for key, entry in SHIPPED[tag].entries.items()
        for form in entry.forms
        if neutral.blaming(form, tag)
    }

    assert not hits


def test_the_lint_finds_what_it_is_for() -> None:
    assert neutral.blaming("Your Case is ready", "en") == ["case"]
    assert neutral.blaming("las víctimas", "es") == ["víctimas"]
    assert neutral.blaming("in any event", "en") == []


def test_nobody_has_reviewed_anything_yet() -> None:
    """True when this was written. Whoever reviews a text takes its page out of here, and says so in
    docs/portal-languages.md."""
    reviewed = [
        key for own in SHIPPED.values() for key, entry in own.entries.items() if entry.reviewed
    ]

    assert reviewed == []


def test_what_the_pages_ask_for_is_there() -> None:
    missing = {
        (file.name, key)
        for file in _sources()
        for key in _named(file)
        if key not in ENGLISH.entries and not _stem(key)
    }

    assert not missing


def test_every_text_is_asked_for() -> None:
    """A text that no page shows is one more for two people to review."""
    named = {key for file in _sources() for key in _named(file)}
    stems = {f"{key}." for key in named if _stem(key)}
    made = tuple(stems.union(*(_prefixes(file) for file in _sources())))
    unused = {key for key in ENGLISH.entries if key not in named and not key.startswith(made)}

    assert not unused


SENSITIVE_SOURCES = (
    "templates/base.html",
    "templates/parts.html",
    "templates/sharing.html",
    "templates/asking.html",
    "templates/info.html",
    "templates/asked_*.html",
    "templates/list*.html",
    "templates/errors.html",
    "pages/asked.py",
    "pages/asking.py",
    "pages/errors.py",
    "pages/info.py",
    "pages/sharing.py",
    "pages/shown_sharing.py",
)
"""What the pages are made of on which no unreviewed text may stand."""


def test_sensitive_pages_borrow_no_words_that_are_not_held_back() -> None:
    files = sorted({file for pattern in SENSITIVE_SOURCES for file in CODE.glob(pattern)})
    held = {*SENSITIVE, *CHROME, FAILING}
    borrowed = {
        (file.name, key)
        for file in files
        for key in _named(file) | _prefixes(file)
        if key.split(".", 1)[0] not in held
    }

    assert len(files) > len(SENSITIVE_SOURCES)
    assert not borrowed


def _sources() -> list[Path]:
    return sorted([*CODE.glob("*.py"), *CODE.glob("pages/*.py"), *CODE.glob("templates/*.html")])


def _named(file: Path) -> set[str]:
    """Keys that stand in ``file`` as they are."""
    found = {match["key"] for match in _KEY.finditer(file.read_text(encoding="utf-8"))}
    return {
        key for key in found if key.split(".", 1)[0] in ENGLISH.pages and not key.endswith(".html")
    }


def _stem(key: str) -> bool:
    """Whether ``key`` lacks its last part, which is a code word that the page is given."""
    return any(known.startswith(f"{key}.") for known in ENGLISH.entries)


def _prefixes(file: Path) -> set[str]:
    """Beginnings of keys whose end is computed."""
    text = file.read_text(encoding="utf-8")
    return {match["prefix"] for match in _PREFIX.finditer(text)}

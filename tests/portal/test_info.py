"""``/info``: her rights and the limits of privacy, versioned, never in unreviewed words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand_portal_service.catalogue import SOURCE, read
from safehand_portal_service.pages import info
from safehand_portal_service.words import LOCALE

from tests.portal.browser import Browser
from tests.portal.open_app import PHONE, nobody, opened

TEXTS = {
    # version: of the English text
    1: "87bde5152b5c8bd7",
    2: "7818104954a5ddab",
}
SESSION = "A" * 43


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with opened(tmp_path_factory.mktemp("portal"), nobody()) as found:
        yield found


def test_another_text_is_another_version() -> None:
    """Change the text, then the number, the day and this line: a print names what was read."""
    entries = read(LOCALE / SOURCE).entries
    text = "\n".join(
        f"{key}={'|'.join(entry.forms)}"
        for key, entry in sorted(entries.items())
        if key.startswith("info.")
    )
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]

    assert TEXTS[info.VERSION] == digest
    assert max(TEXTS) == info.VERSION


def test_every_right_is_said(port: int) -> None:
    page = Browser(port).open("/info")

    for words in (
        "You can say no.",
        "You can change your mind",
        "You can have an interpreter.",
        "You can bring someone with you.",
        "see what is written about you",
        "have it fixed",
        "something went wrong",
        "you will be told",
        "Ask your worker what the law is here, before you tell your story.",
        "Leave cannot clear them all.",
        "This is text 2 of Sunday, November 22, 2026.",
    ):
        assert words in page.text, words


def test_the_page_says_every_text_of_its_catalogue(port: int) -> None:
    page = Browser(port).open("/info")

    for key, entry in read(LOCALE / SOURCE).entries.items():
        if key.startswith("info.") and key not in ("info.title", "info.version"):
            assert entry.forms[0] in page.text, key


def test_the_same_for_whoever_reads_it(port: int) -> None:
    without, with_one = Browser(port).open("/info"), Browser(port, SESSION).open("/info")

    assert without.text == with_one.text


@pytest.mark.parametrize("tag", ["es", "ar"])
def test_unreviewed_rights_are_shown_in_english_with_a_number(port: int, tag: str) -> None:
    page = Browser(port).open(f"/info?l={tag}")

    assert '<html lang="en" dir="ltr"' in page.html
    assert page.heading == "Your rights"
    assert "is not in" in page.text
    assert PHONE in page.text
    assert page.link("Back") == f"/?l={tag}"


@pytest.mark.parametrize(("tag", "heading"), [("es", "Sus derechos"), ("ar", "حقوقك")])
def test_the_sandbox_shows_them_marked(tmp_path: Path, tag: str, heading: str) -> None:
    with opened(tmp_path, nobody(), allow_unreviewed=True) as port:
        page = Browser(port).open(f"/info?l={tag}")

    assert page.heading == heading
    assert f'<html lang="{tag}"' in page.html
    assert 'class="unchecked"' in page.html

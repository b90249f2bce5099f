"""Her list on paper: every sharing on it, nothing to press, nothing that says what it is from."""

from __future__ import annotations

import re
from typing import Final

import pytest
from safehand_portal_service.words import Catalogues

from tests.browser.conftest import Walker
from tests.browser.tour import HIDDEN
from tests.harness.portal import COOKIE, Portal, Shares

pytestmark = pytest.mark.slow  # a whole browser

ALL: Final = Catalogues.load(allow_unreviewed=True)
LANGUAGES: Final = ("en", "es", "ar")
DIGITS_OF_A_CARD: Final = re.compile(r"\d{4}[ -]?\d{4}[ -]?\d{4}")
PRINT: Final = "button[data-print]"
INK: Final = """() => [...document.querySelectorAll('main *')].filter(e => e.checkVisibility())
  .map(e => getComputedStyle(e).color).filter(c => !/^rgb\\((\\d|[1-7]\\d), /.test(c))"""
"""Colours of what is on paper that are not dark."""


@pytest.fixture(scope="module")
def shares(portal: Portal) -> Shares:
    return portal.sharing()


def said(tag: str, key: str, **values: str) -> str:
    return str(ALL.words(tag).t(key, **values).striptags())


@pytest.mark.parametrize("tag", LANGUAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_paper_has_every_sharing_and_nothing_else(
    walker: Walker, portal: Portal, shares: Shares, tag: str, scheme: str
) -> None:
    portal.speak(shares, tag)
    walk = walker(shares, color_scheme=scheme)
    walk.go("/list")
    main = walk.page.inner_text("main")
    names = walk.page.locator("main .place, main .item h3").all_inner_texts()
    rows = walk.page.locator("main .item dd").all_inner_texts()
    assert names
    assert rows
    assert said(tag, "list.paper.text") in main
    assert not walk.page.locator(".paper").is_visible(), "of which day: on paper alone"

    walk.page.emulate_media(media="print")
    paper = walk.page.inner_text("body")

    for one in (*names, *rows):
        assert one in paper
    assert walk.page.locator(".paper").inner_text() in paper
    for key in ("leave.button", "leave.skip", "list.stop", "list.stop_all", "common.back"):
        assert said(tag, key) not in paper.splitlines(), key
    # That something may have been taken off the screen is for her screen alone.
    for key in ("list.show.h", "list.show.text", "list.paper.h", "list.paper.text"):
        assert said(tag, key) not in paper, key
    assert paper.split("\n", 1)[0].strip() == "Home", "headed by the neutral name"
    assert not DIGITS_OF_A_CARD.search(paper)
    assert walk.page.evaluate(INK) == []
    assert walk.page.pdf().startswith(b"%PDF-")


def test_a_press_prints_and_keeps_nothing(walker: Walker, shares: Shares) -> None:
    walk = walker(shares)
    walk.page.add_init_script("window.printed = 0; window.print = () => { window.printed += 1 }")
    walk.go("/list")
    asked = len(walk.asked)
    walk.page.click(PRINT)
    assert walk.page.evaluate("window.printed") == 1
    assert walk.path == "/list"
    assert len(walk.asked) == asked, "nobody is told"


def test_without_script_it_says_how(walker: Walker, portal: Portal, shares: Shares) -> None:
    portal.speak(shares, "ar")
    walk = walker(shares, javascript=False)
    walk.go("/list")
    assert not walk.page.locator(PRINT).is_visible()
    assert said("ar", "list.paper.how") in walk.page.inner_text("main")


def test_a_covered_page_is_not_on_paper(walker: Walker, portal: Portal) -> None:
    """Whoever finds the screen covered does not get it by printing."""
    walk = walker(portal.sharing())
    walk.go("/list")
    walk.page.evaluate(HIDDEN, True)
    walk.page.wait_for_selector("#cover:visible")
    walk.page.emulate_media(media="print")
    assert walk.page.inner_text("body").strip() == ""


def test_of_nothing_there_is_no_paper(walker: Walker, portal: Portal) -> None:
    walk = walker(portal.person())
    walk.go("/list")
    assert walk.page.locator(PRINT).count() == 0
    assert COOKIE not in walk.text

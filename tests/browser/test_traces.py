"""What a browser keeps of her pages, and what others can read over her shoulder.

Headers and storage of every page are in ``test_every_page``.
"""

from __future__ import annotations

import pytest

from tests.browser import checks
from tests.browser.conftest import Walker
from tests.browser.tour import HIDDEN, IDLE_MS, QUESTION
from tests.browser.walk import NOTHING_KEPT
from tests.harness.portal import COOKIE, Portal, Shares, asked_for

pytestmark = pytest.mark.slow  # every page that she can reach


@pytest.fixture(scope="module")
def shares(portal: Portal) -> Shares:
    return portal.sharing()


def test_titles_tell_pages_apart(walker: Walker, shares: Shares) -> None:
    hers, nobody = walker(shares), walker()
    titles = []
    for walk, paths in (
        (hers, ("/home", "/list", "/steps", "/seen", "/lang")),
        (nobody, ("/", "/in", "/find", "/info")),
    ):
        for path in paths:
            walk.go(path)
            titles.append(walk.page.title())
    assert len(set(titles)) == len(titles), titles


def test_the_icon_says_nothing(portal: Portal) -> None:
    answer = asked_for(portal, "/favicon.ico")
    assert answer.headers["content-type"] == "image/png"
    assert len(answer.body) < 300


def test_a_form_leaves_nothing_either(walker: Walker, portal: Portal) -> None:
    shares = portal.sharing()
    walk = walker()
    walk.sign_in(shares.person)
    assert walk.path == "/home"
    assert walk.storage() == NOTHING_KEPT
    walk.click('main a[href="/list"]')
    walk.click('form[action^="/list/"][action$="/stop"] button')
    assert walk.storage() == NOTHING_KEPT
    (cookie,) = walk.context.cookies()
    assert cookie["name"] == COOKIE
    assert cookie["httpOnly"]
    assert cookie["secure"]
    assert cookie["sameSite"] == "Lax"
    assert cookie["expires"] == -1
    for url in walk.asked:
        assert shares.person.card not in url
        assert shares.person.pin not in url


def test_paper_says_no_more_than_the_screen(walker: Walker, shares: Shares) -> None:
    """Its head is the neutral name; forms, ways out and covers stay on the screen (S-00.14). Every
    other page is printed in ``test_every_page``."""
    walk = walker(shares)
    for path in ("/", "/in", "/home", "/list", "/steps", "/seen", "/in/pin"):
        walk.go(path)
        assert checks.printed(walk) == [], path
        assert shares.person.card not in walk.page.content()
    walk.go("/list")
    walk.page.emulate_media(media="print")
    assert "Lantern" in walk.page.inner_text("main"), "what she prints is there"
    walk.page.emulate_media(media="screen")
    walk.click(QUESTION)
    walk.click("button[value=alone]")
    assert checks.printed(walk) == []


def test_covers_are_not_printed(walker: Walker, portal: Portal) -> None:
    walk = walker(portal.person())
    walk.page.clock.install()
    walk.go("/home")
    walk.page.clock.fast_forward(IDLE_MS)
    walk.page.wait_for_selector("#idle:visible")
    assert checks.printed(walk) == []
    walk.page.evaluate(HIDDEN, True)
    walk.page.wait_for_selector("#cover:visible")
    assert checks.printed(walk, header=False) == []
    walk.page.emulate_media(media="print")
    assert walk.page.inner_text("body").strip() == "", "a covered page is an empty sheet"

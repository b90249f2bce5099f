"""Leaving (S-00.4, S-00.5, S-00.7, S-00.11): what is left in the browser, and on the server.

With the headers as they are in production; by a press and by three presses of Shift; with script
and without; with the browser's back-forward cache and without.
"""

from __future__ import annotations

import contextlib
from typing import Final

import pytest
from playwright.sync_api import TimeoutError

from tests.browser.conftest import Walker
from tests.browser.walk import BACK_MS, LEAVE, NOTHING_KEPT, Walk
from tests.harness.portal import Portal, Seated, Shares, asked_for
from tests.harness.world import Person

SENSITIVE: Final = ("Lantern Law Centre", "Harbour House")
"""Names that stand on her pages and on no page for everybody."""
SHIFT: Final = "Shift"


@pytest.fixture(scope="module")
def reader(portal: Portal) -> Shares:
    """Somebody whose pages name the agencies; each test signs her in anew."""
    return portal.sharing()


def alive(portal: Portal, session: bytes) -> bool:
    """Whether the server still knows a session: its home is then no page for everybody."""
    somebody = Seated(Person("", "", ""), session)
    return 'id="seat"' in asked_for(portal, "/home", somebody).text


def session_in(walk: Walk) -> bytes:
    (cookie,) = walk.context.cookies()
    return Seated.session_of(cookie["value"])


def journey(walk: Walk, shares: Shares) -> bytes:
    """A page of the web, start, sign-in, home, list; her session."""
    walk.page.goto(walk.portal.outside.before)
    walk.sign_in(shares.person)
    assert walk.path == "/home"
    walk.click('main a[href="/list"]')
    assert SENSITIVE[0] in walk.text
    return session_in(walk)


def back(walk: Walk) -> None:
    """One step back; where there is nothing behind this page nothing happens."""
    with contextlib.suppress(TimeoutError):
        walk.page.go_back(wait_until="commit", timeout=BACK_MS)
    walk.page.wait_for_timeout(200)


def at_exit(walk: Walk, hits: int) -> None:
    """She is away, and the place where she is was told nothing of where she was."""
    outside = walk.portal.outside
    walk.page.wait_for_url(outside.after)
    found = [asked for asked in outside.asked[hits:] if asked.path == "/after"]
    assert found
    for asked in found:
        assert "referer" not in asked.headers
        assert "cookie" not in asked.headers


def nothing_left(walk: Walk, session: bytes) -> None:
    assert walk.context.cookies() == []
    assert not alive(walk.portal, session)


def shows_nothing(walk: Walk) -> None:
    """What is on the screen now says nothing, whatever page it is."""
    text = walk.page.content()
    for name in SENSITIVE:
        assert name not in text
    assert walk.context.cookies() == []


@pytest.mark.parametrize("bfcache", [False, True], ids=["no bfcache", "bfcache"])
@pytest.mark.parametrize("how", ["press", "shift"])
def test_with_script_nothing_of_hers_is_behind_back(
    walker: Walker, reader: Shares, how: str, bfcache: bool
) -> None:
    walk = walker(bfcache=bfcache)
    session = journey(walk, reader)
    # A link inside of the page is no entry of its own either.
    walk.page.focus('a.skip[href="#m"]')
    walk.page.keyboard.press("Enter")
    assert walk.path == "/list#m"
    assert walk.page.evaluate("document.activeElement.id") == "m"
    hits = len(walk.portal.outside.asked)
    if how == "press":
        walk.page.click(LEAVE)
    else:
        for _ in range(3):
            walk.page.keyboard.press(SHIFT)
    at_exit(walk, hits)
    nothing_left(walk, session)
    back(walk)
    assert walk.page.url == walk.portal.outside.before, "Back is the page before"
    back(walk)
    back(walk)
    shows_nothing(walk)
    walk.go("/")
    assert walk.storage() == NOTHING_KEPT


@pytest.mark.parametrize("bfcache", [False, True], ids=["no bfcache", "bfcache"])
def test_without_script_every_page_behind_back_is_neutral(
    walker: Walker, reader: Shares, bfcache: bool
) -> None:
    walk = walker(javascript=False, bfcache=bfcache)
    session = journey(walk, reader)
    hits = len(walk.portal.outside.asked)
    walk.page.click(LEAVE)
    at_exit(walk, hits)
    nothing_left(walk, session)
    for _ in range(3):
        back(walk)
        shows_nothing(walk)


NOTED: Final = """() => new MutationObserver(() => {
  const seen = s => document.querySelector(s).checkVisibility();
  covered({role: document.querySelector('#gone').getAttribute('role'), gone: seen('#gone'),
           rest: ['main', 'header', 'aside', '.away'].some(seen), at: location.pathname});
}).observe(document.documentElement, {attributes: true, attributeFilter: ['class']})"""
"""Tells what can be seen in the moment in which the page covers itself."""


def test_the_overlay_is_there_before_the_way_out(walker: Walker, reader: Shares) -> None:
    """On a slow line the page is covered at the press, and not when the next one comes."""
    walk = walker()
    journey(walk, reader)
    seen: list[dict[str, object]] = []
    walk.page.expose_function("covered", lambda found: seen.append(found))
    walk.page.evaluate(NOTED)
    walk.page.click(LEAVE)
    walk.page.wait_for_url(walk.portal.outside.after)
    assert seen[0] == {"role": "alert", "gone": True, "rest": False, "at": "/list"}


def test_pages_of_hers_do_not_pile_up_behind_each_other(walker: Walker, reader: Shares) -> None:
    walk = walker()
    journey(walk, reader)
    length = walk.page.evaluate("history.length")
    for path in ("/home", "/seen", "/home", "/steps", "/home", "/list"):
        link = f'a[href="{path}"]'
        walk.click(
            f"main {link}" if walk.page.locator(f"main {link}").count() else f"header {link}"
        )
        assert walk.path == path
        assert walk.page.evaluate("history.length") == length


def test_who_leaves_by_a_picture_stays(portal: Portal) -> None:
    """Another site's picture of /x must not end her session, or take its storage."""
    seated = portal.person()
    answer = asked_for(portal, "/x", seated, headers={"Sec-Fetch-Mode": "no-cors"})
    assert "clear-site-data" not in answer.headers
    assert alive(portal, seated.session)
    answer = asked_for(portal, "/x", seated, headers={"Sec-Fetch-Mode": "navigate"})
    assert answer.status == 303
    assert answer.headers["clear-site-data"] == '"cookies", "storage"'
    assert answer.headers["location"] == portal.outside.after
    assert not alive(portal, seated.session)
    assert asked_for(portal, "/x", seated).status == 303, "a second press is no error"


# --- three presses of Shift ----------------------------------------------------------------------


def left(walk: Walk) -> bool:
    walk.page.wait_for_timeout(300)
    return walk.page.url == walk.portal.outside.after


def test_shift_as_a_modifier_is_not_a_press(walker: Walker) -> None:
    walk = walker()
    walk.go("/")
    for _ in range(3):
        walk.page.keyboard.press("Shift+A")
    assert not left(walk)


def test_another_key_begins_anew(walker: Walker) -> None:
    walk = walker()
    walk.go("/")
    for key in (SHIFT, SHIFT, "a", SHIFT):
        walk.page.keyboard.press(key)
    assert not left(walk)
    for key in (SHIFT, SHIFT):
        walk.page.keyboard.press(key)
    assert left(walk)


def test_a_long_pause_begins_anew(walker: Walker) -> None:
    walk = walker()
    walk.page.clock.install()
    walk.go("/")
    walk.page.keyboard.press(SHIFT)
    walk.page.clock.fast_forward(6000)
    walk.page.keyboard.press(SHIFT)
    walk.page.keyboard.press(SHIFT)
    assert not left(walk)
    walk.page.keyboard.press(SHIFT)
    walk.page.wait_for_url(walk.portal.outside.after)


@pytest.mark.parametrize(("language", "two", "one"), [("en", "2", "1"), ("ar", "", "")])
def test_each_press_is_told(walker: Walker, language: str, two: str, one: str) -> None:
    walk = walker()
    walk.go(f"/?l={language}")
    told = []
    for _ in range(2):
        walk.page.keyboard.press(SHIFT)
        walk.page.wait_for_selector("#says:not(:empty)", state="attached")
        told.append(walk.page.inner_text("#says"))
    assert told[0] != told[1]
    assert two in told[0]
    assert one in told[1]

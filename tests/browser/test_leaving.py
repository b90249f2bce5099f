"""Leaving (S-00.4, S-00.5, S-00.7, S-00.11): what is left in the tab, and on the server.

With the headers as they are in production; by a press and by three presses of Shift; with script
and without; with the browser's back-forward cache and without; to a page of somebody else, and to
the portal's own clock. What the browser's history keeps is in ``test_history``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Error
from safehand_portal_service import words

from tests.browser.conftest import Walker
from tests.browser.tour import QUESTION
from tests.browser.walk import BACK_MS, LEAVE, NOTHING_KEPT, Walk
from tests.harness.portal import Outside, Portal, Seated, Shares, asked_for, without_exit
from tests.harness.world import Person

pytestmark = pytest.mark.slow  # each way out, with and without memory and script

SENSITIVE: Final = ("Lantern Law Centre", "Harbour House")
"""Names that stand on her pages and on no page for everybody."""
SHIFT: Final = "Shift"
BFCACHE: Final = pytest.mark.parametrize("bfcache", [False, True], ids=["no bfcache", "bfcache"])
HOW: Final = pytest.mark.parametrize("how", ["press", "shift"])


@pytest.fixture(scope="module")
def reader(portal: Portal) -> Shares:
    """Somebody whose pages name the agencies; each test signs her in anew."""
    return portal.sharing()


@pytest.fixture(scope="module")
def clock(portal: Portal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """The same pages where no exit is set."""
    with without_exit(portal, tmp_path_factory.mktemp("clock")) as found:
        yield found


@pytest.fixture(params=["exit", "clock"])
def place(request: pytest.FixtureRequest, portal: Portal) -> Portal:
    """Her pages, with each of the two ways out."""
    found: Portal = portal if request.param == "exit" else request.getfixturevalue("clock")
    return found


def alive(portal: Portal, session: bytes) -> bool:
    """Whether the server still knows a session: its home is then no page for everybody."""
    somebody = Seated(Person("", "", ""), session)
    return 'id="seat"' in asked_for(portal, "/home", somebody).text


def session_in(walk: Walk) -> bytes:
    (cookie,) = walk.context.cookies()
    return Seated.session_of(cookie["value"])


def journey(walk: Walk, shares: Shares, *, shared: bool = True) -> bytes:
    """A page of the web, start, sign-in, home, list; her session."""
    walk.page.goto(walk.portal.outside.before)
    walk.sign_in(shares.person, shared=shared)
    assert walk.path == "/home"
    walk.click('main a[href="/list"]')
    assert SENSITIVE[0] in walk.text
    return session_in(walk)


def leave(walk: Walk, how: str = "press") -> None:
    """She leaves, and is away; the place where she is was told nothing of where she was."""
    outside, hits = walk.portal.outside, len(walk.portal.outside.asked)
    if how == "press":
        walk.page.click(LEAVE)
    else:
        for _ in range(3):
            walk.page.keyboard.press(SHIFT)
    walk.page.wait_for_url(walk.portal.exit)
    if walk.portal.clock:
        assert walk.page.is_visible("time[data-clock]")
        assert walk.page.locator(f"#gone, #seat, form, {LEAVE}").count() == 0
        assert len(outside.asked) == hits
        return
    found = [asked for asked in outside.asked[hits:] if asked.path == "/after"]
    assert found
    for asked in found:
        assert "referer" not in asked.headers
        assert "cookie" not in asked.headers


def back(walk: Walk) -> None:
    """One step back; where there is nothing behind this page nothing happens, and where a form was
    answered the browser shows a page of its own, which asks whether to send it again."""
    with contextlib.suppress(Error):
        walk.page.go_back(wait_until="commit", timeout=BACK_MS)
    walk.page.wait_for_timeout(200)


def nothing_left(walk: Walk, session: bytes) -> None:
    assert walk.context.cookies() == []
    assert not alive(walk.portal, session)


def shows_nothing(walk: Walk) -> None:
    """What is on the screen now says nothing, whatever page it is."""
    text = walk.page.content()
    for name in SENSITIVE:
        assert name not in text
    assert walk.context.cookies() == []


@BFCACHE
def test_pages_come_back_from_memory_only_where_a_test_says_so(
    walker: Walker, away: Outside, bfcache: bool
) -> None:
    """What the words "with the back-forward cache" mean in these tests."""
    page = walker(bfcache=bfcache).page
    page.goto(away.before)
    page.goto(away.after)
    page.go_back(wait_until="commit")
    page.wait_for_selector(f"body[data-kept={'true' if bfcache else 'false'}]")
    assert page.url == away.before


@BFCACHE
@HOW
def test_with_script_nothing_of_hers_is_behind_back(
    walker: Walker, reader: Shares, place: Portal, how: str, bfcache: bool
) -> None:
    walk = walker(bfcache=bfcache, at=place)
    session = journey(walk, reader)
    # A link inside of the page is no entry of its own either.
    walk.page.focus('a.skip[href="#m"]')
    walk.page.keyboard.press("Enter")
    walk.page.wait_for_url(f"{walk.portal.url}/list#m")
    walk.page.wait_for_function("document.activeElement.id == 'm'")
    leave(walk, how)
    nothing_left(walk, session)
    back(walk)
    assert walk.page.url == walk.portal.outside.before, "Back is the page before"
    back(walk)
    back(walk)
    shows_nothing(walk)
    walk.go("/")
    assert walk.storage() == NOTHING_KEPT


@BFCACHE
@HOW
def test_on_a_device_of_her_own_every_page_behind_back_is_neutral(
    walker: Walker, reader: Shares, how: str, bfcache: bool
) -> None:
    """She said that nobody else uses it: Back works as usual, also once she has left."""
    walk = walker(bfcache=bfcache)
    session = journey(walk, reader, shared=False)
    assert walk.page.locator("html[data-f]").count() == 0
    assert walk.page.evaluate("history.length") > 3
    leave(walk, how)
    nothing_left(walk, session)
    back(walk)
    assert walk.path == "/home", "there is a page of ours behind it"
    assert walk.page.locator("main input[name=card]").count() == 1
    shows_nothing(walk)
    for _ in range(2):
        back(walk)
        shows_nothing(walk)
    walk.go("/")
    assert walk.storage() == NOTHING_KEPT


@BFCACHE
def test_without_script_every_page_behind_back_is_neutral(
    walker: Walker, reader: Shares, place: Portal, bfcache: bool
) -> None:
    walk = walker(javascript=False, bfcache=bfcache, at=place)
    session = journey(walk, reader)
    leave(walk)
    nothing_left(walk, session)
    for _ in range(3):
        back(walk)
        shows_nothing(walk)


@BFCACHE
def test_without_script_answers_to_forms_are_neutral_behind_back_too(
    walker: Walker, reader: Shares, bfcache: bool
) -> None:
    """A sign-in that failed and the steps of a question are answers to forms, and stand in the
    history as pages do. Who goes there, and sends the form once more, is asked to sign in."""
    walk = walker(javascript=False, bfcache=bfcache)
    person = reader.person
    walk.go("/in")
    walk.fill_in(person.card, str((int(person.pin) + 1) % 10**6).rjust(6, "0"))
    walk.fill_in(person.card, person.pin)
    session = session_in(walk)
    walk.go("/list")
    walk.click(QUESTION)
    walk.click("button[value=alone]")
    assert SENSITIVE[0] in walk.text
    walk.click("button[name=go][value=on]")
    assert walk.page.locator("input[name=step][value=choose]").count() == 1
    leave(walk)
    nothing_left(walk, session)
    seen = []
    for _ in range(6):
        back(walk)
        shows_nothing(walk)
        walk.page.reload()
        shows_nothing(walk)
        assert walk.page.locator("main input[name=card]").count() == 1
        seen.append(walk.path)
    assert "/list" in seen
    assert seen[-1] == "/in"
    assert not alive(walk.portal, session)


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
    walk.page.wait_for_url(walk.portal.outside.after)


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


@pytest.mark.parametrize("language", ["en", "es", "ar"])
def test_each_press_is_told_in_her_language(walker: Walker, language: str) -> None:
    walk = walker()
    walk.go(f"/?l={language}")
    texts = words.Catalogues.load(words.LOCALE, allow_unreviewed=True).best(language, "", "")
    assert texts.lang == language
    for key in ("leave.two", "leave.one"):
        walk.page.keyboard.press(SHIFT)
        walk.page.wait_for_selector("#says:not(:empty)", state="attached")
        assert walk.page.inner_text("#says") == texts.plain(key)

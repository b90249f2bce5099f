"""What our own script does when answers come late, come wrong, or do not come.

Leave is never overtaken; a covered page is never shown again without the server's word; nothing
that the script asks by itself takes away what she types; and Stop is never held back.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import pytest
from playwright.sync_api import ConsoleMessage, Error, Request, Route

from tests.browser import checks
from tests.browser.conftest import Walker
from tests.browser.test_journeys import MINUTE_MS
from tests.browser.test_outages import away, consent_answers
from tests.browser.tour import HIDDEN, STOP_ALL
from tests.browser.walk import LEAVE, Walk
from tests.harness.portal import Portal, Seated, asked_for
from tests.harness.world import eventually

pytestmark = pytest.mark.slow  # a browser for each way in which an answer can be late

SEAT: Final = "**/in/seat*"
CONTINUE: Final = "#cover button"
SECOND_MS: Final = 1000
TRIES: Final = 200
"""Bounds a hang; each is a tenth of a second."""
PRESS: Final = "selector => { setTimeout(() => document.querySelector(selector).click(), 0); }"
"""A press that waits for nothing, as hers does."""
SETTLED: Final = "new Promise(done => setTimeout(done, 300))"
"""Time for the page to do what it must not do."""
AGENCIES: Final = ("Lantern Law Centre", "Harbour House")


def until(walk: Walk, condition: Callable[[], object], what: str) -> None:
    """Let the browser go on until ``condition`` holds."""
    for _ in range(TRIES):
        if condition():
            return
        walk.page.wait_for_timeout(100)
    raise AssertionError(what)


def held(walk: Walk, where: str) -> list[Route]:
    """Requests to ``where`` are kept back, and kept here."""
    kept: list[Route] = []
    walk.page.route(where, lambda route: kept.append(route))
    return kept


def arrives(walk: Walk, path: str) -> None:
    """She comes to ``path``, in whatever language."""
    walk.page.wait_for_url(lambda url: url.partition("?")[0] == walk.url(path))


def asks(walk: Walk, path: str) -> int:
    return sum(url.partition("?")[0] == walk.url(path) for url in walk.asked)


def signed_in(walker: Walker, portal: Portal, **options: Any) -> Walk:
    """Somebody who shares something, on a device that others use too: pages replace each other."""
    walk, shares = walker(**options), portal.sharing()
    walk.sign_in(shares.person)
    (cookie,) = walk.context.cookies()
    walk.seated = Seated(shares.person, Seated.session_of(cookie["value"]))
    return walk


def ended(walk: Walk, path: str) -> list[Request]:
    """Requests to ``path`` that are over, with an answer or without."""
    found: list[Request] = []

    def over(request: Request) -> None:
        if request.url.partition("?")[0] == walk.url(path):
            found.append(request)

    walk.page.on("requestfinished", over)
    walk.page.on("requestfailed", over)
    return found


# --- leaving -------------------------------------------------------------------------------------


LEAVES: Final = """([how, later]) => setTimeout(() => {
  const leave = document.querySelector('.away a.leave');
  const shift = () => dispatchEvent(new KeyboardEvent('keyup', {key: 'Shift'}));
  how === 'press' ? leave.click() : [1, 2, 3].forEach(shift);
  const now = Date.now;
  if (later) Date.now = () => now() + later;
  setInterval(() => console.log(document.getElementById('gone').checkVisibility()), 100);
}, 1000)"""
"""She leaves a second from now, and then ``later`` milliseconds go by; ever after it is told
whether the page is covered. All of it is put there before: while she is on her way to another page,
a page cannot be asked anything."""


def told_by(walk: Walk) -> list[str]:
    """What the page writes into its console; the browser's own complaints are not in it."""
    found: list[str] = []

    def said(line: ConsoleMessage) -> None:
        if line.type == "log":
            found.append(line.text)

    walk.page.on("console", said)
    return found


@pytest.mark.parametrize("answer", ["path", "page", "none"])
@pytest.mark.parametrize("how", ["press", "shift"])
def test_no_answer_overtakes_leave(walker: Walker, portal: Portal, how: str, answer: str) -> None:
    walk = signed_in(walker, portal)
    walk.go("/list")
    page, told = walk.page.content(), told_by(walk)
    stops, leaves = held(walk, "**/list/stop"), held(walk, "**/x")
    over = ended(walk, "/list/stop")
    walk.page.evaluate(LEAVES, [how, 0])
    walk.page.evaluate(PRESS, STOP_ALL)
    until(walk, lambda: stops and leaves, "the stop is on its way, and she on hers")
    if answer == "path":
        stops[0].fulfill(response=stops[0].fetch())
    elif answer == "page":
        stops[0].fulfill(status=503, content_type="text/html", body=page)
    else:
        stops[0].abort()
    until(walk, lambda: over, "the answer is there")
    before = len(told)
    until(walk, lambda: len(told) > before + 20 or asks(walk, "/list/stopped"), "it has had time")
    assert asks(walk, "/list/stopped") == 0
    assert set(told[before:]) == {"true"}
    leaves[0].continue_()
    walk.page.wait_for_url(portal.outside.after)
    assert walk.context.cookies() == []
    assert asks(walk, "/x") == 1


@pytest.mark.parametrize("how", ["press", "shift"])
def test_behind_leave_the_page_asks_for_nothing(walker: Walker, portal: Portal, how: str) -> None:
    walk = signed_in(walker, portal)
    walk.go("/home")
    told = told_by(walk)
    leaves = held(walk, "**/x")
    walk.page.evaluate(LEAVES, [how, 11 * MINUTE_MS])
    # The session's own clock looks once a second.
    until(walk, lambda: leaves and len(told) > 25, "she is on her way out")
    assert asks(walk, "/in/seat") == 0
    assert set(told) == {"true"}
    leaves[0].continue_()
    walk.page.wait_for_url(portal.outside.after)


# --- the cover -----------------------------------------------------------------------------------


def hides(walk: Walk, milliseconds: int) -> None:
    """She looks at something else for so long, and comes back."""
    walk.page.evaluate(HIDDEN, True)
    walk.page.clock.fast_forward(milliseconds)
    walk.page.evaluate(HIDDEN, False)


def shows_only_the_way_out(walk: Walk) -> None:
    assert walk.page.is_visible("#cover")
    assert walk.page.is_visible(LEAVE)
    assert not walk.page.is_visible(CONTINUE)
    assert (
        walk.page.locator("main:visible, header:visible, dialog:visible, aside:visible").count()
        == 0
    )
    for name in AGENCIES:
        assert name not in walk.text


def offline(route: Route, _: str) -> None:
    route.abort("internetdisconnected")


def consent_away(route: Route, page: str) -> None:
    route.fulfill(status=503, content_type="text/html; charset=utf-8", body=page)


def proxy_away(route: Route, _: str) -> None:
    route.fulfill(status=502, content_type="text/plain", body="/")


def something_else(route: Route, _: str) -> None:
    route.fulfill(status=200, content_type="text/plain", body="Log in to this network")


def silence(route: Route, _: str) -> None:
    """Until the script gives up."""


@pytest.mark.parametrize("wish", ["cover", "end"])
@pytest.mark.parametrize(
    "trouble",
    [offline, consent_away, proxy_away, something_else, silence],
    ids=lambda f: f.__name__,
)
def test_a_page_whose_cover_the_server_does_not_know_of_stays_covered(
    walker: Walker, portal: Portal, trouble: Any, wish: str
) -> None:
    walk = signed_in(walker, portal)
    walk.page.clock.install()
    walk.go("/list")
    page, over = walk.page.content(), ended(walk, "/in/seat")
    wishes: list[str] = []

    def bad(route: Route) -> None:
        wishes.append(route.request.post_data or "")
        trouble(route, page)

    walk.page.route(SEAT, bad)
    if wish == "cover":
        hides(walk, MINUTE_MS + SECOND_MS)
    else:
        walk.page.clock.fast_forward(10 * MINUTE_MS + SECOND_MS)
    for tries in (1, 2, 3):

        def tried(tries: int = tries) -> bool:
            # A fetch without an answer ends by the script's own limit, which needs time to pass.
            if len(over) == len(wishes) or trouble is silence:
                walk.page.clock.fast_forward(SECOND_MS)
            return len(wishes) >= tries

        until(walk, tried, "it is asked again")
        assert walk.path == "/list"
        shows_only_the_way_out(walk)
    assert all(f"do={wish}" in sent for sent in wishes)
    walk.page.unroute(SEAT)

    to = walk.url("/in/again" if wish == "cover" else "/in")

    def taken_there() -> bool:
        with suppress(Error):  # on its way it cannot be asked
            walk.page.clock.fast_forward(SECOND_MS)
        return walk.page.url.partition("?")[0] == to

    until(walk, taken_there, "the server has said where to go")
    walk.page.wait_for_load_state()
    for path in ("/home", "/list"):
        walk.go(path)
        asked = "input[name=pin]" if wish == "cover" else "input[name=card]"
        assert walk.page.locator(f"main {asked}").count() == 1, "on the server too"


def test_within_a_minute_she_goes_on_without_a_pin(walker: Walker, portal: Portal) -> None:
    walk = signed_in(walker, portal)
    walk.page.clock.install()
    walk.go("/list")
    hides(walk, 30 * SECOND_MS)
    assert not walk.page.is_visible("main")
    walk.page.click(CONTINUE)
    assert walk.page.is_visible("main")
    assert not walk.page.is_visible("#cover")
    walk.page.clock.fast_forward(MINUTE_MS)
    assert walk.path == "/list"
    assert asks(walk, "/in/seat") == 0


def test_a_cover_of_a_minute_offers_nothing_more_although_she_came_back(
    walker: Walker, portal: Portal
) -> None:
    walk = signed_in(walker, portal)
    walk.page.clock.install()
    walk.go("/list")
    seats = held(walk, SEAT)
    hides(walk, 30 * SECOND_MS)
    hides(walk, 10 * SECOND_MS)
    assert walk.page.is_visible(CONTINUE)
    walk.page.clock.fast_forward(21 * SECOND_MS)
    shows_only_the_way_out(walk)
    until(walk, lambda: seats, "it is asked for")
    seats[0].continue_()
    arrives(walk, "/in/again")


def test_a_late_press_on_continue_shows_nothing(walker: Walker, portal: Portal) -> None:
    """A phone stops the clocks of a page that nobody looks at."""
    walk = signed_in(walker, portal)
    walk.go("/list")
    seats = held(walk, SEAT)
    walk.page.evaluate(HIDDEN, True)
    walk.page.evaluate(
        "selector => { const now = Date.now; Date.now = () => now() + 61000;"
        " document.querySelector(selector).click(); }",
        CONTINUE,
    )
    shows_only_the_way_out(walk)
    until(walk, lambda: seats, "it is asked for")


def end(portal: Portal, walk: Walk) -> None:
    def over() -> bool:
        # Leaving does not wait long for the server's word.
        asked_for(portal, "/x", walk.seated)
        return 'id="seat"' not in asked_for(portal, "/home", walk.seated).text

    eventually(over, "her session is over")


def forget(_: Portal, walk: Walk) -> None:
    walk.context.clear_cookies()


def lock(portal: Portal, walk: Walk) -> None:
    form = walk.page.locator("#seat input[name=c]").get_attribute("value")
    assert form
    asked_for(portal, "/in/seat", walk.seated, form={"c": form, "do": "cover"})


@pytest.mark.parametrize(
    ("before", "to"), [(end, "/in/again"), (forget, "/in"), (lock, "/in/again")]
)
def test_a_cover_ends_where_the_session_already_is(
    walker: Walker, portal: Portal, before: Any, to: str
) -> None:
    """She left in another tab, or another tab was covered first. Consent does not say of a session
    that is over whether it was covered."""
    walk = signed_in(walker, portal)
    walk.page.clock.install()
    walk.go("/list")
    before(portal, walk)
    walk.page.evaluate(HIDDEN, True)
    walk.page.clock.fast_forward(MINUTE_MS + SECOND_MS)
    arrives(walk, to)
    assert walk.page.is_visible("main input[name=pin]")


@pytest.mark.parametrize("size", [checks.SMALL, checks.LARGE, checks.ZOOMED], ids=str)
def test_the_way_out_is_on_the_cover(walker: Walker, portal: Portal, size: Any) -> None:
    walk = signed_in(walker, portal, viewport=size)
    walk.go("/list")
    walk.page.evaluate(HIDDEN, True)
    assert checks.out_of_reach(walk, LEAVE, size) == []
    walk.page.keyboard.press("Shift+Tab")
    assert walk.page.evaluate("s => document.activeElement.matches(s)", LEAVE)
    walk.page.click(LEAVE)
    walk.page.wait_for_url(portal.outside.after)
    assert walk.context.cookies() == []


def test_an_answer_does_not_take_the_cover_away(walker: Walker, portal: Portal) -> None:
    walk = signed_in(walker, portal)
    walk.go("/list")
    page, stops = walk.page.content(), held(walk, "**/list/stop")
    walk.page.evaluate(PRESS, STOP_ALL)
    until(walk, lambda: stops, "the stop is on its way")
    walk.page.evaluate(HIDDEN, True)
    stops[0].fulfill(status=503, content_type="text/html", body=page)
    walk.page.wait_for_selector("html:not(.busy)", state="attached")
    assert not walk.page.is_visible("main")
    walk.page.click(CONTINUE)
    assert walk.page.is_visible("main")


# --- stay ----------------------------------------------------------------------------------------


def typing(walk: Walk) -> None:
    """She types, a minute after her last press: the script says to the server that she is there."""
    walk.page.clock.install()
    walk.go("/in/pin")
    walk.page.fill("#pin", "1")
    walk.page.clock.fast_forward(MINUTE_MS + SECOND_MS)


@pytest.mark.parametrize(
    "trouble", [offline, consent_away, proxy_away, something_else], ids=lambda f: f.__name__
)
def test_what_she_types_stays_when_stay_fails(walker: Walker, portal: Portal, trouble: Any) -> None:
    walk = signed_in(walker, portal)
    typing(walk)
    page = asked_for(portal, "/info").text
    seats = held(walk, SEAT)
    walk.page.focus("#pin")
    walk.page.keyboard.press("End")
    walk.page.keyboard.type("23")
    until(walk, lambda: seats, "it is said that she is there")
    trouble(seats[0], page)
    walk.page.evaluate(SETTLED)
    walk.page.keyboard.type("4")
    assert walk.page.input_value("#pin") == "1234"
    assert walk.path == "/in/pin"
    assert not walk.page.is_visible("#says.lost")
    assert len(seats) == 1


def test_the_page_of_a_session_that_is_over_comes_by_itself(walker: Walker, portal: Portal) -> None:
    walk = signed_in(walker, portal)
    typing(walk)
    end(portal, walk)
    walk.page.focus("#pin")
    walk.page.keyboard.press("2")
    walk.page.wait_for_selector("main input[name=card]")


def test_with_consent_away_stay_has_nothing_to_show(portal: Portal, walker: Walker) -> None:
    shares = portal.sharing()
    walk = walker(shares)
    walk.go("/list")
    form = {"c": walk.page.locator("#seat input[name=c]").get_attribute("value") or ""}
    with away(portal, "consent"):
        stay = asked_for(portal, "/in/seat", shares, form={**form, "do": "stay"})
        cover = asked_for(portal, "/in/seat", shares, form={**form, "do": "cover"})
    assert (stay.status, stay.body) == (204, b"")
    assert cover.status == 503, "nothing is covered that is not"
    consent_answers(portal, shares)


# --- pressing ------------------------------------------------------------------------------------


LANGUAGE: Final = "nav.tongues form button"


def test_another_form_never_holds_back_a_stop(walker: Walker, portal: Portal) -> None:
    walk = signed_in(walker, portal)
    walk.go("/list")
    languages, stops = held(walk, "**/lang"), held(walk, "**/list/stop")
    walk.page.evaluate(PRESS, LANGUAGE)
    until(walk, lambda: languages, "the first press is on its way")
    walk.page.evaluate(PRESS, STOP_ALL)
    until(walk, lambda: stops, "so is the stop")
    # The answer to the first would take the second away before it has its own.
    languages[0].fulfill(status=200, content_type="text/plain; charset=utf-8", body="/steps")
    walk.page.evaluate(SETTLED)
    assert walk.path == "/list"
    stops[0].continue_()
    arrives(walk, "/list/stopped")
    assert asks(walk, "/steps") == 0


def test_a_second_press_of_the_same_form_is_held_back(walker: Walker, portal: Portal) -> None:
    walk = signed_in(walker, portal)
    walk.go("/list")
    stops = held(walk, "**/list/stop")
    for _ in range(3):
        walk.page.evaluate(PRESS, STOP_ALL)
    until(walk, lambda: stops, "the stop is on its way")
    walk.page.evaluate(SETTLED)
    assert len(stops) == 1
    stops[0].continue_()
    arrives(walk, "/list/stopped")

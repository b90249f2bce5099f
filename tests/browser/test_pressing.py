"""What a press says that was not done, or of which nobody knows; and links inside of a page."""

from __future__ import annotations

from typing import Any, Final

import pytest
from playwright.sync_api import Route

from tests.browser.conftest import Walker
from tests.browser.tour import STOP_ALL
from tests.browser.walk import Walk
from tests.harness.portal import Portal, Seated, asked_for

pytestmark = pytest.mark.slow  # a browser for each way to press

LIMIT_MS: Final = 15_000
"""How long the script waits for an answer."""
SKIP: Final = 'a.skip[href="#m"]'
LOST: Final = "We do not know if it arrived. Press again."
UNDONE: Final = (
    "That page was too old. What you just pressed was not done. If you are finished, press Leave."
)
PIN_FIRST: Final = "We need your PIN first. What you just pressed was not done."
FOCUSED: Final = "document.activeElement.id"


def signed_in(walker: Walker, portal: Portal, *, javascript: bool = True) -> Walk:
    """By the form, as on a device that others use: the script then sends every form of hers."""
    person = portal.person().person
    walk = walker(javascript=javascript)
    walk.sign_in(person)
    (cookie,) = walk.context.cookies()
    walk.seated = Seated(person, Seated.session_of(cookie["value"]))
    assert walk.path == "/home"
    assert walk.page.locator("html[data-f]").count() == 1
    return walk


def test_a_link_inside_of_a_page_leaves_no_entry_and_moves_the_focus(
    walker: Walker, portal: Portal
) -> None:
    walk = signed_in(walker, portal)
    length = walk.page.evaluate("history.length")
    for _ in range(2):
        walk.page.focus(SKIP)
        walk.page.keyboard.press("Enter")
        walk.page.wait_for_url("**/home#m")
        assert walk.page.evaluate(FOCUSED) == "m"
    assert walk.page.evaluate("history.length") == length
    assert not walk.wrong


def test_a_page_from_the_browsers_memory_is_asked_for_again_also_behind_such_a_link(
    walker: Walker, portal: Portal
) -> None:
    """An address with a fragment would only be a place on the page that is covered."""
    walk = walker(portal.person())
    walk.go("/home#m")
    with walk.another():
        walk.page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    assert walk.path == "/home"
    assert walk.page.locator("main").is_visible()


def test_without_an_answer_she_is_told_after_a_while_and_can_press_again(
    walker: Walker, portal: Portal
) -> None:
    walk = signed_in(walker, portal)
    walk.page.clock.install()
    walk.go("/home")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    walk.page.route("**/list/stop", hold)
    walk.page.click(STOP_ALL)
    walk.page.wait_for_selector("html.busy")
    walk.page.clock.fast_forward(LIMIT_MS - 1000)
    assert walk.page.inner_text("#says") == ""
    walk.page.clock.fast_forward(1000)
    walk.page.wait_for_selector("#says.lost")
    assert walk.page.inner_text("#says") == LOST
    walk.page.wait_for_selector("html:not(.busy)")
    assert len(held) == 1
    walk.page.unroute_all(behavior="ignoreErrors")
    walk.click(STOP_ALL)
    assert walk.path == "/list/stopped"


def over(portal: Portal, walk: Walk) -> None:
    assert walk.seated is not None
    asked_for(portal, "/x", walk.seated)


def covered(portal: Portal, walk: Walk) -> None:
    form = walk.page.locator("#seat input[name=c]").get_attribute("value")
    assert form
    asked_for(portal, "/in/seat", walk.seated, form={"c": form, "do": "cover"})


@pytest.mark.parametrize("javascript", [True, False], ids=["script", "no script"])
@pytest.mark.parametrize(("ends", "said"), [(over, UNDONE), (covered, PIN_FIRST)])
def test_a_stop_without_a_session_says_that_it_was_not_done(
    walker: Walker, portal: Portal, ends: Any, said: str, javascript: bool
) -> None:
    walk = signed_in(walker, portal, javascript=javascript)
    ends(portal, walk)
    walk.click(STOP_ALL)
    notice = walk.page.locator("main .notice[role=alert]")
    assert notice.inner_text() == said
    assert walk.page.locator("main .notice[role=alert] + form").count() == 1, "above the form"

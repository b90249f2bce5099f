"""Without a mouse and without a finger: what she does there, by keys alone (S-00.9)."""

from __future__ import annotations

from typing import Final

import pytest
from safehand_core.reasons import Reason

from tests.browser.conftest import Walker
from tests.browser.test_journeys import opens
from tests.browser.tour import QUESTION, STOP_ONE
from tests.browser.walk import Walk
from tests.harness.portal import Portal

pytestmark = pytest.mark.slow  # whole journeys, key by key

TABS_MAX: Final = 80
"""Presses of Tab that reach anything on a page."""
RING_PX: Final = 2
"""How thick the ring around what has the focus is, at least."""
CHECKED: Final = "e => e.checked"
ON: Final = "button[name=go][value=on]"
UNDO: Final = 'form[action$="/undo"]'


def focused(walk: Walk, selector: str) -> bool:
    found: bool = walk.page.evaluate("s => document.activeElement.matches(s)", selector)
    return found


def tab_to(walk: Walk, selector: str, key: str = "Tab") -> None:
    """Press ``key`` until ``selector`` has the focus, as somebody without a mouse does."""
    for _ in range(TABS_MAX):
        walk.page.keyboard.press(key)
        if focused(walk, selector):
            visible = walk.page.evaluate(
                "least => [document.activeElement, document.activeElement.closest('.card')].some("
                "e => { const s = e && getComputedStyle(e); return s && s.outlineStyle !== 'none'"
                " && parseFloat(s.outlineWidth) >= least; })",
                RING_PX,
            )
            assert visible, f"the focus is seen at {selector}"
            return
    raise AssertionError(f"the keyboard does not reach {selector}")


def enter(walk: Walk) -> None:
    """Press what has the focus, and wait for what comes."""
    with walk.another():
        walk.page.keyboard.press("Enter")


def go_on(walk: Walk, selector: str) -> None:
    tab_to(walk, selector)
    enter(walk)


def test_from_the_door_to_a_stop_and_out(walker: Walker, portal: Portal) -> None:
    shares = portal.sharing()
    walk = walker()
    walk.go("/")
    walk.page.keyboard.press("Tab")
    assert focused(walk, '[href="/x"]'), "the first thing that the keyboard reaches is the way out"
    go_on(walk, 'main a[href^="/in"]')
    tab_to(walk, "input[name=card]")
    walk.page.keyboard.type(shares.person.card)
    tab_to(walk, "input[name=pin]")
    walk.page.keyboard.type(shares.person.pin)
    walk.page.keyboard.press("Enter")
    walk.page.wait_for_url("**/home")
    go_on(walk, 'main a[href="/list"]')
    go_on(walk, STOP_ONE)
    assert walk.path.endswith("/stopped")
    assert opens(shares, portal) is Reason.CONSENT_ENDED
    walk.page.keyboard.press("Tab")
    tab_to(walk, "[data-x]")
    walk.page.keyboard.press("Enter")
    walk.page.wait_for_url(portal.outside.after)


def test_a_stop_is_taken_back(walker: Walker, portal: Portal) -> None:
    shares = portal.sharing()
    walk = walker()
    walk.sign_in(shares.person)  # with the preset: others use this device
    walk.go("/list")
    go_on(walk, STOP_ONE)
    tab_to(walk, f"{UNDO} input[name=pin]")
    walk.page.keyboard.type("12")
    enter(walk)
    assert focused(walk, f"{UNDO} input[name=pin]"), "where the mistake is, there she is"
    walk.page.keyboard.press("Control+a")
    walk.page.keyboard.type(shares.person.pin)
    go_on(walk, f"{UNDO} button[type=submit]")
    assert walk.path.endswith("/on")
    assert opens(shares, portal) is None


def test_a_question_is_answered(walker: Walker, portal: Portal) -> None:
    """Every step of it, with a switch and an end of her own; and back from what has the focus."""
    walk = walker(portal.sharing())
    walk.go("/list")
    go_on(walk, QUESTION)
    go_on(walk, "button[value=alone]")
    go_on(walk, ON)
    switch = "input[name=kind][value=HEALTH]"
    tab_to(walk, switch)
    walk.page.keyboard.press("Space")
    assert walk.page.locator(switch).evaluate(CHECKED)
    tab_to(walk, "input[name=end]")
    walk.page.keyboard.press("ArrowDown")
    assert walk.page.locator("input[name=end]:checked").count() == 1
    go_on(walk, ON)
    for name, value in (("who", "one"), ("no", "same"), ("stop", "yes")):
        tab_to(walk, f"input[name=q_{name}]")
        chosen = f"input[name=q_{name}][value={value}]"
        walk.page.keyboard.press("Space")
        if not walk.page.locator(chosen).evaluate(CHECKED):
            walk.page.keyboard.press("ArrowDown")
        assert walk.page.locator(chosen).evaluate(CHECKED)
    go_on(walk, ON)
    assert focused(walk, "button[value=later]"), "no answer is nearer to the hand than to wait"
    # Shift that goes back is no press of Shift: three of these do not take her away.
    for answer in ("no", "yes"):
        tab_to(walk, f"button[value={answer}]", "Shift+Tab")
    tab_to(walk, "button[value=later]")
    tab_to(walk, "button[value=yes]", "Shift+Tab")
    enter(walk)
    assert walk.path.endswith("/given")

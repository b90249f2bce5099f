"""S-00.12: a session that ends in the middle of a question, and what she had chosen in it."""

from __future__ import annotations

from typing import Final

import pytest

from tests.browser.conftest import Walker
from tests.browser.tour import QUESTION, USE
from tests.browser.walk import LEAVE, Walk
from tests.harness.portal import Portal, asked_for

pytestmark = pytest.mark.slow  # a whole browser

MINUTE_MS: Final = 60_000
ALONE: Final = "button[value=alone]"
SOMEONE: Final = "button[value=someone]"
ON: Final = "button[name=go][value=on]"
FORGET: Final = "button[name=go][value=forget]"
HEALTH: Final = "input[name=kind][value=HEALTH]"
MARKED: Final = "main input:is([type=checkbox], [type=radio]):checked"
CHECK: Final = "input[name=q_who]"


def choosing(walk: Walk) -> None:
    """From her list to the switches, which are all off."""
    walk.go("/list")
    walk.click(QUESTION)
    walk.click(ALONE)
    walk.click(ON)
    assert walk.page.locator(HEALTH).count() == 1
    assert walk.page.locator(MARKED).count() == 0


def marked(walk: Walk) -> list[str]:
    return [str(one.get_attribute("value")) for one in walk.page.locator(MARKED).all()]


def test_after_ten_minutes_what_she_chose_is_offered_and_one_press_turns_it_on(
    walker: Walker, portal: Portal
) -> None:
    shares = portal.sharing()
    walk = walker(shares)
    walk.page.clock.install()
    choosing(walk)
    assert walk.page.locator(USE).count() == 0
    walk.page.check(HEALTH)
    walk.page.check("input[name=end][value='7']")
    walk.click(ON)
    walk.page.wait_for_selector(CHECK)

    walk.page.clock.fast_forward(8 * MINUTE_MS + 2000)
    walk.page.wait_for_selector("#idle:visible")
    walk.page.clock.fast_forward(2 * MINUTE_MS)
    walk.page.wait_for_url("**/in")
    walk.page.wait_for_selector("input[name=card]")
    assert walk.page.locator(CHECK).count() == 0
    assert 'id="seat"' not in asked_for(portal, "/list", shares).text, "over on the server too"

    walk.fill_in(shares.person.card, shares.person.pin)
    walk.go("/list")
    walk.click(QUESTION)
    walk.click(SOMEONE)
    assert "chose something here before" not in walk.text
    choosing(walk)
    assert "You chose something here before" in walk.text
    walk.click(USE)
    assert marked(walk) == ["HEALTH", "7"]
    assert walk.page.locator(USE).count() == 0

    walk.page.reload()
    assert walk.page.locator(ALONE).count() == 1, "from the beginning"
    choosing(walk)
    walk.click(FORGET)
    assert marked(walk) == []
    choosing(walk)
    assert walk.page.locator(USE).count() == 0


def test_without_script_it_is_offered_after_leave_too(walker: Walker, portal: Portal) -> None:
    shares = portal.sharing()
    walk = walker(shares, javascript=False)
    choosing(walk)
    walk.page.check(HEALTH)
    walk.click(ON)
    walk.click(LEAVE)
    walk.sign_in(shares.person)
    choosing(walk)
    walk.click(USE)
    assert marked(walk) == ["HEALTH"]
    walk.click(ON)
    walk.click("button[name=go][value=skip]")
    walk.click("button[name=decision][value=no]")
    assert walk.page.locator(".notice.good").count() == 1

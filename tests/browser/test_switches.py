"""S-05.1: whatever she does with Back and reload, no switch of a question is on by itself."""

from __future__ import annotations

import contextlib
from typing import Final

import pytest
from playwright.sync_api import Error

from tests.browser.conftest import Walker
from tests.browser.tour import QUESTION
from tests.browser.walk import Walk
from tests.harness.portal import Portal, Shares

pytestmark = pytest.mark.slow  # a browser for each way back

BFCACHE: Final = pytest.mark.parametrize(
    "bfcache",
    [
        pytest.param(False, id="no bfcache", marks=pytest.mark.slow),
        pytest.param(True, id="bfcache"),  # as browsers are
    ],
)
ALONE: Final = "button[value=alone]"
ON: Final = "button[name=go][value=on]"
KIND: Final = "input[name=kind]"
ANY_ON: Final = "main input[type=checkbox]:checked"


@pytest.fixture(scope="module")
def shares(portal: Portal) -> Shares:
    return portal.sharing()


def choosing(walk: Walk) -> str:
    """From the question's first page to its switches, which are all off; the question's path."""
    path = walk.path
    walk.click(ALONE)
    walk.click(ON)
    off(walk)
    return path


def off(walk: Walk) -> None:
    assert walk.page.locator(KIND).count() >= 2
    assert walk.page.locator(ANY_ON).count() == 0


@BFCACHE
def test_with_script_switches_are_off_after_reload_and_back(
    walker: Walker, shares: Shares, bfcache: bool
) -> None:
    walk = walker(bfcache=bfcache)
    walk.page.goto(walk.portal.outside.before)
    walk.sign_in(shares.person)
    walk.click('main a[href="/list"]')
    walk.click(QUESTION)
    path = choosing(walk)
    walk.page.locator(KIND).first.check()
    walk.page.reload()
    assert walk.page.locator(ALONE).count() == 1, "from the beginning: is the moment private?"
    choosing(walk)
    walk.page.locator(KIND).first.check()
    walk.page.go_back(wait_until="commit")
    assert walk.page.url == walk.portal.outside.before
    walk.page.go_forward(wait_until="commit")
    walk.page.wait_for_selector(ALONE)
    assert walk.path == path
    choosing(walk)


@BFCACHE
def test_without_script_switches_are_off_after_reload_and_back(
    walker: Walker, shares: Shares, bfcache: bool
) -> None:
    walk = walker(shares, javascript=False, bfcache=bfcache)
    walk.go("/list")
    walk.click(QUESTION)
    choosing(walk)
    walk.page.locator(KIND).first.check()
    walk.page.reload()  # the form of the page before, sent once more
    off(walk)
    walk.page.locator(KIND).first.check()
    walk.page.click('main .back a[href="/list"]')
    # The page is the answer to a form and was not kept: the browser asks whether to send it again.
    with contextlib.suppress(Error):
        walk.page.go_back(wait_until="commit")
    walk.page.wait_for_selector("body.neterror, main", state="attached")
    assert walk.page.locator(ANY_ON).count() == 0
    walk.page.reload()
    off(walk)

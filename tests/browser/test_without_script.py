"""What is said of the script is on the screen where it runs, and nowhere else (S-00.8)."""

from __future__ import annotations

import re
from typing import Final

import pytest
from safehand_cli.cards import new_card
from safehand_core.entropy import SystemEntropy
from safehand_portal_service.words import Catalogues

from tests.browser.conftest import Walker
from tests.browser.walk import LEAVE
from tests.harness.portal import Portal

pytestmark = pytest.mark.slow  # whole journeys

ALL: Final = Catalogues.load(allow_unreviewed=True)
TAGS: Final = [language.tag for language in ALL.languages]
SCRIPT: Final = re.compile(r"/s-[0-9a-f]+\.js$")
PROMISES: Final = {
    "/": ("start.leave_shift", "start.leave_fewer"),
    "/in": ("signin.shared_yes_hint",),
}
KEPT: Final = {"/": "start.leave_kept", "/in": "signin.shared_yes_kept"}


def said(tag: str, key: str) -> str:
    return str(ALL.words(tag).t(key).striptags())


@pytest.mark.parametrize("tag", TAGS)
def test_without_script_no_page_promises_what_only_the_script_keeps(
    walker: Walker, tag: str
) -> None:
    walk = walker(javascript=False)
    for path, promises in PROMISES.items():
        walk.go(f"{path}?l={tag}")
        text = walk.page.inner_text("main")
        assert said(tag, KEPT[path]) in text
        for key in promises:
            assert said(tag, key) not in text
        assert "Shift" not in walk.text


def test_without_script_shift_does_nothing_and_leave_does_what_is_said(
    walker: Walker, portal: Portal
) -> None:
    walk = walker(portal.person(), javascript=False)
    walk.go("/?l=en")
    for _ in range(3):
        walk.page.keyboard.press("Shift")
    assert walk.path == "/?l=en"
    assert said("en", "start.leave_how") in walk.page.inner_text("main")

    walk.click(LEAVE)

    assert walk.page.url == portal.outside.after
    assert walk.context.cookies() == []


@pytest.mark.parametrize("tag", TAGS)
def test_with_script_it_is_said_also_on_a_page_that_the_script_put_there(
    walker: Walker, tag: str
) -> None:
    walk = walker()
    for path, promises in PROMISES.items():
        walk.go(f"{path}?l={tag}")
        text = walk.page.inner_text("main")
        assert said(tag, KEPT[path]) not in text
        for key in promises:
            assert said(tag, key) in text

    walk.fill_in(*new_card(SystemEntropy()))

    text = walk.page.inner_text("main")
    assert said(tag, "signin.failed") in text
    assert said(tag, "signin.shared_yes_hint") in text
    assert said(tag, "signin.shared_yes_kept") not in text


def test_where_the_script_does_not_come_neither_is_said(walker: Walker) -> None:
    walk = walker()
    walk.context.route(SCRIPT, lambda route: route.abort())
    for path, promises in PROMISES.items():
        walk.go(f"{path}?l=en")
        text = walk.page.inner_text("main")
        for key in (*promises, KEPT[path]):
            assert said("en", key) not in text
        assert "Shift" not in walk.text

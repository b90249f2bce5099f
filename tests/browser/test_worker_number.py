"""A number from her worker in a browser: past somebody who tries at her card, and kept by nothing.

S-02.4.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from safehand_client import SurvivorClient

from tests.browser.conftest import Walker
from tests.browser.walk import Walk
from tests.harness.browser import Browsers
from tests.harness.portal import Portal, Seated
from tests.harness.world import WORKER

pytestmark = pytest.mark.slow  # whole browsers, and a profile on a disk

WORD: Final = "blue kettle"
FOLDED: Final = "form details.more summary"
TRIES: Final = 5


@pytest.fixture
def seated(portal: Portal) -> Seated:
    """She has set a code word."""
    made = portal.person()
    her = SurvivorClient(portal.world.party("her"))
    her.session = made.session
    try:
        her.set_code_word(WORD)
    finally:
        her.close()
    return made


def lift(portal: Portal, seated: Seated) -> str:
    number, _ = portal.world.agency_a.lift_wait(
        seated.person.subject_ref, worker_ref=WORKER, code_word=WORD
    )
    return number


def type_number(walk: Walk, number: str) -> None:
    walk.page.locator("input[name=number]").focus()
    walk.page.keyboard.insert_text(number)


@pytest.mark.parametrize("javascript", [True, False], ids=["script", "no script"])
def test_while_somebody_tries_at_her_card_she_is_in_at_once(
    walker: Walker, portal: Portal, seated: Seated, javascript: bool
) -> None:
    walk = walker(javascript=javascript)
    walk.go("/in")
    assert not walk.page.is_visible("input[name=number]")
    wrong = str((int(seated.person.pin) + 1) % 10**6).rjust(6, "0")
    for _ in range(TRIES + 1):
        walk.fill_in(seated.person.card, wrong)
    assert "Please wait" in walk.text
    assert walk.page.is_visible("input[name=number]"), "it stands open where she has to wait"
    number = lift(portal, seated)
    type_number(walk, f"{number[:4]} {number[4:]}")
    walk.fill_in(seated.person.card, seated.person.pin)
    assert walk.path == "/home"
    assert "Did you ask for this?" in walk.text
    assert number not in walk.page.content()
    for url in walk.asked:
        assert number not in url


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "only me"])
def test_no_file_of_the_browser_holds_it(
    chromium: Browsers, portal: Portal, seated: Seated, tmp_path: Path, shared: bool
) -> None:
    """Also where the browser may keep card and PIN; and beside it the card is kept no more than
    without it."""
    folder, number = tmp_path / "profile", lift(portal, seated)
    with chromium.kept(folder, javascript=True) as context:
        walk = Walk(portal, context, None, True)
        walk.go("/in")
        if not shared:
            walk.page.check("input[name=shared][value=no]")
        walk.page.click(FOLDED)
        type_number(walk, number)
        walk.fill_in(seated.person.card, seated.person.pin)
        assert walk.path == "/home"
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files
    for secret in (number, seated.person.card)[: 2 if shared else 1]:
        for path in files:
            data = path.read_bytes()
            assert secret.encode() not in data, path.name
            assert secret.encode("utf-16-le") not in data, path.name

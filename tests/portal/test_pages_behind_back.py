"""Without script a form that took the PIN stands behind Back: what she stopped or hid must not come
back to whoever sends it once more, after the wait is over or consent is there again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from safehand.consent.v1 import consent_pb2
from safehand_formats.kinds import Kind

from tests.consent.portal.world import PIN, Her
from tests.harness.world import eventually
from tests.logged import captured
from tests.portal import pages_world
from tests.portal.browser import Browser
from tests.portal.pages_world import PagesWorld

WRONG = "000000"
TRIES = 5
STOPPED = consent_pb2.GRANT_STATE_STOPPED


@dataclass(frozen=True)
class WithPin:
    """A form with a PIN: where it is, its button, and the address it is sent to."""

    page: str
    button: str
    path: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesWorld]:
    with pages_world.serving(tmp_path_factory.mktemp("behind")) as made:
        yield made


@pytest.fixture
def she(world: PagesWorld) -> Her:
    return world.her()


@pytest.fixture(params=["undo", "show"])
def form(request: pytest.FixtureRequest, world: PagesWorld, she: Her) -> WithPin:
    world.give(she)
    number = world.only(she).number
    if request.param == "show":
        world.hide(she, number)
        return WithPin("/list", "Show everything again", "/list/all")
    world.stop_one(she, number)
    return WithPin(f"/list/{number}/stopped", "Undo the stop", f"/list/{number}/undo")


def _taken_back(world: PagesWorld, she: Her) -> bool:
    """Whether what she stopped or hid is there again."""
    return any(one.state != STOPPED for one in world.sharing(she).sharings)


def _sent(browser: Browser, form: WithPin, pin: str) -> tuple[int, str]:
    browser.open(form.page)
    of = browser.page.form(form.button)
    fields = [(name, value) for name, value in of.fields(of.button(form.button)) if name != "pin"]
    answer = browser.sent("POST", form.path, [*fields, ("pin", pin)])
    return answer.status, answer.headers.get("location", "")


def test_a_wait_is_told_on_a_page_that_is_no_form(
    world: PagesWorld, she: Her, form: WithPin
) -> None:
    browser = world.browser(she)
    for _ in range(TRIES):
        assert _sent(browser, form, WRONG) == (200, "")

    assert _sent(browser, form, PIN) == (303, f"{form.path}/3")

    page = browser.open(f"{form.path}/3")
    assert page.status == 200
    assert "3 minutes" in page.text
    assert PIN not in page.html
    assert not _taken_back(world, she)


def test_that_nobody_knows_is_told_on_a_page_that_is_no_form(
    world: PagesWorld, she: Her, form: WithPin
) -> None:
    browser = world.browser(she)
    browser.open(form.page)
    of = browser.page.form(form.button)
    fields = [(name, value) for name, value in of.fields(of.button(form.button)) if name != "pin"]
    with world.consent_down(), captured("portal") as log:
        answer = browser.sent("POST", form.path, [*fields, ("pin", PIN)])
        assert (answer.status, answer.headers["location"]) == (303, f"{form.path}/0")
        # A line is written behind the answer.
        eventually(lambda: "page.failed" in log.getvalue(), "whoever runs it sees the fault")
        page = browser.open(f"{form.path}/0")
        assert page.status == 200
        eventually(lambda: "page.answered" in log.getvalue(), "the page that tells it is none")
        assert log.getvalue().count("page.failed") == 1
        assert "We do not know if it worked." in page.text
    assert not _taken_back(world, she)


@pytest.mark.parametrize("minutes", ["31", "99", "-1", "x"])
def test_such_an_address_says_nothing_that_cannot_be(
    world: PagesWorld, she: Her, form: WithPin, minutes: str
) -> None:
    page = world.browser(she).open(f"{form.path}/{minutes}")
    assert "Please wait" not in page.text
    assert page.heading == "Sign in"


def test_a_no_that_got_no_answer_is_sent_again_as_a_no(world: PagesWorld, she: Her) -> None:
    """A stop in its place could be undone, and would leave what a worker wrote as her yes."""
    grant = world.recorded(she)
    browser = world.browser(she)
    browser.open(f"/list/{world.only(she).number}")
    with world.consent_down():
        assert browser.press("No, stop it now").heading == "We do not know if it stopped"

    page = browser.press("Press again")

    assert page.heading == "Sharing has ended for good"
    assert world.only(she).end_cause == "invalidated"
    assert world.kinds(grant).count(Kind.STOP) == 1

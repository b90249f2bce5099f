"""What her pages say of sharing is so: where an organisation has more than one, and where something
that she took off the screen is on."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import cast

import pytest
from safehand.consent.v1 import portal_pb2
from safehand_portal_service.page import Page
from safehand_portal_service.pages import shown_sharing
from safehand_portal_service.pages.sharing import _others_on
from safehand_portal_service.words import Catalogues

from tests.consent.portal.world import B, C, Her
from tests.portal import pages_world
from tests.portal.browser import Seen
from tests.portal.pages_world import PagesWorld

ALL = Catalogues.load(allow_unreviewed=True)
TAGS = [language.tag for language in ALL.languages]
HEADING = re.compile(r'<h3 class="place"><bdi>(.*?)</bdi></h3>')
STOP = re.compile(r'action="/list/\d{10}/stop"')
GOOD = re.compile(r'<div class="notice good">.*?</div>', re.S)
THE_B, THE_C = f"The {B}", f"The {C}"
OTHERS = f"Other sharing with {THE_B} is still on. You can stop it on your list."


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesWorld]:
    """One for all: each test has a person of its own."""
    with pages_world.serving(tmp_path_factory.mktemp("true")) as made:
        yield made


@pytest.fixture
def she(world: PagesWorld) -> Her:
    return world.her()


def grouped(page: Seen, section: str) -> list[tuple[str, str]]:
    """Each heading of a section of the list, and what stands below it."""
    _, _, rest = page.html.partition(f'<section aria-labelledby="{section}">')
    _, *parts = HEADING.split(rest.partition("</section>")[0])
    return list(zip(parts[::2], parts[1::2], strict=True))


def ended(world: PagesWorld, she: Her, grade: str) -> str:
    """A sharing with ``B`` that she stopped, or destroyed; its number."""
    number = world.number(she, world.give(she))
    world.stop_one(she, number)
    if grade == "destroyed":
        world.destroy(she, number)
    return number


# --- the list -------------------------------------------------------------------------------------


def test_each_organisation_has_one_heading_and_each_sharing_its_own_stop(
    world: PagesWorld, she: Her
) -> None:
    ended(world, she, "stopped")
    ended(world, she, "destroyed")
    world.give(she)
    world.give(she, C)
    world.give(she, categories=["CARD", "HEALTH"])

    page = world.browser(she).open("/list")

    assert [name for name, _ in grouped(page, "on")] == [THE_B, THE_C], "the newest first"
    assert [len(STOP.findall(below)) for _, below in grouped(page, "on")] == [2, 1]
    ((name, below),) = grouped(page, "ended")
    assert name == THE_B
    assert not STOP.search(below)
    assert ">Stopped</span>" in below
    assert ">Ended</span>" in below


def test_what_is_off_the_screen_leaves_no_gap_in_a_group(world: PagesWorld, she: Her) -> None:
    hidden = world.give(she)
    only = world.give(she, C)
    world.give(she)
    for grant in (hidden, only):
        world.hide(she, world.number(she, grant))
    plain = world.her()
    world.give(plain)

    page, same = (world.browser(her).open("/list") for her in (she, plain))

    assert [(name, len(STOP.findall(below))) for name, below in grouped(page, "on")] == [(THE_B, 1)]
    assert page.text == same.text


def test_below_a_kind_a_stop_is_said_to_end_no_more_than_it_does(
    world: PagesWorld, she: Her
) -> None:
    world.give(she)
    other = world.give(she)
    sent = world.send(other)
    page = world.browser(she).open("/list/kind")

    world.stop_one(she, next(n for n in numbers(world, she) if n != world.number(she, other)))

    assert f"Stop ends all that {THE_B} may see under this one." in page.text
    assert "for this reason" not in page.text
    world.look(sent)


def numbers(world: PagesWorld, she: Her) -> list[str]:
    return [one.number for one in world.sharing(she).sharings]


@pytest.mark.parametrize("path", ["/list", "/list/kind"])
@pytest.mark.parametrize("how", ["nothing", "stopped", "destroyed", "waiting", "on"])
def test_a_list_says_that_somebody_may_see_only_where_somebody_may(
    world: PagesWorld, she: Her, monkeypatch: pytest.MonkeyPatch, path: str, how: str
) -> None:
    real = shown_sharing.shown
    if how == "waiting":
        monkeypatch.setattr(
            shown_sharing, "shown", lambda *one: dataclasses.replace(real(*one), guardian=True)
        )
    if how in ("waiting", "on"):
        world.give(she)
    elif how != "nothing":
        ended(world, she, how)

    page = world.browser(she).open(path)

    claims = ("These places may see some of your information.", "You can stop any of them now.")
    assert [claim in page.text for claim in claims] == [how == "on"] * 2
    assert ("Nothing on this list is on." in page.text) == (how != "on")
    assert ("There is nothing on this list." in page.text) == (
        how == "nothing" or (path == "/list/kind" and how in ("stopped", "destroyed"))
    )
    assert "You do not lose help because you say no or stop." in page.text


# --- one stop ends one sharing --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grade", "since"),
    [("stopped", "Since "), ("destroyed", f"{THE_B} can open nothing more under this one.")],
)
def test_behind_a_stop_she_is_told_what_they_may_still_open(
    world: PagesWorld, she: Her, grade: str, since: str
) -> None:
    number = ended(world, she, grade)
    sent = world.send(world.give(she))
    browser = world.browser(she)

    page = browser.open(f"/list/{number}/stopped")

    (notice,) = GOOD.findall(page.html)
    said = " ".join(re.sub(r"<[^>]+>", "", notice).split())
    assert said.startswith(since)
    assert "can open nothing more under this one." in said
    assert f"{OTHERS} Go to your list" in said
    assert "nothing more here" not in page.text
    world.look(sent)
    assert THE_B in browser.follow("Go to your list").text


@pytest.mark.parametrize("grade", ["stopped", "destroyed"])
def test_what_is_off_the_screen_is_told_by_no_sentence(
    world: PagesWorld, she: Her, grade: str
) -> None:
    number = ended(world, she, grade)
    hidden = world.give(she)
    sent = world.send(hidden)
    world.hide(she, world.number(she, hidden))
    plain = world.her()
    alone = ended(world, plain, grade)

    page = world.browser(she).open(f"/list/{number}/stopped")
    same = world.browser(plain).open(f"/list/{alone}/stopped")

    assert page.text == same.text
    assert "can open nothing more under this one." in page.text
    assert "is still on" not in page.text
    world.look(sent)


def test_what_somebody_else_may_see_is_not_told_there(world: PagesWorld, she: Her) -> None:
    number = ended(world, she, "stopped")
    ended(world, she, "stopped")
    world.give(she, C)

    page = world.browser(she).open(f"/list/{number}/stopped")

    assert "is still on" not in page.text


def test_no_page_says_that_somebody_may_see_what_a_guardian_has_yet_to_sign(
    world: PagesWorld, she: Her
) -> None:
    world.needs_guardian(she)
    world.give(she)
    number = world.only(she).number
    browser = world.browser(she)

    assert "Nothing on your list is on" in browser.open("/home").text
    listed = browser.open("/list")
    assert "Nothing on this list is on." in listed.text
    assert "Your guardian has to sign first." in listed.text
    assert '<h2 id="on">' not in listed.html
    given = browser.open(f"/list/{number}/given")
    assert "may see what you chose" not in given.text
    assert "Nothing of this is shared before." in given.text
    browser.open("/list")
    assert browser.press("Stop this sharing with").heading == "Sharing has stopped"


def test_what_waits_for_a_guardian_is_not_said_to_be_on() -> None:
    over = portal_pb2.Sharing(number="1", recipient_name=B, state=shown_sharing.STOPPED)
    waits = portal_pb2.Sharing(
        number="2", recipient_name=B, state=shown_sharing.ON, waits_for_guardian=True
    )
    given = portal_pb2.Sharing(number="3", recipient_name=B, state=shown_sharing.ON)

    assert not _others_on(answered(over, waits), over)
    assert _others_on(answered(over, waits, given), over)


def answered(*sharings: portal_pb2.Sharing) -> Page:
    """A page whose every question is answered with these."""

    class Told:
        backend = type("Backend", (), {"her": type("Her", (), {"ListSharing": None})})

        def ask(self, *_: object) -> portal_pb2.ListSharingResponse:
            return portal_pb2.ListSharingResponse(sharings=sharings)

    return cast(Page, Told())


@pytest.mark.parametrize("tag", TAGS)
def test_no_language_says_that_nothing_more_opens_here(tag: str) -> None:
    """Only under the one that was stopped: they may have another."""
    words = ALL.words(tag)
    here = {"en": " here", "es": " aquí", "ar": " هنا"}[tag]

    for key in ("list.stopped.since", "list.final.since", "list.all.row", "info.how.stop"):
        values = {} if key.startswith("info") else {"name": B, "when": "1"}
        assert here not in str(words.t(key, **values)), key


# --- a question and its answer --------------------------------------------------------------------


def test_behind_an_answer_its_pages_say_what_stays_true(world: PagesWorld, she: Her) -> None:
    """A yes that she stopped since, and "Later" behind a yes: both can be asked for again."""
    world.ask(she)
    (one,) = world.sharing(she).asked
    browser = world.browser(she)
    path = f"/list/new/{one.number}"
    later = browser.open(f"{path}/later").text
    browser.open(path)
    browser.press("I am alone")
    browser.press("Go on")
    browser.press("Go on")
    browser.press("Leave it out")
    browser.press("Yes")

    assert browser.open(f"{path}/later").text == later
    for claim in ("Nothing was shared", "waits", "question"):
        assert claim not in later
    world.stop_one(she, world.only(she).number)
    page = browser.open(f"{path}/done")

    assert page.heading == "You said yes"
    assert "You can look at it on your list." in page.text
    assert "stop it" not in page.text


@pytest.mark.parametrize("tag", TAGS)
def test_no_answer_is_told_as_if_nothing_at_all_were_shared(tag: str) -> None:
    words = ALL.words(tag)
    stop = {"en": "on your list", "es": "en su lista", "ar": "في قائمتك"}[tag]
    nothing = {"en": "Nothing is", "es": "No se comparte nada.", "ar": "مشاركة أي شيء."}[tag]

    for key in ("no", "later", "lapsed"):
        assert nothing not in words.t(f"asked.done.{key}", date="1"), key
    assert stop in words.t("asked.again.stop")


# --- something that she took off the screen is on -------------------------------------------------


@pytest.fixture
def hidden(world: PagesWorld, she: Her) -> Iterator[None]:
    """It is on throughout, and was looked at."""
    grant = world.give(she)
    sent = world.send(grant)
    world.look(sent)
    world.hide(she, world.number(she, grant))
    yield
    world.look(sent)


@pytest.mark.usefixtures("hidden")
def test_home_claims_nothing_that_it_would_undo(world: PagesWorld, she: Her) -> None:
    page = world.browser(world.again(she)).open("/home")
    plain = world.again(world.her())

    assert "Nothing on your list is on right now." in page.text
    assert "Your list shows no look since your last visit." in page.text
    assert page.text == world.browser(plain).open("/home").text
    for claim in ("Nobody", "Nothing is shared", "There is no"):
        assert claim not in page.text


@pytest.mark.usefixtures("hidden")
def test_all_that_stopped_is_what_is_on_the_list(world: PagesWorld, she: Her) -> None:
    world.stop_one(she, world.number(she, world.give(she, C)))

    page = world.browser(she).open("/list/stopped")

    assert page.heading == "Everything on this list has stopped"
    assert "From now on, nothing on this list can be opened here." in page.text
    assert "All sharing" not in page.text
    assert "no one" not in page.text
    assert THE_B not in page.text

"""What is said of a stop where something came in between: the truth, or whom to call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NoReturn

import pytest
from safehand.consent.v1 import consent_pb2
from safehand_core import ids
from safehand_formats.kinds import Kind
from safehand_portal_service.page import Page
from safehand_portal_service.pages import numbers, shown_sharing
from safehand_portal_service.words import Catalogues

from tests.consent.portal.world import ENTROPY, FIRST_PIN, A, B, Her, new_request_id
from tests.consent.release.world import Card
from tests.logged import captured
from tests.portal import pages_world
from tests.portal.browser import Seen
from tests.portal.pages_world import PHONE, PagesWorld

ALL = Catalogues.load(allow_unreviewed=True)
MINUTE = 60
MAIN = re.compile(r"<main.*?</main>", re.S)
UNDONE = ("Nothing was changed", "was not done", "No cambió nada", "لم يتغير شيء")
DONE = (
    *("has stopped", "ended for good", "is on again", "nothing more"),
    *("Se dejó de compartir", "nada más", "توقفت المشاركة", "انتهت المشاركة"),
)
SECRET = "what no page and no log may say"
UNSEEN = {
    "en": "We cannot show what your stop did.",
    "es": "No podemos mostrar el resultado de lo que paró.",
    "ar": "لا يمكننا عرض نتيجة الإيقاف.",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesWorld]:
    with pages_world.serving(tmp_path_factory.mktemp("stops")) as made:
        yield made


def main(page: Seen) -> str:
    (found,) = MAIN.findall(page.html)
    return " ".join(re.sub(r"<[^>]+>", " ", found).split())


def test_a_stop_of_what_another_page_took_off_the_screen_is_a_stop(world: PagesWorld) -> None:
    she = world.her()
    grant = world.give(she)
    sent = world.send(grant)
    browser = world.browser(she)
    browser.open("/list")
    world.hide(she, world.only(she).number)

    page = browser.press("Stop this sharing with")

    assert "Sharing has stopped" in page.text
    assert f"The {B}" not in main(page), "nothing of what she hid is shown"
    world.refuse(sent)
    assert world.kinds(grant).count(Kind.STOP) == 1


@pytest.mark.parametrize("tag", UNSEEN)
def test_a_stop_whose_page_cannot_be_shown_is_not_said_to_be_nothing(
    world: PagesWorld, tag: str
) -> None:
    she = world.her()
    world.give(she)
    browser = world.browser(she, tag)
    path = f"/list/{world.only(she).number}"
    world.stop_one(she, world.only(she).number)

    with world.consent_down():
        pages = [browser.open(one) for one in (f"{path}/stopped", "/list/stopped")]
        others = [browser.open(one) for one in ("/list", path, f"{path}/on")]
        # Where "Try again" leads, behind whatever press it was.
        home = browser.open("/home")

    for page in pages:
        assert page.status == 503
        assert UNSEEN[tag] in page.text
        assert PHONE in main(page), "beside what is said, not only below the page"
    assert home.status == 200
    assert PHONE in main(home)
    for page in [*pages, *others, home]:
        for claim in UNDONE:
            assert claim not in page.text
    for page in others:
        assert str(ALL.words(tag).t("errors.down_stop")) in main(page), "as home says it"
        assert PHONE in main(page)
        assert page.status == 503
        assert UNSEEN[tag] not in page.text


def fault(*_: object, **__: object) -> NoReturn:
    raise RuntimeError(SECRET)


def claims_nothing(page: Seen) -> None:
    """A fault of ours: whom to call, beside what is said, and nothing as done or as undone."""
    assert page.status == 500
    assert PHONE in main(page)
    for claim in (*DONE, *UNDONE):
        assert claim not in main(page)
    for inner in (SECRET, "Traceback", "RuntimeError", ".py"):
        assert inner not in page.html


@pytest.mark.parametrize("tag", UNSEEN)
def test_a_fault_on_the_page_of_a_stop_shows_it_neither_as_done_nor_as_undone(
    world: PagesWorld, monkeypatch: pytest.MonkeyPatch, tag: str
) -> None:
    she = world.her()
    world.give(she)
    browser = world.browser(she, tag)
    number = world.only(she).number
    world.stop_one(she, number)
    monkeypatch.setattr(shown_sharing, "shown", fault)

    with captured("portal") as stream:
        page = browser.open(f"/list/{number}/stopped")

    claims_nothing(page)
    assert UNSEEN[tag] in main(page)
    assert SECRET not in stream.getvalue()
    monkeypatch.undo()
    assert browser.open(f"/list/{number}/stopped").status == 200


@pytest.mark.parametrize("where", ["before it", "behind it"])
def test_a_fault_around_a_stop_shows_it_neither_as_done_nor_as_undone(
    world: PagesWorld, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    she = world.her()
    grant = world.give(she)
    browser = world.browser(she)
    form = browser.open("/list").form("Stop this sharing with")
    fields = form.fields(form.button("Stop this sharing with"))
    if where == "before it":
        monkeypatch.setattr(numbers, "request_id", fault)
    else:
        monkeypatch.setattr(Page, "see_other", fault)

    with captured("portal") as stream:
        page = browser.sent("POST", form.action, fields)

    claims_nothing(page)
    assert "We do not know if it worked." in main(page)
    assert SECRET not in stream.getvalue()
    monkeypatch.undo()
    assert world.kinds(grant).count(Kind.STOP) == (where == "behind it")
    assert browser.post(form.action, fields).heading == "Sharing has stopped"
    assert world.kinds(grant).count(Kind.STOP) == 1, "one entry for both presses"


def test_a_stop_of_what_has_just_ended_says_how_it_ended(world: PagesWorld) -> None:
    she = world.her()
    ends = world.one(she, world.number(she, world.give(she))).expires_at.seconds
    world.later(ends - world.clock.wall() - MINUTE)
    she = world.again(she)
    browser = world.browser(she)
    browser.open("/list")
    world.later(2 * MINUTE)

    page = browser.press("Stop this sharing with")

    assert page.heading == "Sharing has ended for good"
    assert "We could not do that" not in page.text


def test_a_no_behind_a_lost_yes_ends_it(world: PagesWorld) -> None:
    she = world.her()
    world.recorded(she)
    browser = world.browser(she)
    shown = browser.open(f"/list/{world.only(she).number}")
    yes, no = shown.form("Yes, it is right"), shown.form("No, stop it now")
    ids_of = {form.named("request_id")[0].value for form in (yes, no, shown.form("I am not sure"))}
    assert len(ids_of) == 3

    # The answer to this one does not reach her.
    assert browser.sent("POST", yes.action, yes.fields(yes.button("Yes"))).status == 303
    page = browser.post(no.action, no.fields(no.button("No, stop it now")))

    assert "We could not do that" not in page.text
    assert not [one for one in world.sharing(she).sharings if one.state == ON]


ON = 1


def with_a_seen_pin(world: PagesWorld) -> Her:
    """Somebody whose PIN a worker has seen."""
    card, ref = world.new_card(), ids.new_id(ENTROPY)
    world.agency(A).RegisterSubject(
        consent_pb2.RegisterSubjectRequest(
            request_id=new_request_id(), subject_ref=ref, card_number=card.number, pin=FIRST_PIN
        )
    )
    seen = Card(card.number, FIRST_PIN)
    return Her(seen, ref, world.sign_in(seen))


def test_before_a_new_pin_she_is_shown_that_everything_has_stopped(world: PagesWorld) -> None:
    she = with_a_seen_pin(world)
    world.recorded(she)
    browser = world.browser(she)
    assert browser.open("/home").path == "/in/pin"
    form = browser.page.form("Stop everything")
    fields = form.fields(form.button("Stop everything"))

    page, again = (browser.sent("POST", form.action, fields) for _ in range(2))

    assert page.status == again.status == 200
    for one in (page, again):
        assert one.heading == "Everything on this list has stopped"
        assert f"The {B}" in one.text
        assert one.link("Choose a new PIN") == "/in/pin"
        assert not [to for _, to in one.links if to.startswith("/list")], "it would not be shown"
    assert browser.open("/home").path == "/in/pin"

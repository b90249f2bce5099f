"""``/list``: who may see what, and one press that ends it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from safehand_core.words import CARD
from safehand_portal_service.words import Catalogues

from tests.consent.portal.world import DAY, HOUR, PIN, A, B, C, Her
from tests.portal import pages_world
from tests.portal.pages_world import PHONE, PagesWorld

STOP = 1
ALL = Catalogues.load(allow_unreviewed=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesWorld]:
    """One for all: each test has a person of its own."""
    with pages_world.serving(tmp_path_factory.mktemp("pages")) as made:
        yield made


@pytest.fixture
def she(world: PagesWorld) -> Her:
    return world.her()


def test_the_list_says_who_what_why_and_until(world: PagesWorld, she: Her) -> None:
    world.give(she)
    page = world.browser(she).open("/list")

    assert page.status == 200
    assert page.title == "List"
    assert f"<bdi>The {B}</bdi>" in page.html
    for words in ("your name", "how to reach you", "a safe place to stay", "On", "Until"):
        assert words in page.text


def test_an_empty_list_claims_nothing(world: PagesWorld, she: Her) -> None:
    page = world.browser(she).open("/list")

    assert "There is nothing on this list." in page.text
    assert page.form("Stop everything")


def test_two_presses_from_home_one_from_the_list(world: PagesWorld, she: Her) -> None:
    world.give(she)
    browser = world.browser(she)
    browser.open("/home")

    browser.follow("Who may see")
    page = browser.press("Stop this sharing with")

    assert browser.presses == 2
    assert page.heading == "Sharing has stopped"
    assert world.only(she).stopped_by == "self"
    assert "reason" not in page.form("Undo the stop").action


def test_a_stop_is_refused_at_once_to_whoever_had_it(world: PagesWorld, she: Her) -> None:
    sent = world.send(world.give(she))
    world.look(sent)
    browser = world.browser(she)
    browser.open("/list")

    browser.press("Stop this sharing with")

    world.refuse(sent)


def test_a_double_press_is_one_entry(world: PagesWorld, she: Her) -> None:
    grant = world.give(she)
    browser = world.browser(she)
    form = browser.open("/list").form("Stop this sharing with")
    fields = form.fields(form.button("Stop this sharing with"))
    before = len(world.kinds(grant))

    first = browser.post(form.action, fields)
    again = browser.post(form.action, fields)

    assert first.heading == again.heading == "Sharing has stopped"
    assert len(world.kinds(grant)) == before + 1


def test_the_answer_says_what_they_already_got(world: PagesWorld, she: Her) -> None:
    world.look(world.send(world.give(she)))
    browser = world.browser(she)
    browser.open("/list")

    page = browser.press("Stop this sharing with")

    assert "What they already got" in page.text
    assert "your area and your language" in page.text
    assert "A stop does not take it back." in page.text
    assert f"We tell The {B} that sharing stopped." in page.text
    assert f"We tell The {A} that sharing stopped." in page.text
    assert "They are not told why." in page.text
    assert "Stopping never ends a place or an appointment." in page.text


def test_without_referral_the_stop_works_and_only_the_steps_are_missing(
    world: PagesWorld, she: Her
) -> None:
    world.send(world.give(she))
    browser = world.browser(she)
    browser.open("/list")

    page = browser.press("Stop this sharing with")

    assert page.heading == "Sharing has stopped"
    assert "We cannot show your steps right now." in page.text


def test_nothing_opened_and_nothing_sent_is_said_as_it_is(world: PagesWorld, she: Her) -> None:
    world.give(she)
    browser = world.browser(she)
    browser.open("/list")

    page = browser.press("Stop this sharing with")

    assert "Your pages show nothing that was opened." in page.text
    assert f"The {B} is told only if something was sent to them." in page.text
    assert f"We tell The {B}" not in page.text
    assert f"We tell The {A} that sharing stopped." in page.text


@pytest.mark.parametrize("tag", [language.tag for language in ALL.languages])
def test_nobody_is_said_to_have_been_told(tag: str) -> None:
    """What is told waits where the bus or a worker is away: nobody here knows when it came."""
    words = ALL.words(tag)

    said = str(words.t("list.told.name", name=B))

    for claim in ("was told", "Ya le", "dijimos", "تم إبلاغ "):
        assert not said.startswith(claim)
        assert f" {claim}" not in said


def test_the_answer_can_be_read_again_later(world: PagesWorld, she: Her) -> None:
    world.give(she)
    browser = world.browser(she)
    browser.open("/list")
    first = browser.press("Stop this sharing with")
    world.later(HOUR)
    her = world.again(she)

    browser = world.browser(her)
    browser.open("/list")
    page = browser.follow("See more")

    assert page.heading == first.heading
    assert "24" in page.text


def test_undo_asks_for_the_pin_and_brings_it_back(world: PagesWorld, she: Her) -> None:
    world.give(she)
    browser = world.browser(she)
    browser.open("/list")
    browser.press("Stop this sharing with")

    wrong = browser.press("Undo the stop", pin="111111")
    assert "That PIN did not work." in wrong.text
    short = browser.press("Undo the stop", pin="12")
    assert "A PIN has 6 digits." in short.text
    page = browser.press("Undo the stop", pin="٠٩٧ ٥٣١")

    assert page.heading == "Sharing is on again"
    assert world.only(she).state == STOP


def test_undo_is_not_offered_after_its_day(world: PagesWorld, she: Her) -> None:
    world.give(she)
    browser = world.browser(she)
    browser.open("/list")
    page = browser.press("Stop this sharing with")
    assert page.form("Undo the stop")
    world.later(DAY)
    her = world.again(she)
    browser = world.browser(her)
    browser.open("/list")

    page = browser.follow("See more")

    assert page.heading == "Sharing has ended for good"
    assert "Undo" not in page.text


def test_too_many_pins_say_how_long_to_wait(world: PagesWorld, she: Her) -> None:
    world.give(she)
    browser = world.browser(she)
    browser.open("/list")
    browser.press("Stop this sharing with")

    for _ in range(6):
        page = browser.press("Undo the stop", pin="111111")

    assert "Too many tries. Please wait 3 minutes, then try again." in page.text
    assert world.only(she).stopped_by == "self"


def test_destroy_now_is_final_and_says_what_it_means(world: PagesWorld, she: Her) -> None:
    world.give(she)
    browser = world.browser(she)
    browser.open("/list")
    page = browser.press("Stop this sharing with")
    assert "no file and no backup can open it" in page.text

    page = browser.press("Destroy now")

    assert page.heading == "Sharing has ended for good"
    assert "You chose to destroy it." in page.text
    assert world.only(she).end_cause == "destroy_now"


def test_stop_everything_stops_what_is_hidden_too(world: PagesWorld, she: Her) -> None:
    hidden = world.give(she)
    world.give(she, C)
    world.hide(she, world.number(she, hidden))
    browser = world.browser(she)
    page = browser.open("/list")
    assert f"The {B}" not in page.text

    page = browser.press("Stop everything")

    assert page.heading == "Everything on this list has stopped"
    assert f"The {C}" in page.text
    assert f"The {B}" not in page.text
    world.show_all(she)
    assert {one.stopped_by for one in world.sharing(she).sharings} == {"self"}


def test_stop_everything_works_from_home_in_one_press(world: PagesWorld, she: Her) -> None:
    world.give(she)
    browser = world.browser(she)
    browser.open("/home")

    page = browser.press("Stop everything")

    assert page.heading == "Everything on this list has stopped"


def test_the_result_of_stop_everything_never_claims_what_is_not(
    world: PagesWorld, she: Her
) -> None:
    world.give(she)
    page = world.browser(she).open("/list/stopped")

    assert page.heading == "Stop everything"
    assert "Something is on." in page.text


def test_by_kind_shows_the_same_sharings(world: PagesWorld, she: Her) -> None:
    world.give(she)
    world.give(she, C, categories=["CARD", "HEALTH"])
    browser = world.browser(she)
    browser.open("/list")

    page = browser.follow("By kind")

    assert page.title == "List by kind"
    assert page.text.count(f"The {C}") >= 2
    name, health = page.text.index("your name"), page.text.index("your health")
    assert name < page.text.index(f"The {B}", name) < health < page.text.index(f"The {C}", health)
    assert browser.press("Stop this sharing with").heading == "Sharing has stopped"


def test_what_a_worker_wrote_is_asked_about(world: PagesWorld, she: Her) -> None:
    world.recorded(she)
    browser = world.browser(she)
    page = browser.open("/list")
    assert "A worker wrote something down for you. Is it right?" in page.text
    assert "A worker wrote it down" in page.text

    page = browser.follow("Look at it")
    assert "A worker wrote this for you. Is it right?" in page.text
    assert f"A worker of The {A} wrote it on" in page.text
    page = browser.press("I am not sure")
    assert page.heading == "Nothing has changed"
    browser.follow("Look at it")
    page = browser.press("Yes, it is right")

    assert page.heading == "Thank you"
    assert not world.only(she).HasField("confirm_by")


def test_no_to_what_a_worker_wrote_stops_it_at_once(world: PagesWorld, she: Her) -> None:
    world.recorded(she)
    browser = world.browser(she)
    browser.open("/list")
    browser.follow("Look at it")

    page = browser.press("No, stop it now")

    assert page.heading == "Sharing has ended for good"
    assert "as if it never was" in page.text
    assert world.only(she).end_cause == "invalidated"


def test_what_is_hidden_is_gone_without_a_gap_and_comes_back(world: PagesWorld, she: Her) -> None:
    world.give(she)
    world.give(she, C)
    browser = world.browser(she)
    browser.open("/list")
    browser.follow("See more about The agency-b")

    page = browser.press("Do not show this on screen")

    assert page.path == "/list"
    assert f"The {B}" not in page.text
    wrong = browser.press("Show everything again", pin="111111")
    assert "That PIN did not work." in wrong.text
    done = browser.press("Show everything again", pin=PIN)
    assert done.heading == "Done"
    nothing_hidden = browser
    nothing_hidden.open("/list")
    same = nothing_hidden.press("Show everything again", pin=PIN)
    assert same.text == done.text
    assert f"The {B}" in browser.open("/list").text


def test_nobody_elses_number_opens_anything(world: PagesWorld, she: Her) -> None:
    other = world.her()
    number = world.number(other, world.give(other))
    browser = world.browser(she)

    pages = [browser.open(f"/list/{n}") for n in (number, "0000000000", "kind2", "1")]

    assert len({page.html for page in pages}) == 1
    assert pages[0].heading != f"The {B}"


def test_with_consent_down_nothing_is_said_to_be_done(world: PagesWorld, she: Her) -> None:
    world.give(she)
    browser = world.browser(she)
    form = browser.open("/list").form("Stop this sharing with")
    fields = form.fields(form.button("Stop this sharing with"))
    with world.consent_down():
        page = browser.post(form.action, fields)
        listed = browser.open("/list")
    again = browser.post(page.form("Press again").action, fields)

    assert page.status == 503
    assert page.heading == "We do not know if it stopped"
    assert "has stopped" not in page.text
    assert PHONE in page.text
    assert listed.status == 503
    assert PHONE in listed.text
    assert f"The {B}" not in listed.text
    assert page.form("Press again").named("request_id")[0].value == dict(fields)["request_id"]
    assert again.heading == "Sharing has stopped"


def test_no_page_of_the_list_names_an_id(world: PagesWorld, she: Her) -> None:
    grant = world.give(she)
    ask = world.ask(she)
    browser = world.browser(she)
    pages = [browser.open(path).html for path in ("/list", "/list/kind", "/list/stopped")]
    pages.append(browser.open(f"/list/{world.number(she, grant)}").html)
    pages.append(browser.press("Stop this sharing with").html)

    for html in pages:
        assert grant not in html
        assert ask not in html
        assert she.ref not in html
        assert she.card.number not in html
        assert f'"{A}"' not in html
        assert CARD not in html

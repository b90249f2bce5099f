"""``/seen``: each look with what allowed it, and each refused try."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from safehand.common.v1 import reason_pb2
from safehand.consent.v1.portal_pb2 import Organisation, Seen
from safehand_portal_service.pages import shown_seen
from safehand_portal_service.words import Catalogues

from tests.consent.portal.world import DAY, HOUR, B, C, Her
from tests.portal import pages_world
from tests.portal.pages_world import PHONE, PagesWorld

REFUSED = "tried to open it and was refused."
LOOKED = "opened it."
AT = 1_800_000_000
ALL = Catalogues.load(allow_unreviewed=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesWorld]:
    """One for all: each test has a person of its own."""
    with pages_world.serving(tmp_path_factory.mktemp("pages")) as made:
        yield made


@pytest.fixture
def she(world: PagesWorld) -> Her:
    return world.her()


def test_a_look_is_one_row_tied_to_what_allowed_it(world: PagesWorld, she: Her) -> None:
    grant = world.give(she)
    world.look(world.send(grant))
    browser = world.browser(she)

    page = browser.open("/seen")

    assert page.title == "Looks"
    assert page.text.count(LOOKED) == 1
    assert f"The {B} opened it." in page.text
    assert "<dd>a safe place to stay</dd>" in page.html
    assert "You allowed this on" in page.text
    assert page.link("You allowed this on") == f"/list/{world.number(she, grant)}"


def test_a_refused_try_is_shown_with_a_plain_reason(world: PagesWorld, she: Her) -> None:
    grant = world.give(she)
    sent = world.send(grant)
    world.look(sent)
    world.stop_one(she, world.number(she, grant))
    world.refuse(sent)
    browser = world.browser(she)

    page = browser.open("/seen")
    assert f"The {B} {REFUSED} They saw nothing." in page.text
    assert "Sharing had stopped or ended." in page.text
    assert "CONSENT_ENDED" not in page.html
    only = browser.follow("Refused tries")

    assert only.path == "/seen/refused"
    assert only.text.count(REFUSED) == 1
    assert LOOKED not in only.text


def test_what_she_never_said_is_not_called_her_yes(world: PagesWorld, she: Her) -> None:
    sent = world.send(world.recorded(she))
    world.look(sent)
    browser = world.browser(she)
    page = browser.open("/seen")
    assert "You have not said that it is right." in page.text
    browser.open(f"/list/{world.only(she).number}")
    browser.press("No, stop it now")
    world.refuse(sent)
    page = browser.open("/seen")
    assert page.text.count("That yes counts as if it never was.") == 2
    assert "You allowed this" not in page.text
    assert "your yes" not in page.text


@pytest.mark.parametrize("tag", [language.tag for language in ALL.languages])
def test_the_list_says_which_refused_tries_may_be_missing(
    world: PagesWorld, she: Her, tag: str
) -> None:
    """What referral refuses after a stop never comes to consent (docs/roadmap.md)."""
    said = ALL.words(tag).t("seen.missing")

    for path in ("/seen", "/seen/refused"):
        assert str(said) in world.browser(she, tag).open(path).text


def test_since_the_last_visit(world: PagesWorld, she: Her) -> None:
    sent = world.send(world.give(she))
    world.look(sent)
    world.later(HOUR)
    before = world.again(she)
    world.later(HOUR)
    browser = world.browser(world.again(before))
    browser.open("/seen")

    assert "There is nothing on this list." in browser.follow("Since your last visit").text
    world.look(sent)

    assert browser.open("/seen/new").text.count(LOOKED) == 1
    assert browser.open("/seen").text.count(LOOKED) == 2


def test_only_one_place(world: PagesWorld, she: Her) -> None:
    world.look(world.send(world.give(she)))
    world.give(she, C)
    browser = world.browser(she)
    browser.open("/seen")

    assert browser.follow(f"Only The {C}").text.count(LOOKED) == 0
    assert browser.follow(f"Only The {B}").text.count(LOOKED) == 1


def test_only_what_one_sharing_allowed(world: PagesWorld, she: Her) -> None:
    grant = world.give(she)
    world.look(world.send(grant))
    other = world.give(she)
    world.look(world.send(other))
    browser = world.browser(she)
    browser.open(f"/list/{world.number(she, grant)}")

    page = browser.follow("See each look")

    assert page.text.count(LOOKED) == 1


def test_twenty_on_a_page_and_where_to_go_on_is_in_no_address(world: PagesWorld, she: Her) -> None:
    sent = world.send(world.give(she))
    for _ in range(23):
        world.look(sent)
    browser = world.browser(she)

    first = browser.open("/seen")
    assert first.text.count(LOOKED) == 20
    page = browser.press("Older looks")

    assert page.text.count(LOOKED) == 3
    assert page.path == "/seen"
    assert page.title == "Older looks"
    assert "Older looks" not in [c.text for form in page.forms for c in form.controls]
    assert browser.follow("Back to the newest").text.count(LOOKED) == 20


def test_the_page_says_since_when_and_what_it_cannot_know(world: PagesWorld, she: Her) -> None:
    world.give(she)
    page = world.browser(she).open("/seen")

    assert "It starts on" in page.text
    assert "What they then do in their own files is not on this list." in page.text
    assert page.text.count(PHONE) == 1, "once, right below the question"
    _, _, below = page.text.partition("Does something seem wrong? Call us.")
    assert PHONE in below
    assert "if a law says so" not in page.text


def test_a_hidden_look_is_gone_without_a_gap(world: PagesWorld, she: Her) -> None:
    sent = world.send(world.give(she))
    for _ in range(21):
        world.look(sent)
    browser = world.browser(she)
    browser.open("/seen")

    page = browser.press("Do not show this on screen")

    assert page.path == "/seen"
    assert page.text.count(LOOKED) == 20
    assert "Older looks" not in page.text


def test_nobody_elses_look_is_in_it(world: PagesWorld, she: Her) -> None:
    other = world.her()
    world.look(world.send(world.give(other)))
    world.give(she)

    page = world.browser(she).open("/seen")

    assert LOOKED not in page.text
    assert other.ref not in page.html


def test_a_place_or_a_look_of_somebody_elses_is_not_there(world: PagesWorld, she: Her) -> None:
    browser = world.browser(she)
    pages = [browser.open(path).html for path in ("/seen/by/0123456789", "/seen/for/x", "/nope")]

    assert len(set(pages)) == 1


def test_no_worker_and_no_agency_is_named_by_an_id(world: PagesWorld, she: Her) -> None:
    world.look(world.send(world.give(she)))
    world.later(DAY)
    her = world.again(she)
    html = world.browser(her).open("/seen").html

    assert "worker-" not in html
    assert f'"{B}"' not in html
    assert she.ref not in html


def test_with_consent_down_it_says_so(world: PagesWorld, she: Her) -> None:
    world.look(world.send(world.give(she)))
    browser = world.browser(she)
    with world.consent_down():
        page = browser.open("/seen")

    assert page.status == 503
    assert PHONE in page.text
    assert LOOKED not in page.text


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", [language.tag for language in ALL.languages])
def test_each_reason_is_a_sentence(tag: str) -> None:
    for reason in reason_pb2.Reason.values():
        if reason != reason_pb2.REASON_UNSPECIFIED:
            look = Seen(refused=reason, at=Timestamp(seconds=AT), category="NAME")
            shown = shown_seen.shown(ALL.words(tag), look)
            assert shown.refused
            assert shown.reason
            assert "_" not in shown.reason


def test_a_place_that_is_quiet_for_days_is_named() -> None:
    english = ALL.words("en")
    bay = Organisation(number="1", name="Bay", heard_at=Timestamp(seconds=AT))

    assert not shown_seen.heard(english, bay, AT + shown_seen.QUIET_S).quiet
    late = shown_seen.heard(english, bay, AT + shown_seen.QUIET_S + 1).quiet
    assert "We have heard nothing from <bdi>Bay</bdi> since" in late
    never = shown_seen.heard(english, Organisation(number="1", name="Bay"), AT)
    assert not never.quiet
    assert never.line == "We have had no word from their system yet."

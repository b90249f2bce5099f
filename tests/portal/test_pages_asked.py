"""``/list/new/{n}``: a question, step by step, and her answer."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from safehand.consent.v1.asks_pb2 import Decision, QuestionState
from safehand_formats.bodies import decode_body
from safehand_formats.kinds import Kind

from tests.consent.portal.world import ASK, DAY, B, C, Her
from tests.portal import pages_world
from tests.portal.browser import Browser, Form
from tests.portal.pages_world import PHONE, PagesWorld

OPEN, REFUSED = QuestionState.QUESTION_STATE_OPEN, QuestionState.QUESTION_STATE_REFUSED
RIGHT = {"q_who": "one", "q_no": "same", "q_stop": "yes"}
WRONG = {**RIGHT, "q_no": "less"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesWorld]:
    """One for all: each test has a person of its own."""
    with pages_world.serving(tmp_path_factory.mktemp("pages")) as made:
        yield made


@pytest.fixture
def she(world: PagesWorld) -> Her:
    return world.her()


def asked(world: PagesWorld, she: Her, **changed: object) -> Browser:
    """Her window at the first step of one question."""
    world.ask(she, **changed)
    browser = world.browser(she)
    browser.open("/list")
    browser.follow("Read and answer")
    return browser


def choosing(world: PagesWorld, she: Her, **changed: object) -> Browser:
    """Her window where the switches are."""
    browser = asked(world, she, **changed)
    browser.press("I am alone")
    browser.press("Go on")
    return browser


def turned_on(
    form: Form, *kinds: str, button: str = "Go on", **typed: str
) -> list[tuple[str, str]]:
    """What is sent when she turns ``kinds`` on."""
    sent = [(name, value) for name, value in form.fields(form.button(button)) if name not in typed]
    offered = {control.value for control in form.named("kind")}
    assert set(kinds) <= offered
    return [*sent, *(("kind", kind) for kind in kinds), *typed.items()]


def at_the_answer(world: PagesWorld, she: Her, *kinds: str, **typed: str) -> Browser:
    browser = choosing(world, she)
    form = browser.page.form("Go on")
    browser.post(form.action, turned_on(form, *kinds, **typed))
    browser.press("Leave it out")
    return browser


def body_of(world: PagesWorld, kind: Kind) -> dict[str, object]:
    """The newest ledger entry of this kind, opened past the service."""
    sql = 'SELECT body FROM ledger_opening WHERE kind = ? ORDER BY "index" DESC LIMIT 1'
    return dict(decode_body(kind, world.store.rows(sql, kind.value)[0][0]))


def test_the_first_step_says_nothing_of_the_question(world: PagesWorld, she: Her) -> None:
    browser = asked(world, she)

    assert browser.page.heading == "Is this a good moment?"
    for word in (B, "agency", "your name", "how to reach you", "stay"):
        assert word not in browser.page.text
    assert browser.page.forms


def test_with_somebody_there_nothing_is_ever_shown(world: PagesWorld, she: Her) -> None:
    browser = asked(world, she)

    page = browser.press("Someone else is here")

    assert page.heading == "You can come back later"
    assert B not in page.html
    assert world.sharing(she).asked[0].state == OPEN


def test_nor_what_became_of_it_meanwhile(world: PagesWorld, she: Her) -> None:
    browser = asked(world, she)
    world.answer(she, world.sharing(she).asked[0].number, Decision.DECISION_YES)

    page = browser.press("Someone else is here")

    assert page.heading == "You can come back later"
    assert "yes" not in page.text.lower()
    assert B not in page.html


def test_who_what_why_and_how_long_come_first(world: PagesWorld, she: Her) -> None:
    browser = asked(world, she)

    page = browser.press("I am alone")

    assert f"The {B}" in page.text
    for words in (
        "your name",
        "how to reach you",
        "Why: a safe place to stay.",
        "60 days at most",
        "Nothing is shared unless you say yes.",
        "They may not pass it on.",
        "Do we need to share at all?",
        "Your worker goes there with you.",
    ):
        assert words in page.text


def test_every_switch_is_off_and_the_browser_is_told_to_forget(world: PagesWorld, she: Her) -> None:
    page = choosing(world, she).page

    switches = [c for c in page.form("Go on").controls if c.kind in ("checkbox", "radio")]
    assert switches
    assert not any(control.on for control in switches)
    for tag in re.findall(r"<input[^>]+type=\"(?:checkbox|radio)\"[^>]*>", page.html):
        assert 'autocomplete="off"' in tag
    assert page.headers["cache-control"] == "no-store"


def test_yes_gives_what_she_turned_on_and_no_more(world: PagesWorld, she: Her) -> None:
    browser = at_the_answer(world, she, "NAME", end="30")

    page = browser.press("Yes")

    assert page.heading == "You said yes"
    given = world.only(she)
    assert sorted(given.categories) == ["CARD", "NAME"]
    assert given.expires_at.seconds == world.clock.wall() + 30 * DAY


def test_without_an_end_it_is_what_was_asked_for_at_most_ninety(
    world: PagesWorld, she: Her
) -> None:
    at_the_answer(world, she, "NAME").press("Yes")

    assert world.only(she).expires_at.seconds == world.clock.wall() + 60 * DAY


def test_no_choice_at_all_is_the_basic_facts_and_says_so(world: PagesWorld, she: Her) -> None:
    browser = at_the_answer(world, she)
    assert "Then they get only the basic facts" in browser.page.text

    browser.press("Yes")

    assert list(world.only(she).categories) == ["CARD"]


def test_an_end_beyond_180_days_is_refused(world: PagesWorld, she: Her) -> None:
    browser = choosing(world, she)
    form = browser.page.form("Go on")

    page = browser.post(form.action, turned_on(form, "NAME", end="other", days="181"))

    assert page.heading == "What may they see?"
    assert "Please choose a number from 1 to 60." in page.text
    assert [c.on for c in page.form("Go on").named("kind") if c.value == "NAME"] == [True]


def test_a_crafted_group_is_refused(world: PagesWorld, she: Her) -> None:
    browser = choosing(world, she, categories=["NAME", "CONTACT", "HEALTH", "LOCATION", "PAPERS"])
    form = browser.page.form("Go on")
    assert form.named("group")
    fields = form.fields(form.button("Go on"))

    page = browser.post(form.action, [*fields, ("group", "LOCATION")])
    assert "This cannot be turned on as a group." in page.text
    form = page.form("Go on")
    browser.post(form.action, [*form.fields(form.button("Go on")), ("group", "plain")])
    browser.press("Leave it out")

    assert "where you stay" not in browser.page.text
    browser.press("Yes")
    assert sorted(world.only(she).categories) == ["CARD", "CONTACT", "HEALTH", "NAME"]


def test_the_check_never_gates(world: PagesWorld, she: Her) -> None:
    browser = choosing(world, she)
    form = browser.page.form("Go on")
    browser.post(form.action, turned_on(form, "NAME"))

    page = browser.press("Go on", **WRONG)
    assert page.heading == "We will say it another way"
    assert "Nobody takes help away from you." in page.text
    page = browser.press("Go on")
    assert page.heading == "What is your answer?"
    browser.press("Yes")

    assert body_of(world, Kind.GRANT)["check"] == "explained_again"


def test_understood_is_written_down(world: PagesWorld, she: Her) -> None:
    browser = choosing(world, she)
    form = browser.page.form("Go on")
    browser.post(form.action, turned_on(form, "NAME"))

    browser.press("Go on", **RIGHT)
    browser.press("Yes")

    assert body_of(world, Kind.GRANT)["check"] == "understood"


def test_talk_to_a_person_shows_the_phone_and_gates_nothing(world: PagesWorld, she: Her) -> None:
    browser = choosing(world, she)
    form = browser.page.form("Go on")
    browser.post(form.action, turned_on(form, "NAME"))
    browser.press("Go on", **WRONG)

    page = browser.press("Talk to a person")

    assert page.heading == "What is your answer?"
    assert page.text.count(PHONE) == 2
    browser.press("Yes")
    assert body_of(world, Kind.GRANT)["check"] == "wants_person"


def test_the_hash_is_of_the_words_that_she_was_shown(world: PagesWorld, she: Her) -> None:
    browser = asked(world, she)
    page = browser.press("I am with my worker")
    shown = page.form("Go on").named("notice")[0].value

    browser.press("Go on")
    browser.press("Go on")
    browser.press("Leave it out")
    browser.press("Yes")

    body = body_of(world, Kind.GRANT)
    assert body["notice"] == shown
    assert body["language"] == "en"
    assert body["present"] == "with_worker"


def test_other_words_than_those_she_read_are_put_to_her_first(world: PagesWorld, she: Her) -> None:
    browser = at_the_answer(world, she, "NAME")
    form = browser.page.form("Yes")
    yes = form.button("Yes")
    fields = [(n, "0" * 64 if n == "notice" else v) for n, v in form.fields(yes)]

    page = browser.post(form.action, fields)

    assert "Do we need to share at all?" in page.text
    assert not world.sharing(she).sharings


def test_no_shares_nothing_and_says_so(world: PagesWorld, she: Her) -> None:
    before = world.browser(she).open("/seen").text
    browser = at_the_answer(world, she, "NAME")

    page = browser.press("No")

    assert page.heading == "You said no"
    assert "They cannot tell your no from no answer." in page.text
    assert "Nothing of this is shared." in page.text
    assert not world.sharing(she).sharings
    assert not world.sharing(she).asked
    assert world.browser(she).open("/seen").text == before


def test_no_can_be_said_at_once(world: PagesWorld, she: Her) -> None:
    browser = asked(world, she)
    browser.press("I am alone")

    page = browser.press("No")

    assert page.heading == "You said no"


def test_later_leaves_it_open(world: PagesWorld, she: Her) -> None:
    browser = at_the_answer(world, she, "NAME")

    page = browser.press("Later")

    assert page.heading == "You can answer later"
    assert "Nothing of this is shared." in page.text
    assert "You said later" in browser.open("/list").text
    assert world.sharing(she).asked[0].put_off


OTHERS = (
    *("/", "/in", "/find", "/info", "/lang", "/home", "/list", "/list/kind", "/list/all"),
    *("/list/stopped", "/steps", "/seen", "/in/pin"),
)
CHANGING = re.compile(r'(name="request_id" value=")[^"]*')


def every_other_page(world: PagesWorld, she: Her, *more: str) -> dict[str, str]:
    """Her pages, byte for byte but for the ids with which their forms are made."""
    browser = world.browser(she)
    return {path: CHANGING.sub(r"\1", browser.open(path).html) for path in (*OTHERS, *more)}


def with_a_life(world: PagesWorld, she: Her) -> str:
    """She has a sharing with a step and a look, one that she stopped, and another question; the
    address of the first one."""
    grant = world.give(she)
    world.look(world.send(grant))
    browser = world.browser(she)
    world.give(she, C)
    browser.open("/list")
    stops = [form for form in browser.page.forms if form.action.endswith("/stop")]
    last = stops[-1]
    browser.post(last.action, last.fields())
    return f"/list/{world.number(she, grant)}"


@pytest.mark.parametrize("way", ["at once", "in the end"])
def test_after_a_no_every_page_is_as_if_nobody_had_asked(
    world: PagesWorld, she: Her, way: str
) -> None:
    path = with_a_life(world, she)
    before = every_other_page(world, she, path)

    if way == "at once":
        browser = asked(world, she)
        browser.press("I am alone")
    else:
        browser = at_the_answer(world, she, "NAME")
    assert every_other_page(world, she, path) != before
    assert browser.press("No").heading == "You said no"

    assert every_other_page(world, she, path) == before


def test_after_a_later_every_page_is_the_same_but_for_the_question(
    world: PagesWorld, she: Her
) -> None:
    path = with_a_life(world, she)
    browser = at_the_answer(world, she, "NAME")
    before = every_other_page(world, she, path)

    assert browser.press("Later").heading == "You can answer later"

    after = every_other_page(world, she, path)
    for listed in ("/list", "/list/kind"):
        state = '<span class="chip ask">{}</span>'.format
        assert before[listed].count(state("They ask")) == 1
        before[listed] = before[listed].replace(state("They ask"), state("You said later"))
    assert after == before


def test_yes_no_and_later_are_the_same_button_and_later_is_set(world: PagesWorld, she: Her) -> None:
    html = at_the_answer(world, she, "NAME").page.html

    buttons = re.findall(r"<button[^>]*name=\"decision\"[^>]*>", html)
    classes = [re.findall(r'class="([^"]*)"', one) for one in buttons]
    assert len(buttons) == 3
    assert classes[0] == classes[1] == classes[2]
    assert [("autofocus" in one, 'value="later"' in one) for one in buttons] == [
        (False, False),
        (False, False),
        (True, True),
    ]


def test_a_second_answer_changes_nothing(world: PagesWorld, she: Her) -> None:
    browser = at_the_answer(world, she, "NAME")
    form = browser.page.form("Yes")
    yes = form.fields(form.button("Yes"))
    no = form.fields(form.button("No"))

    first = browser.post(form.action, yes)
    again = browser.post(form.action, yes)
    late = browser.post(form.action, [(n, v) for n, v in no if n != "request_id"])

    assert first.heading == "You said yes"
    assert again.heading == late.heading == "You said yes"
    assert len(world.sharing(she).sharings) == 1


def test_an_answer_without_a_private_moment_is_not_taken(world: PagesWorld, she: Her) -> None:
    browser = at_the_answer(world, she, "NAME")
    form = browser.page.form("Yes")
    fields = [(n, v) for n, v in form.fields(form.button("Yes")) if n != "present"]

    page = browser.post(form.action, fields)

    assert page.heading == "Is this a good moment?"
    assert not world.sharing(she).sharings


def test_another_persons_question_is_not_there(world: PagesWorld, she: Her) -> None:
    other = world.her()
    ask = world.ask(other)
    browser = world.browser(she)

    pages = [browser.open(f"/list/new/{n}") for n in (world.number(other, ask, ASK), "0000000000")]

    assert pages[0].html == pages[1].html
    assert "moment" not in pages[0].heading


def test_a_hidden_question_is_gone(world: PagesWorld, she: Her) -> None:
    browser = asked(world, she)

    page = browser.press("Do not show this on screen")

    assert page.path == "/list"
    assert "Read and answer" not in page.text


def test_who_asks_for_another_is_told_apart(world: PagesWorld, she: Her) -> None:
    browser = asked(world, she, recipient_agency=C)

    page = browser.press("I am alone")

    assert f"The agency-a asks if The {C} may see some of your information." in page.text


def test_unchecked_words_are_never_what_she_says_yes_to(world: PagesWorld, she: Her) -> None:
    strict = world.portal_process(
        ALLOW_UNREVIEWED="false", DATA_DIR=str(world.directory / "strict")
    )
    world.ask(she)
    browser = world.browser(she, "es")
    browser.port = strict.start()
    try:
        browser.open("/list")
        browser.follow("Read and answer")
        page = browser.press("I am alone")
        shown = page.form("Go on").named("notice")[0].value
        for button in ("Go on", "Go on", "Leave it out", "Yes"):
            page = browser.press(button)
    finally:
        strict.stop()

    body = body_of(world, Kind.GRANT)
    assert page.heading == "You said yes"
    assert PHONE in page.text
    assert (body["language"], body["notice"]) == ("en", shown)


def test_in_another_language_the_hash_is_of_those_words(world: PagesWorld, she: Her) -> None:
    world.ask(she)
    browser = world.browser(she, "es")
    path = browser.open("/list").link("Leer y responder")
    browser.open(path)
    form = next(form for form in browser.page.forms if form.named("present"))
    alone = next(control for control in form.controls if control.value == "alone")
    page = browser.press(alone.text)

    assert 'lang="es"' in page.html
    english = world.browser(she)
    english.open(path)
    other = english.press("I am alone")
    hashes = {
        shown.named("notice")[0].value
        for one in (page, other)
        for shown in one.forms
        if shown.named("notice")
    }
    assert len(hashes) == 2

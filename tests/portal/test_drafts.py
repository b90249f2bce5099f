"""What she chose in a question and did not answer: offered beside switches that are all off."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from safehand_consent_service.draft_box import KEY

from tests.consent.portal.world import ASK, DAY, MINUTE, B, Her
from tests.portal import pages_world
from tests.portal.browser import Browser, Form, Seen
from tests.portal.pages_world import PagesWorld
from tests.portal.test_core_failing import fail_at
from tests.portal.test_pages_asked import turned_on

BEFORE = "You chose something here before"
USE, FORGET = "Use what I chose before", "Forget it"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesWorld]:
    """One for all: each test has a person of its own."""
    with pages_world.serving(tmp_path_factory.mktemp("pages")) as made:
        yield made


@pytest.fixture
def she(world: PagesWorld) -> Her:
    """Somebody who is asked for NAME, CONTACT and HEALTH, for 60 days."""
    made = world.her()
    world.ask(made, categories=["NAME", "CONTACT", "HEALTH"])
    return made


def choosing(world: PagesWorld, her: Her, language: str = "") -> Browser:
    """Her window where the switches are, from the question's first page."""
    browser = world.browser(her, language)
    browser.open("/list")
    (path,) = {href for _, href in browser.page.links if href.startswith("/list/new/")}
    browser.open(path)
    for name, value in (("present", "alone"), ("go", "on")):
        form = next(form for form in browser.page.forms if form.action == path)
        browser.post(path, [*form.fields(), (name, value)])
    return browser


def switches(page: Seen) -> Form:
    (form,) = (form for form in page.forms if form.named("kind") or form.named("end"))
    return form


def go_on(browser: Browser, *kinds: str, **typed: str) -> Seen:
    form = browser.page.form("Go on")
    return browser.post(form.action, turned_on(form, *kinds, **typed))


def on(page: Seen) -> list[str]:
    """What is turned on."""
    boxes = [c for c in page.form("Go on").controls if c.kind in ("checkbox", "radio")]
    assert boxes
    return [control.value for control in boxes if control.on]


def offered(page: Seen) -> bool:
    buttons = [c.text for form in page.forms for c in form.controls if c.kind == "submit"]
    assert (BEFORE in page.text) == (USE in buttons) == (FORGET in buttons)
    return BEFORE in page.text


def gone(world: PagesWorld, she: Her) -> Her:
    """Ten minutes later, signed in again."""
    world.later(11 * MINUTE)
    return world.again(she)


def test_what_she_chose_is_offered_and_every_switch_is_off(world: PagesWorld, she: Her) -> None:
    browser = choosing(world, she)
    assert not offered(browser.page)
    go_on(browser, "NAME", "HEALTH", end="30")

    page = choosing(world, gone(world, she)).page

    assert offered(page)
    assert on(page) == []
    text = page.text[page.text.index(BEFORE) : page.text.index(USE)]
    for words in (
        "your name",
        "your health",
        "30 days",
        "It is not an answer.",
        "Nothing is shared",
    ):
        assert words in text
    assert "how to reach you" not in text
    assert re.search(r"You chose this on \w+day, \w+ \d+, \d{4}\.", text)


def test_one_press_turns_on_what_she_had(world: PagesWorld, she: Her) -> None:
    go_on(choosing(world, she), "NAME", "HEALTH", end="30")
    browser = choosing(world, gone(world, she))

    page = browser.press(USE)

    assert on(page) == ["NAME", "HEALTH", "30"]
    assert not offered(page)
    go_on(browser)
    browser.press("Leave it out")
    browser.press("Yes")
    given = world.only(world.again(she))
    assert sorted(given.categories) == ["CARD", "HEALTH", "NAME"]
    assert given.expires_at.seconds == world.clock.wall() + 30 * DAY


@pytest.mark.parametrize(
    ("typed", "marked", "days"),
    [
        ({"end": "full"}, "full", ""),
        ({"end": "other", "days": "17"}, "other", "17"),
        ({"end": "", "days": "17"}, "other", "17"),
        ({"end": "other", "days": "30"}, "30", ""),
    ],
)
def test_the_end_comes_back_as_what_it_means(
    world: PagesWorld, she: Her, typed: dict[str, str], marked: str, days: str
) -> None:
    go_on(choosing(world, she), **typed)
    browser = choosing(world, gone(world, she))

    form = browser.press(USE).form("Go on")

    assert [control.value for control in form.named("end") if control.on] == [marked]
    assert [control.value for control in form.named("days")] == [days]


def test_forgotten_is_forgotten(world: PagesWorld, she: Her) -> None:
    go_on(choosing(world, she), "NAME")
    browser = choosing(world, world.again(she))

    page = browser.press(FORGET)

    assert page.heading == "What may they see?"
    assert not offered(page)
    assert on(page) == []
    assert not offered(choosing(world, world.again(she)).page)


def test_a_new_choice_takes_its_place_and_nothing_is_one_too(world: PagesWorld, she: Her) -> None:
    go_on(choosing(world, she), "NAME")
    go_on(choosing(world, world.again(she)), "CONTACT")
    browser = choosing(world, world.again(she))
    text = browser.page.text[browser.page.text.index(BEFORE) : browser.page.text.index(USE)]
    assert "how to reach you" in text
    assert "your name" not in text

    go_on(browser)

    assert not offered(choosing(world, world.again(she)).page)


def test_looking_and_going_back_forgets_nothing(world: PagesWorld, she: Her) -> None:
    go_on(choosing(world, she), "NAME")
    browser = choosing(world, world.again(she))

    form = browser.page.form("Go on")
    browser.post(form.action, form.fields(form.button("Back")))

    assert "Do we need to share at all?" in browser.page.text
    assert offered(browser.press("Go on"))


def test_within_one_walk_her_own_choice_is_carried_and_nothing_is_offered(
    world: PagesWorld, she: Her
) -> None:
    browser = choosing(world, she)
    go_on(browser, "NAME")

    page = browser.press("Back")

    assert on(page) == ["NAME"]
    assert not offered(page)


def test_it_is_nowhere_before_the_moment_is_private(world: PagesWorld, she: Her) -> None:
    go_on(choosing(world, she), "NAME")
    browser = world.browser(world.again(she))
    pages = [browser.open("/home"), browser.open("/list"), browser.follow("Read and answer")]
    first = browser.page.path

    pages.append(browser.press("Someone else is here"))
    browser.open(first)
    pages.append(browser.press("I am alone"))

    assert "Do we need to share at all?" in pages[-1].text
    for page in pages:
        assert BEFORE not in page.text
        assert USE not in page.html
    for page in pages[:-1]:
        assert B not in page.text or page.path in ("/home", "/list")


def test_pressed_without_a_private_moment_it_shows_nothing(world: PagesWorld, she: Her) -> None:
    go_on(choosing(world, she), "NAME")
    browser = choosing(world, world.again(she))
    form = browser.page.form(USE)
    sent = [(n, v) for n, v in form.fields(form.button(USE)) if n != "present"]

    page = browser.post(form.action, sent)

    assert page.heading == "Is this a good moment?"
    assert BEFORE not in page.text


def test_to_other_words_it_is_no_choice(world: PagesWorld, she: Her) -> None:
    go_on(choosing(world, she), "NAME")
    again = world.again(she)

    page = choosing(world, again, "es").page
    assert "Antes ya eligi" not in page.text
    assert on_any(page) == []

    browser = choosing(world, again)
    form = browser.page.form(USE)
    spanish = world.browser(again, "es")
    said = re.findall(r'name="notice" value="(\w+)"', page.html)[0]
    sent = [(n, said if n == "notice" else v) for n, v in form.fields(form.button(USE))]
    assert on_any(spanish.post(form.action, sent)) == [], "nor by a press that was made up"


def on_any(page: Seen) -> list[str]:
    return [c.value for c in switches(page).controls if c.kind in ("checkbox", "radio") and c.on]


def test_a_day_later_nothing_is_offered(world: PagesWorld, she: Her) -> None:
    go_on(choosing(world, she), "NAME")
    world.later(DAY - 1)
    browser = choosing(world, world.again(she))
    assert offered(browser.page)
    world.later(1)

    page = browser.press(USE)

    assert (page.heading, on(page)) == ("What may they see?", [])
    assert not offered(page)


def test_what_she_may_not_choose_is_not_kept(world: PagesWorld, she: Her) -> None:
    for typed in ({"end": "other", "days": "61"}, {"kind": "PAPERS"}, {"group": "HEALTH"}):
        page = go_on(choosing(world, world.again(she)), **typed)
        assert page.heading == "What may they see?"
    assert not offered(choosing(world, world.again(she)).page)


def test_of_a_hidden_question_nothing_is_offered(world: PagesWorld, she: Her) -> None:
    go_on(choosing(world, she), "NAME")
    (asked,) = world.sharing(she).asked
    world.hide(she, asked.number)
    browser = world.browser(she)

    page = browser.open(f"/list/new/{asked.number}")

    assert BEFORE not in page.text
    assert "moment" not in page.heading


def test_an_answer_ends_it(world: PagesWorld, she: Her) -> None:
    browser = choosing(world, she)
    go_on(browser, "NAME")
    (asked,) = world.sharing(she).asked
    browser.press("Leave it out")

    assert browser.press("No").heading == "You said no"

    page = browser.post(
        f"/list/new/{asked.number}",
        [("c", token(browser)), ("step", "choose"), ("go", "use"), ("present", "alone")],
    )
    assert page.heading == "You said no"
    assert BEFORE not in page.text


def token(browser: Browser) -> str:
    found = re.search(r'name="c" value="([^"]+)"', browser.open("/list").html)
    assert found
    return found[1]


def test_a_full_disk_does_not_keep_her_from_going_on(
    world: PagesWorld, she: Her, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = choosing(world, she)

    tried = fail_at(monkeypatch, "before_commit")
    page = go_on(browser, "NAME")
    monkeypatch.undo()

    assert tried, "the disk was asked"
    answered(browser, page)


def test_a_broken_key_does_not_keep_her_from_going_on(world: PagesWorld, she: Her) -> None:
    browser = choosing(world, she)
    tomorrow = (world.clock.wall() + DAY) // DAY
    path = world.settings.keys_dir / f"{KEY}{tomorrow}.secret"
    whole = path.read_bytes() if path.exists() else None
    path.write_bytes(b"short")
    path.chmod(0o600)

    page = go_on(browser, "NAME")

    if whole is None:
        path.unlink()
    else:
        path.write_bytes(whole)
    answered(browser, page)


def answered(browser: Browser, page: Seen) -> None:
    """She is where she would be, and her yes is one."""
    assert 'name="q_who"' in page.html
    browser.press("Leave it out")
    assert browser.press("Yes").heading == "You said yes"


def test_the_number_of_another_session_offers_nothing(world: PagesWorld, she: Her) -> None:
    go_on(choosing(world, she), "NAME")
    other = world.her()
    ask = world.ask(other)
    browser = world.browser(she)

    page = browser.open(f"/list/new/{world.number(other, ask, ASK)}")

    assert BEFORE not in page.text
    assert "moment" not in page.heading

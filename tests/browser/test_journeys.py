"""What she does there: sign in, read, stop, answer, find, stay and go. With script and without.

S-00.8, S-00.12, S-02.2, S-02.3, S-03.1, S-04.1 to S-04.3 and S-13.
"""

from __future__ import annotations

import re
from typing import Final

import pytest
from playwright.sync_api import ViewportSize
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.browser.checks import LARGE, SMALL
from tests.browser.conftest import Walker
from tests.browser.tour import HIDDEN, STOP_ALL, STOP_ONE
from tests.browser.walk import LEAVE, Walk
from tests.harness.portal import Portal, Shares, asked_for
from tests.harness.world import WORKER

EASTERN: Final = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
ARABIC: Final = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
MINUTE_MS: Final = 60_000
SCRIPT: Final = pytest.mark.parametrize(
    "javascript",
    [
        pytest.param(True, id="script"),
        # The whole way without script is a journey of its own, and quick.
        pytest.param(False, id="no script", marks=pytest.mark.slow),
    ],
)
STREET: Final = re.compile(r"latitude|longitude|geo:|maps?\.|coordinates|Test Quay", re.IGNORECASE)


def opens(shares: Shares, portal: Portal) -> Reason | None:
    """Why agency B may not open how to reach her; None where it may."""
    try:
        portal.world.agency_b.open(shares.fetched, "CONTACT", worker_ref=WORKER)
    except SafehandError as error:
        return error.reason
    return None


# --- signing in ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "pin"),
    [
        (lambda card: card.translate(EASTERN), lambda pin: pin.translate(EASTERN)),
        (lambda card: card.translate(ARABIC), lambda pin: pin.translate(ARABIC)),
        (lambda card: f"{card[:4]} {card[4:8]}-{card[8:]}", lambda pin: f" {pin[:3]} {pin[3:]} "),
    ],
    ids=["eastern", "arabic", "pasted"],
)
def test_any_digits_sign_in(walker: Walker, portal: Portal, card: object, pin: object) -> None:
    assert callable(card)
    assert callable(pin)
    person = portal.person().person
    walk = walker()
    walk.go("/in")
    # As a paste does: at once, and nothing is held back.
    walk.page.locator("input[name=card]").focus()
    walk.page.keyboard.insert_text(card(person.card))
    walk.page.locator("input[name=pin]").focus()
    walk.page.keyboard.insert_text(pin(person.pin))
    walk.click("main form button[type=submit]:not(.quiet)")
    assert walk.path == "/home"


def test_a_typing_mistake_is_told_from_the_digits_alone(walker: Walker, portal: Portal) -> None:
    person = portal.person().person
    walk = walker()
    walk.go("/in")
    plain = walk.text
    last = str((int(person.card[-1]) + 1) % 10)
    walk.fill_in(person.card[:-1] + last, person.pin)
    mistyped = walk.text
    walk.fill_in(person.card, str((int(person.pin) + 1) % 10**6).rjust(6, "0"))
    wrong = walk.text
    check, failed = "Check the card number.", "That did not work."
    assert (check in plain, failed in plain) == (False, False)
    assert (check in mistyped, failed in mistyped) == (True, True)
    assert (check in wrong, failed in wrong) == (False, True)
    assert walk.context.cookies() == []
    assert walk.page.evaluate("document.activeElement.closest('main') !== null")


def test_who_has_a_new_card_chooses_a_pin_first(walker: Walker, portal: Portal) -> None:
    person = portal.world.person()
    walk = walker()
    walk.sign_in(person)
    assert walk.path == "/in/pin"
    walk.go("/list")
    assert walk.path == "/in/pin"
    walk.page.fill("input[name=pin]", person.pin)
    own = str((int(person.pin) + 7) % 10**6).rjust(6, "0")
    walk.page.fill("input[name=new]", own)
    before = walk.context.cookies()[0]["value"]
    walk.click("main form button[type=submit]:not(.quiet)")
    assert walk.path == "/in/new"
    assert walk.context.cookies()[0]["value"] != before
    walk.go("/home")
    assert walk.path == "/home"


# --- stopping ------------------------------------------------------------------------------------


@SCRIPT
def test_from_home_to_stopped_is_two_presses(
    walker: Walker, portal: Portal, javascript: bool
) -> None:
    shares = portal.sharing()
    assert opens(shares, portal) is None
    walk = walker(shares, javascript=javascript)
    walk.go("/home")
    presses = 0
    for selector in ('main a[href="/list"]', STOP_ONE):
        form = walk.page.locator(selector).first
        presses += 1
        if presses == 2:
            number = str(form.locator("xpath=ancestor::form").get_attribute("action")).split("/")[2]
        walk.click(f"{selector} >> nth=0")
    # The next open is refused; how long that takes is measured, by the row of her pages.
    assert opens(shares, portal) is Reason.CONSENT_ENDED
    assert presses == 2
    assert walk.path == f"/list/{number}/stopped"
    assert "has stopped" in walk.page.inner_text("h1")
    for asked in ("textarea", "select"):
        assert walk.page.locator(f"main {asked}").count() == 0
    # It can be asked for again, and from somewhere else.
    assert walk.go(f"/list/{number}/stopped").status == 200


def test_everything_stops_with_one_press(walker: Walker, portal: Portal) -> None:
    shares = portal.sharing()
    walk = walker(shares)
    walk.go("/home")
    walk.click(STOP_ALL)
    assert walk.path == "/list/stopped"
    assert opens(shares, portal) is Reason.CONSENT_ENDED
    walk.go("/list")
    assert walk.page.locator(STOP_ONE).count() == 0


def test_a_double_press_is_one_entry(walker: Walker, portal: Portal) -> None:
    shares = portal.sharing()
    walk = walker(shares, javascript=False)
    walk.go("/list")
    form = walk.page.locator(STOP_ONE).first.locator("xpath=ancestor::form")
    fields = {
        str(field.get_attribute("name")): str(field.get_attribute("value"))
        for field in form.locator("input[type=hidden]").all()
    }
    path = str(form.get_attribute("action"))
    before = portal.world.fsck().size
    first = asked_for(portal, path, shares, form=fields)
    second = asked_for(portal, path, shares, form=fields)
    assert (first.status, second.status) == (303, 303)
    assert first.headers["location"] == second.headers["location"]
    assert portal.world.fsck().size == before + 1


def test_an_impatient_double_click_is_one_entry_too(walker: Walker, portal: Portal) -> None:
    shares = portal.sharing()
    walk = walker(shares)
    walk.go("/list")
    before = portal.world.fsck().size
    walk.page.locator(STOP_ONE).first.dblclick(no_wait_after=True)
    walk.page.wait_for_url("**/stopped")
    assert portal.world.fsck().size == before + 1


@SCRIPT
def test_a_stop_is_taken_back_with_the_pin(
    walker: Walker, portal: Portal, javascript: bool
) -> None:
    shares = portal.sharing()
    walk = walker(shares, javascript=javascript)
    walk.go("/list")
    walk.click(f"{STOP_ONE} >> nth=0")
    walk.page.fill("input[name=pin]", shares.person.pin)
    walk.click('form[action$="/undo"] button[type=submit]:not(.quiet)')
    assert walk.path.endswith("/on")


# --- answering -----------------------------------------------------------------------------------


@SCRIPT
def test_somebody_asks_and_she_answers(walker: Walker, portal: Portal, javascript: bool) -> None:
    shares = portal.sharing()
    walk = walker(shares, javascript=javascript)
    walk.go("/list")
    walk.click('a[href^="/list/new/"]')
    assert "Lantern Law" not in walk.page.inner_text("main"), "first: is the moment private?"
    walk.click("button[value=alone]")
    assert "Lantern Law" in walk.page.inner_text("main")
    walk.click("button[name=go][value=on]")
    assert walk.page.locator("input[type=checkbox]:checked").count() == 0, "all switches are off"
    walk.page.check("input[name=kind][value=HEALTH]")
    walk.click("button[name=go][value=on]")
    walk.click("button[name=go][value=skip]")
    walk.click("button[name=decision][value=yes]")
    assert walk.path.endswith("/given")


@pytest.mark.slow  # a journey for each language and size
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("language", ["en", "es", "ar"])
def test_every_answer_is_as_large_and_as_bright(
    walker: Walker, portal: Portal, language: str, size: ViewportSize
) -> None:
    """S-05.2: yes, no and later, as the browser has drawn them."""
    shares = portal.sharing()
    portal.speak(shares, language)
    walk = walker(shares, viewport=size)
    walk.go("/list")
    walk.click('a[href^="/list/new/"]')
    walk.click("button[value=alone]")
    drawn = {"no": looks(walk, "no"), "later": looks(walk, "later")}
    assert len(set(drawn.values())) == 1, drawn
    for value in ("on", "on", "skip"):
        walk.click(f"button[name=go][value={value}]")
    assert walk.page.get_attribute("html", "lang") == language
    drawn = {value: looks(walk, value) for value in ("yes", "no", "later")}
    assert len(set(drawn.values())) == 1, drawn


def looks(walk: Walk, answer: str) -> tuple[object, ...]:
    """Size and colours of an answer's button, which nothing points at and which has no focus."""
    walk.page.evaluate("document.activeElement.blur()")
    walk.page.mouse.move(0, 0)
    button = walk.page.locator(f"button[name=decision][value={answer}]")
    box = button.bounding_box()
    assert box is not None
    style = button.evaluate(
        "(e, names) => names.map(name => getComputedStyle(e)[name])", list(DRAWN)
    )
    return (round(box["width"]), round(box["height"]), *style)


DRAWN: Final = (
    "backgroundColor",
    "backgroundImage",
    "borderTopColor",
    "borderTopWidth",
    "boxShadow",
    "color",
    "fontSize",
    "fontWeight",
    "opacity",
)
"""What makes one button look as another does."""


@SCRIPT
def test_who_is_not_alone_sees_nothing_of_it(
    walker: Walker, portal: Portal, javascript: bool
) -> None:
    walk = walker(portal.sharing(), javascript=javascript)
    walk.go("/list")
    walk.click('a[href^="/list/new/"]')
    walk.click("button[value=someone]")
    for name in ("Lantern", "Harbour", "health"):
        assert name not in walk.page.inner_text("main")


# --- without script ------------------------------------------------------------------------------


def test_without_script_everything_works(walker: Walker, portal: Portal) -> None:
    shares = portal.sharing()
    walk = walker(javascript=False)
    walk.sign_in(shares.person)
    for path in ("/list", "/home", "/steps", "/home", "/seen"):
        walk.click(f'main a[href="{path}"]')
        assert walk.path == path
    walk.go("/list")
    walk.click(f"{STOP_ONE} >> nth=0")
    assert opens(shares, portal) is Reason.CONSENT_ENDED
    walk.click(LEAVE)
    assert walk.page.url == portal.outside.after
    assert walk.context.cookies() == []


# --- the session ---------------------------------------------------------------------------------


def test_after_eight_minutes_she_is_asked_and_can_stay(walker: Walker, portal: Portal) -> None:
    walk = walker(portal.person())
    walk.page.clock.install()
    walk.go("/home")
    walk.page.clock.fast_forward(7 * MINUTE_MS)
    assert not walk.page.is_visible("#idle")
    walk.page.clock.fast_forward(MINUTE_MS + 2000)
    walk.page.wait_for_selector("#idle:visible")
    assert walk.page.evaluate("document.activeElement.closest('#idle') !== null")
    assert walk.page.get_attribute("#idle", "role") == "alertdialog"
    with walk.page.expect_response("**/in/seat") as answer:
        walk.page.keyboard.press("Enter")
    assert answer.value.status == 204
    assert not walk.page.is_visible("#idle")
    assert walk.path == "/home"


def test_after_ten_minutes_the_page_is_gone(walker: Walker, portal: Portal) -> None:
    seated = portal.person()
    walk = walker(seated)
    walk.page.clock.install()
    walk.go("/home")
    walk.page.clock.fast_forward(8 * MINUTE_MS + 2000)
    walk.page.wait_for_selector("#idle:visible")
    walk.page.clock.fast_forward(2 * MINUTE_MS)
    walk.page.wait_for_url("**/in")
    walk.page.wait_for_selector("input[name=card]")
    assert 'id="seat"' not in asked_for(portal, "/home", seated).text, "over on the server too"


def test_who_looks_away_for_less_than_a_minute_goes_on(walker: Walker, portal: Portal) -> None:
    walk = looked_away(walker, portal)
    walk.page.clock.fast_forward(MINUTE_MS - 5000)
    walk.page.evaluate(HIDDEN, False)
    assert not readable(walk), "she uncovers it, and not the way back to it"
    walk.page.click("#cover button")
    assert HERS in readable(walk)
    assert walk.page.is_hidden("#cover")
    assert walk.go("/list").status == 200
    assert HERS in readable(walk), "the session is as it was"


def test_who_looks_away_for_a_minute_is_asked_for_the_pin(walker: Walker, portal: Portal) -> None:
    walk = looked_away(walker, portal)
    with walk.page.expect_response("**/in/seat"):
        walk.page.clock.fast_forward(MINUTE_MS + 2000)
    walk.page.wait_for_url("**/in/again")
    assert HERS not in readable(walk)
    # At consent too: no page of hers is shown to whoever has her cookie.
    for path in ("/list", "/home"):
        text = asked_for(portal, path, walk.seated).text
        assert HERS not in text
        assert 'name="pin"' in text
    assert walk.seated is not None
    walk.page.fill("main input[name=pin]", walk.seated.person.pin)
    walk.click("main form button[type=submit]:not(.quiet)")
    assert walk.path == "/home"
    walk.go("/list")
    assert HERS in readable(walk)


HERS: Final = "Lantern Law Centre"
"""A name that her list shows."""


def looked_away(walker: Walker, portal: Portal) -> Walk:
    """A walk at her list, which another app has just been put before."""
    walk = walker(portal.sharing())
    walk.page.clock.install()
    walk.go("/list")
    assert HERS in readable(walk)
    walk.page.evaluate(HIDDEN, True)
    assert readable(walk) == "", "nothing of the page is in an overview of open apps"
    assert walk.page.is_visible("#cover")
    return walk


def readable(walk: Walk) -> str:
    """What can be read on the screen but for the cover's own button and the way out."""
    return "".join(
        part.inner_text()
        for part in walk.page.locator("main, header, aside").all()
        if part.is_visible()
    ).strip()


def test_an_address_of_another_session_is_the_neutral_page(portal: Portal) -> None:
    one, other = portal.sharing(), portal.sharing()
    found = re.search(r'href="(/list/\d{10})"', asked_for(portal, "/list", one).text)
    assert found is not None
    neutral = asked_for(portal, "/nothing-here").body
    for somebody in (other, None):
        answer = asked_for(portal, found[1], somebody)
        assert answer.status == 200
        assert answer.body == neutral


# --- finding -------------------------------------------------------------------------------------


def test_services_are_found_alike_signed_in_or_not(walker: Walker, portal: Portal) -> None:
    found = []
    for seated in (None, portal.person()):
        walk = walker(seated)
        walk.go("/find")
        walk.page.fill("input[name=area]", "Test")
        walk.click('form[action^="/find"] button[type=submit]')
        assert walk.path.partition("?")[0] == "/find"
        assert "area" not in walk.page.url
        found.append([card.inner_text() for card in walk.page.locator("main section.card").all()])
        assert all("area=" not in url for url in walk.asked)
    assert found[0]
    assert found[0] == found[1]


def test_a_confidential_place_has_a_phone_and_no_street(portal: Portal) -> None:
    text = asked_for(portal, "/find", form={"words": "refuge"}).text
    assert "Refuge place (TEST)" in text
    card = text[text.index("Refuge place (TEST)") :]
    card = card[: card.index("</section>")]
    assert "tel:" in card
    assert not STREET.search(card)


def test_a_wrong_stop_refuses(portal: Portal) -> None:
    """The press of one person never stops anything of another."""
    mine, other = portal.sharing(), portal.sharing()
    page = asked_for(portal, "/list", mine).text
    form = re.search(r'action="(/list/\d{10}/stop)".*?name="c" value="([^"]+)".*?'
                     r'name="request_id" value="([^"]+)"', page, re.DOTALL)  # fmt: skip
    assert form is not None
    asked_for(portal, form[1], other, form={"c": form[2], "request_id": form[3]})
    assert opens(mine, portal) is None
    assert opens(other, portal) is None

"""Signing in, the PIN alone, a new PIN, home, leaving: against a real consent service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from safehand.consent.v1 import consent_pb2
from safehand_core import ids
from safehand_portal_service.pages.leaving import CLEAR
from safehand_portal_service.seat import token

from tests.consent.portal.world import ENTROPY, FIRST_PIN, PIN, A, Her, new_request_id
from tests.consent.release.world import Card
from tests.logged import captured
from tests.portal.core_world import EXIT, PHONE, Answer, Client, CoreWorld, core_world

WRONG = "000000"
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
PERSIAN = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoreWorld]:
    with core_world(tmp_path_factory.mktemp("seat")) as found:
        yield found


@pytest.fixture
def client(world: CoreWorld) -> Client:
    return Client(world.web_port)


@pytest.fixture
def she(world: CoreWorld) -> Her:
    return world.her()


def sign_in(client: Client, card: str, pin: str, session: bytes = b"", **more: str) -> Answer:
    """With the page behind it, where no answer to the PIN could be given."""
    answer = client.post("/in", {"card": card, "pin": pin, "shared": "yes"}, session, **more)
    later = answer.header("location")
    return client.get(later) if later.startswith("/in/late/") else answer


def new_with_a_seen_pin(world: CoreWorld) -> Card:
    """Somebody whose PIN a worker has seen."""
    card = world.new_card()
    world.agency(A).RegisterSubject(
        consent_pb2.RegisterSubjectRequest(
            request_id=new_request_id(),
            subject_ref=ids.new_id(ENTROPY),
            card_number=card.number,
            pin=FIRST_PIN,
        )
    )
    return Card(card.number, FIRST_PIN)


def signed_out(client: Client) -> bytes:
    return client.get("/in").body


# --- card and PIN ---------------------------------------------------------------------------------


def test_card_and_pin_open_her_pages(client: Client, world: CoreWorld, she: Her) -> None:
    answer = sign_in(client, she.card.number, PIN)

    assert (answer.status, answer.header("location"), answer.body) == (303, "/home", b"")
    assert answer.header("set-cookie").endswith("; Path=/; Secure; HttpOnly; SameSite=Lax")
    home = client.get("/home", answer.session)
    assert home.status == 200
    assert home.body != signed_out(client)
    assert she.card.number not in home.text


@pytest.mark.parametrize("digits", [ARABIC, PERSIAN])
def test_any_digits_and_any_spacing(client: Client, she: Her, digits: dict[int, int]) -> None:
    number = she.card.number
    for shown in (f"{number[:4]} {number[4:8]}-{number[8:]}", f"\t{number[:4]}\u00a0{number[4:]} "):
        answer = sign_in(
            client, shown.translate(digits), f" {PIN[:3]} {PIN[3:]} ".translate(digits)
        )
        assert answer.status == 303


def test_every_failure_has_the_same_bytes(client: Client, world: CoreWorld, she: Her) -> None:
    nobody = world.new_card().number
    wrong = [
        sign_in(client, she.card.number, WRONG),
        sign_in(client, nobody, WRONG),
        sign_in(client, nobody, PIN),
        sign_in(client, she.card.number, "12345"),
        sign_in(client, nobody, "letters"),
    ]
    assert {(a.status, a.body) for a in wrong} == {(200, wrong[0].body)}
    assert {tuple(a.headers) for a in wrong} == {tuple(wrong[0].headers)}
    assert b"That did not work" in wrong[0].body


def test_a_mistyped_number_is_told_from_its_digits_alone(client: Client, she: Her) -> None:
    number = she.card.number
    typo = number[:-1] + str((int(number[-1]) + 1) % 10)
    answers = [sign_in(client, shown, PIN) for shown in (typo, "1", "", number + "0", "abc")]
    assert {(a.status, a.body) for a in answers} == {(200, answers[0].body)}
    assert b"Check the card number" in answers[0].body
    assert b"Check the card number" not in sign_in(client, number, WRONG).body


def test_too_many_tries_are_told_in_words_and_touch_one_card_alone(
    client: Client, world: CoreWorld, she: Her
) -> None:
    for _ in range(5):
        assert sign_in(client, she.card.number, WRONG).header("retry-after") == ""
    waiting = sign_in(client, she.card.number, PIN)

    assert (waiting.status, waiting.session) == (200, b"")
    assert 0 < int(waiting.header("retry-after")) <= 180
    assert "minute" in waiting.text
    assert PHONE in waiting.text
    other = world.her()
    assert sign_in(client, other.card.number, PIN).status == 303


def test_who_guesses_in_another_network_does_not_take_her_turn(
    client: Client, world: CoreWorld, she: Her
) -> None:
    number, there, here = she.card.number, "198.51.100.7", "203.0.113.9"
    for _ in range(6):
        sign_in(client, number, WRONG, x_forwarded_for=there)
    assert sign_in(client, number, PIN, x_forwarded_for=here).header("retry-after")
    world.later(180)
    # Whoever sends it, only what the proxy itself has added counts.
    for forged in (there, f"{here}, {there}"):
        assert not sign_in(client, number, PIN, x_forwarded_for=forged).session
    assert sign_in(client, number, PIN, x_forwarded_for=f"{there}, {here}").status == 303


def test_who_guesses_beside_her_with_another_phone_does_not_take_her_turn(
    client: Client, world: CoreWorld, she: Her
) -> None:
    number = she.card.number
    his = {"user_agent": "Mozilla/5.0 (his)", "accept_language": "en"}
    hers = {"user_agent": "Mozilla/5.0 (hers)", "accept_language": "en"}
    for _ in range(6):
        sign_in(client, number, WRONG, b"", **his)
    assert sign_in(client, number, PIN, b"", **hers).header("retry-after")
    world.later(180)
    for guessed in (his, {**hers, "accept_language": "es"}):
        assert not sign_in(client, number, PIN, b"", **guessed).session
    assert sign_in(client, number, PIN, b"", **hers).status == 303


def test_neither_number_nor_pin_is_in_an_address_or_in_a_log(client: Client, she: Her) -> None:
    with captured("portal") as stream:
        for pin in (PIN, WRONG):
            answer = sign_in(client, she.card.number, pin)
            for _, value in answer.headers:
                assert she.card.number not in value
                assert pin not in value
            assert she.card.number not in answer.text
            assert pin not in answer.text
    logged = stream.getvalue()
    assert "OpenSession" in logged
    for secret in (she.card.number, PIN, WRONG):
        assert secret not in logged


def test_a_new_sign_in_ends_the_session_before(client: Client, she: Her) -> None:
    first = sign_in(client, she.card.number, PIN).session
    second = sign_in(client, she.card.number, PIN, first).session

    assert second
    assert first
    assert second != first
    assert client.get("/home", first).body == signed_out(client)
    assert client.get("/home", second).body != signed_out(client)


def test_the_card_field_is_not_remembered_unless_the_device_is_hers(client: Client) -> None:
    page = client.get("/in").text
    assert 'id="card" name="card"' in page
    card, pin = (re.findall(rf'<input id="{name}"[^>]*>', page)[0] for name in ("card", "pin"))
    assert 'autocomplete="off"' in card
    # Where it is "off" the browser offers to keep the PIN, and notes the card's number.
    assert 'autocomplete="one-time-code"' in pin
    assert "username" not in page
    answer = client.post("/in", {"card": "1", "pin": "1", "shared": "no"}).text
    assert 'autocomplete="username"' in answer


def test_whether_others_use_the_device_decides_about_traces(client: Client, she: Her) -> None:
    own = client.post("/in", {"card": she.card.number, "pin": PIN, "shared": "no"}).session
    shared = sign_in(client, she.card.number, PIN).session
    assert " data-f" not in client.get("/home", own).text[:300]
    assert " data-f" in client.get("/home", shared).text[:300]


@pytest.mark.parametrize("tag", ["es", "ar"])
def test_the_language_of_the_sign_in_goes_on(client: Client, she: Her, tag: str) -> None:
    form = {"card": she.card.number, "pin": PIN, "shared": "yes"}
    answer = client.post(f"/in?l={tag}", form)
    home = client.get("/home", answer.session)
    assert f'<html lang="{tag}"' in home.text


# --- a PIN of her own -----------------------------------------------------------------------------


def test_the_first_sign_in_asks_for_a_pin_of_her_own(client: Client, world: CoreWorld) -> None:
    card = new_with_a_seen_pin(world)
    session = sign_in(client, card.number, card.pin).session

    for path in ("/home", "/list", "/steps", "/seen"):
        assert client.get(path, session).header("location") == "/in/pin", path
    page = client.get("/in/pin", session)
    assert "Someone else has seen your PIN" in page.text
    assert 'action="/list/stop"' in page.text
    assert page.hidden("request_id")

    form = {"c": page.hidden("c"), "pin": card.pin, "new": "864209".translate(ARABIC)}
    changed = client.post("/in/pin", form, session)
    assert (changed.status, changed.header("location")) == (303, "/in/new")
    assert changed.session not in (b"", session)
    assert "You have a new PIN" in client.get("/in/new", changed.session).text
    assert client.get("/home", session).body == signed_out(client)
    assert client.get("/home", changed.session).status == 200
    assert sign_in(client, card.number, card.pin).session == b""


def test_she_can_stop_everything_before_she_has_a_new_pin(client: Client, world: CoreWorld) -> None:
    card = new_with_a_seen_pin(world)
    session = sign_in(client, card.number, card.pin).session
    grant = world.grant(session, world.terms())
    page = client.get("/in/pin", session)
    form = {"c": page.hidden("c"), "request_id": page.hidden("request_id")}
    # Said at once: the page of its own could not be asked for before the new PIN.
    stopped = client.post("/list/stop", form, session)
    assert stopped.status == 200
    assert "Everything on this list has stopped" in stopped.text

    changed = {"c": page.hidden("c"), "pin": card.pin, "new": "864209"}
    session = client.post("/in/pin", changed, session).session
    assert world.home(Her(card, "", session)).on == 0
    assert len(world.kinds(grant)) == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (WRONG, "864209", "Check the PIN you have now"),
        (PIN, PIN, "not the old one"),
        (PIN, "12345", "6 digits"),
        ("", "", "6 digits"),
    ],
)
def test_a_new_pin_that_is_not_taken_says_why(
    client: Client, she: Her, old: str, new: str, said: str
) -> None:
    form = {"c": token(she.session), "pin": old, "new": new}
    answer = client.post("/in/pin", form, she.session)
    assert answer.status == 200
    assert said in answer.text
    assert not answer.session
    assert new == "" or f'value="{new}"' not in answer.text


# --- a covered session ----------------------------------------------------------------------------


def test_a_covered_session_shows_one_page_everywhere(client: Client, she: Her) -> None:
    form = {"c": token(she.session), "do": "cover"}
    covered = client.post("/in/seat", form, she.session)
    assert (covered.status, covered.header("location")) == (303, "/in/again")

    pages = [client.get(path, she.session) for path in ("/home", "/list", "/seen", "/in/again")]
    assert {(page.status, page.body) for page in pages} == {(200, pages[0].body)}
    assert "Type your PIN" in pages[0].text

    form = {"c": token(she.session), "pin": WRONG, "next": "//evil.example", "to": "/seen"}
    refused = client.post("/in/again", form, she.session)
    assert refused.status == 200
    assert "That PIN did not work" in refused.text
    opened = client.post("/in/again", {**form, "pin": PIN}, she.session)
    assert (opened.status, opened.header("location")) == (303, "/home")
    assert opened.session not in (b"", she.session)
    assert client.get("/home", she.session).body == signed_out(client)
    assert "Your pages" in client.get("/home", opened.session).text


def test_two_hours_later_the_pin_is_asked_for(client: Client, world: CoreWorld, she: Her) -> None:
    for _ in range(14):
        world.later(9 * 60)
        page = client.get("/home", she.session)
    assert "Type your PIN" in page.text


def test_ten_minutes_without_a_press_end_it(client: Client, world: CoreWorld, she: Her) -> None:
    world.later(8 * 60)
    stay = client.post("/in/seat", {"c": token(she.session), "do": "stay"}, she.session)
    assert (stay.status, stay.body) == (204, b"")
    world.later(8 * 60)
    assert "Your pages" in client.get("/home", she.session).text
    world.later(10 * 60 + 1)
    assert client.get("/home", she.session).body == signed_out(client)


def test_the_page_is_told_when_the_session_ends(client: Client, world: CoreWorld, she: Her) -> None:
    world.later(30)
    assert 'data-left="570"' in client.get("/home", she.session).text
    world.later(60)
    assert 'data-left="600"' in client.get("/home", she.session).text


def test_the_end_of_an_idle_page_is_the_end_on_the_server(client: Client, she: Her) -> None:
    ended = client.post("/in/seat", {"c": token(she.session), "do": "end"}, she.session)
    assert (ended.status, ended.header("location")) == (303, "/in")
    assert "Max-Age=0" in ended.header("set-cookie")
    assert client.get("/home", she.session).body == signed_out(client)


# --- home -----------------------------------------------------------------------------------------


def test_home_counts_what_is_there(client: Client, world: CoreWorld, she: Her) -> None:
    world.give(she)
    world.ask(she)
    home = client.get("/home", she.session)
    assert "1 is on" in home.text
    assert "1 question waits" in home.text
    assert 'href="/list"' in home.text
    order = [
        home.text.index(f'href="{path}"') for path in ("/list", "/steps", "/list#asked", "/seen")
    ]
    assert order == sorted(order)
    assert she.ref not in home.text
    assert A not in home.text


def test_home_without_anything_says_so_and_can_still_stop(client: Client, she: Her) -> None:
    home = client.get("/home", she.session)
    assert "Nothing on your list is on right now." in home.text
    assert 'action="/list/stop"' in home.text


def test_wrong_tries_are_told_at_the_next_sign_in(client: Client, she: Her) -> None:
    for _ in range(3):
        sign_in(client, she.card.number, WRONG)
    session = sign_in(client, she.card.number, PIN).session
    home = client.get("/home", session)
    assert "wrong PIN 3 times" in home.text
    assert "Was it you?" in home.text


def test_with_referral_down_home_is_whole_but_for_one_card(
    client: Client, world: CoreWorld, she: Her
) -> None:
    sent = world.send(world.give(she))
    assert sent is not None
    home = client.get("/home", she.session)
    assert home.status == 200
    assert home.text.count("We cannot show this right now.") == 1
    assert "1 is on" in home.text


def test_with_consent_down_home_is_there_and_shows_nothing_as_done(
    client: Client, world: CoreWorld, she: Her
) -> None:
    world.give(she)
    world.stop()
    try:
        home = client.get("/home", she.session)
        assert home.status == 200
        assert home.text.count("We cannot show this right now.") == 4
        assert PHONE in home.text
        assert "Nothing on your list is on" not in home.text

        other = client.get("/list", she.session)
        assert other.status == 503
        assert other.header("retry-after")
        form = {"c": token(she.session), "request_id": new_request_id()}
        stop = client.post("/list/stop", form, she.session)
        assert stop.status == 503
        assert PHONE in stop.text
        assert "We do not know if it stopped" in stop.text
        assert "has stopped" not in stop.text
        signed = sign_in(client, she.card.number, PIN)
        assert signed.status == 200, "told on a page of its own, which is no fault"
        assert "We cannot reach your pages right now." in signed.text
        left = client.get("/x", she.session)
        assert left.header("location") == EXIT
        assert "Max-Age=0" in left.header("set-cookie")
    finally:
        world.start()
    assert world.home(she).on == 1


# --- leaving --------------------------------------------------------------------------------------


def test_leaving_ends_the_session_on_the_server(client: Client, she: Her) -> None:
    left = client.get("/x", she.session, sec_fetch_mode="navigate")

    assert (left.status, left.header("location")) == (303, EXIT)
    assert left.header("clear-site-data") == CLEAR
    assert "Max-Age=0" in left.header("set-cookie")
    assert client.get("/home", she.session).body == signed_out(client)
    assert client.get("/x").status == 303


@pytest.mark.parametrize("mode", ["no-cors", "cors", "same-origin", "websocket"])
def test_what_is_no_visit_signs_nobody_out(client: Client, she: Her, mode: str) -> None:
    asked = client.get("/x", she.session, sec_fetch_mode=mode)
    assert not asked.header("clear-site-data")
    assert not asked.header("set-cookie")
    assert "Your pages" in client.get("/home", she.session).text


@pytest.mark.parametrize("inside", ["iframe", "frame", "embed", "object"])
def test_what_stands_inside_of_a_page_signs_nobody_out(
    client: Client, she: Her, inside: str
) -> None:
    """The browser calls it a navigation too."""
    asked = client.get("/x", she.session, sec_fetch_mode="navigate", sec_fetch_dest=inside)
    assert not asked.header("clear-site-data")
    assert not asked.header("set-cookie")
    assert "Your pages" in client.get("/home", she.session).text
    left = client.get("/x", she.session, sec_fetch_mode="navigate", sec_fetch_dest="document")
    assert left.header("clear-site-data") == CLEAR


def test_a_page_fetched_ahead_signs_nobody_out(client: Client, she: Her) -> None:
    asked = client.get("/x", she.session, sec_purpose="prefetch;prerender")
    assert not asked.header("clear-site-data")
    assert "Your pages" in client.get("/home", she.session).text


def test_no_other_answer_clears_anything(client: Client, she: Her) -> None:
    for path in ("/", "/in", "/home", "/nope", "/bye", "/list"):
        assert not client.get(path, she.session).header("clear-site-data")


def test_the_way_out_is_a_link_on_every_page_and_comes_first(client: Client, she: Her) -> None:
    for path in ("/", "/in", "/home", "/lang", "/in/pin", "/nope"):
        page = client.get(path, she.session).text
        body = page[page.index("<body>") :]
        first = body.index("<a ")
        assert body[first:].startswith('<a class="skip" href="/x" rel="nofollow noreferrer"'), path
        assert body.count('href="/x"') >= 2, path


def test_the_clock_says_nothing(client: Client) -> None:
    page = client.get("/bye").text
    assert "<title>Clock</title>" in page
    assert 'href="/in' not in page
    assert "Home" not in page


# --- our own script -------------------------------------------------------------------------------


def test_for_our_script_the_result_is_named_and_not_sent_twice(client: Client, she: Her) -> None:
    form = {"card": she.card.number, "pin": PIN, "shared": "yes"}
    answer = client.post("/in", form, accept="text/plain")
    assert (answer.status, answer.body) == (200, b"/home")
    assert answer.header("content-type") == "text/plain; charset=utf-8"
    assert answer.session


def test_a_replayed_form_of_a_session_that_is_over_does_nothing(
    client: Client, world: CoreWorld, she: Her
) -> None:
    home = client.get("/home", she.session)
    form = {"c": home.hidden("c"), "request_id": home.hidden("request_id")}
    client.get("/x", she.session)
    world.give(again := replace(she, session=world.again(she).session))
    assert "was not done" in client.post("/list/stop", form, she.session).text
    assert world.home(again).on == 1

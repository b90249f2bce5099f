"""A number from her worker at the sign-in: one field that is folded, and nothing that tells."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from safehand.consent.v1 import stops_pb2
from safehand_consent_service.throttle import TRIES

from tests.consent.helpers import WORD, WORKER
from tests.consent.portal.world import PIN, A, Her, new_request_id
from tests.logged import captured
from tests.portal.core_world import Answer, Client, CoreWorld, core_world

WRONG = "000000"
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
INPUT = re.compile(r'<input id="number" name="number"[^>]*>')
FOLDED = '<details class="more"><summary>I have a number from my worker'
OPEN = '<details class="more" open><summary>I have a number from my worker'
NO_WAIT = "With a number from your worker you do not have to wait."


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoreWorld]:
    with core_world(tmp_path_factory.mktemp("number")) as found:
        yield found


@pytest.fixture
def client(world: CoreWorld) -> Client:
    return Client(world.web_port)


@pytest.fixture
def she(world: CoreWorld) -> Her:
    """She has set a code word."""
    her = world.her()
    world.portal().SetCodeWord(
        stops_pb2.SetCodeWordRequest(
            request_id=new_request_id(), session=her.session, code_word=WORD
        )
    )
    return her


def lift(world: CoreWorld, she: Her) -> str:
    """The number that her worker reads out to her."""
    answer = world.agency(A).LiftWait(
        stops_pb2.LiftWaitRequest(
            request_id=new_request_id(), subject_ref=she.ref, worker_ref=WORKER, code_word=WORD
        )
    )
    return str(answer.number)


def enter(client: Client, she: Her, number: str, pin: str = PIN, card: str = "") -> Answer:
    fields = {"card": card or she.card.number, "pin": pin, "number": number, "shared": "yes"}
    answer = client.post("/in", fields)
    later = answer.header("location")
    return client.get(later) if later.startswith("/in/late/") else answer


def use_up(client: Client, she: Her) -> None:
    for _ in range(TRIES):
        assert enter(client, she, "", WRONG).status == 200
    assert enter(client, she, "").header("retry-after")


def test_while_somebody_tries_from_where_she_is_she_is_in_at_once(
    client: Client, world: CoreWorld, she: Her
) -> None:
    use_up(client, she)
    waiting = enter(client, she, "")
    assert NO_WAIT in waiting.text
    assert OPEN in waiting.text
    answer = enter(client, she, lift(world, she))
    assert (answer.status, answer.header("location")) == (303, "/home")
    home = client.get("/home", answer.session).text
    assert "Did you ask for this?" in home
    assert re.search(r"A worker of <bdi>[^<]+</bdi> got a number", home)


@pytest.mark.parametrize("shape", ["{} {}", "{}-{}", "\u200f{}\u00a0{}\t"])
def test_any_digits_and_any_spacing(client: Client, world: CoreWorld, she: Her, shape: str) -> None:
    use_up(client, she)
    number = lift(world, she)
    shown = shape.format(number[:4], number[4:]).translate(ARABIC)
    assert enter(client, she, shown).header("location") == "/home"


def test_what_is_no_number_is_a_try_without_one(client: Client, she: Her) -> None:
    for number in ("1234567", "123456789", "letters", "1234 567x", "x" * 64):
        assert enter(client, she, number).header("location") == "/home"


def test_every_failure_has_the_same_bytes_with_a_number_too(
    client: Client, world: CoreWorld, she: Her
) -> None:
    """A wrong PIN with the right number, with another one, and at a card that is none."""
    number, nobody = lift(world, she), world.new_card().number
    wrong = [
        enter(client, she, number, WRONG),
        enter(client, she, "00000000", WRONG),
        enter(client, she, "no number", WRONG),
        enter(client, she, number, PIN, card=nobody),
        enter(client, she, "00000000", "letters", card=nobody),
    ]
    assert {(a.status, a.body) for a in wrong} == {(200, wrong[0].body)}
    assert {tuple(a.headers) for a in wrong} == {tuple(wrong[0].headers)}
    assert b"That did not work" in wrong[0].body
    assert OPEN in wrong[0].text


def test_it_is_folded_until_she_needs_it_and_no_browser_keeps_it(client: Client, she: Her) -> None:
    page = client.get("/in").text
    assert FOLDED in page
    assert NO_WAIT not in page
    assert page.index('action="/in"') < page.index(FOLDED) < page.index("</form>")
    (field,) = INPUT.findall(page)
    assert 'autocomplete="off"' in field
    assert 'inputmode="numeric"' in field
    for answer in (
        enter(client, she, "12345678", WRONG),
        client.post("/in", {"card": "1", "pin": WRONG, "number": "12345678", "shared": "no"}),
    ):
        (field,) = INPUT.findall(answer.text)
        assert 'value=""' in field
        assert 'autocomplete="off"' in field
        assert "12345678" not in answer.text


def test_it_is_in_no_address_and_no_log(client: Client, world: CoreWorld, she: Her) -> None:
    use_up(client, she)
    number = lift(world, she)
    with captured("portal") as logged:
        answers = [enter(client, she, number, WRONG), enter(client, she, number)]
        answers.append(client.get("/home", answers[-1].session))
    for answer in answers:
        assert number not in str(answer.headers)
        assert number not in answer.text
    assert logged.getvalue()
    assert number not in logged.getvalue()


def test_her_first_page_says_nothing_where_there_was_none(client: Client, she: Her) -> None:
    assert "Did you ask for this?" not in client.get("/home", she.session).text

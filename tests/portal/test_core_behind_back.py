"""Without script a form that was sent stands behind Back: none with a PIN is worth sending again.

Where the PIN was wrong it is wrong again. Where nobody could be asked, or a wait was told, the
answer is the way to a page of its own, so that nothing behind Back holds card and PIN.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from safehand_portal_service.page import GO_TYPE
from safehand_portal_service.seat import token

from tests.consent.portal.world import PIN, Her
from tests.portal.core_world import PHONE, Answer, Client, CoreWorld, core_world

WRONG = "000000"
TRIES = 6


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoreWorld]:
    with core_world(tmp_path_factory.mktemp("behind")) as found:
        yield found


@pytest.fixture
def client(world: CoreWorld) -> Client:
    return Client(world.web_port)


@pytest.fixture
def she(world: CoreWorld) -> Her:
    return world.her()


@contextmanager
def away(world: CoreWorld) -> Iterator[None]:
    world.stop()
    try:
        yield
    finally:
        world.start()


def covered(client: Client, she: Her) -> None:
    client.post("/in/seat", {"c": token(she.session), "do": "cover"}, she.session)


def form(path: str, she: Her, pin: str = PIN) -> dict[str, str]:
    if path == "/in":
        return {"card": she.card.number, "pin": pin, "shared": "yes"}
    return {"c": token(she.session), "pin": pin, "new": "739154"}


def sent(client: Client, path: str, she: Her, pin: str = PIN, **headers: str) -> Answer:
    return client.post(path, form(path, she, pin), b"" if path == "/in" else she.session, **headers)


LATER = {"/in": "/in/late", "/in/again": "/in/again", "/in/pin": "/in/pin"}


@pytest.mark.parametrize("path", LATER)
def test_with_nobody_to_ask_the_answer_is_another_page(
    client: Client, world: CoreWorld, she: Her, path: str
) -> None:
    if path == "/in/again":
        covered(client, she)
    with away(world):
        answer = sent(client, path, she)
        assert (answer.status, answer.header("location")) == (303, f"{LATER[path]}/0")
        assert answer.body == b""
        page = client.get(answer.header("location"), she.session)
        assert page.status == 200, "the fault was that of the form"
        assert "not answer" in page.text or "cannot" in page.text
        assert PHONE in page.text
        assert ("We do not know if it worked" in page.text) == (path == "/in/pin")


@pytest.mark.parametrize("path", LATER)
def test_a_wait_is_told_on_another_page(client: Client, she: Her, path: str) -> None:
    if path == "/in/again":
        covered(client, she)
    for _ in range(TRIES - 1):
        assert sent(client, path, she, WRONG).status == 200
    answer = sent(client, path, she)
    assert (answer.status, answer.header("location")) == (303, f"{LATER[path]}/3")
    page = client.get(answer.header("location"), she.session)
    assert page.status == 200
    assert "Please wait 3 minutes." in page.text
    assert she.card.number not in page.text, "nothing of the form comes along"
    assert PIN not in page.text


def test_the_script_gets_its_answer_at_once(client: Client, she: Her) -> None:
    """It sends the form itself, and no entry of the browser's history holds it."""
    for _ in range(TRIES - 1):
        sent(client, "/in", she, WRONG)
    answer = sent(client, "/in", she, accept=GO_TYPE)
    assert answer.status == 200
    assert "Please wait 3 minutes." in answer.text


@pytest.mark.parametrize("n", ["31", "100", "-1", "x", "%0d%0ax"])
def test_such_an_address_says_minutes_and_nothing_else(client: Client, n: str) -> None:
    answer = client.get(f"/in/late/{n}")
    assert answer.status == 200
    assert answer.body == client.get("/in").body

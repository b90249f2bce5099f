"""What she can read out where we failed: it leads to a line of the log, and tells nothing else."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from safehand_cli.cards import new_card
from safehand_portal_service.page import GO_TYPE
from safehand_portal_service.pages import find
from safehand_portal_service.seat import token

from tests.consent.portal.world import ENTROPY, Her, new_request_id
from tests.harness.world import eventually
from tests.logged import captured
from tests.portal import pages_world
from tests.portal.core_world import Answer, Client, cookie
from tests.portal.pages_world import PHONE, PagesWorld

NOTICE = re.compile(r'<div class="notice error" role="alert">(.*?)</div>', re.S)
REFERENCE = re.compile(r"(?<![0-9-])[0-9]{4}-[0-9]{4}(?![0-9-])")
LANGUAGES = ("en", "es", "ar")
LINE = {
    *("duration_ms", "event", "http_status", "level", "page", "process"),
    *("reference", "service", "timestamp"),
}
SECRET = "what no page and no log may say"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesWorld]:
    with pages_world.serving(tmp_path_factory.mktemp("reference")) as found:
        yield found


@pytest.fixture
def client(world: PagesWorld) -> Client:
    return Client(world.web_port)


@pytest.fixture
def she(world: PagesWorld) -> Her:
    her = world.her()
    world.give(her)
    return her


def notice(answer: Answer) -> str:
    (found,) = NOTICE.findall(answer.text)
    return str(found)


def reference(answer: Answer) -> str:
    """The one on the page, inside of what is said."""
    (found,) = REFERENCE.findall(answer.text)
    assert found in notice(answer)
    assert PHONE in notice(answer), "whom to read it to"
    return str(found)


def lines(stream: io.StringIO, said: str) -> list[dict[str, Any]]:
    """Those that hold it; the last is written once the answer is out."""

    def found() -> list[dict[str, Any]]:
        every = [json.loads(line) for line in stream.getvalue().splitlines()]
        return [line for line in every if line.get("reference") == said]

    eventually(lambda: any("http_status" in line for line in found()), "its line in the log")
    return found()


def fault(*_: object, **__: object) -> NoReturn:
    raise RuntimeError(SECRET)


@pytest.mark.parametrize("tag", LANGUAGES)
def test_a_service_that_is_away_is_told_with_a_number_that_the_log_has(
    client: Client, world: PagesWorld, she: Her, tag: str
) -> None:
    with world.consent_down(), captured("portal") as stream:
        answer = client.get("/list", she.session, accept_language=tag)
        (line,) = lines(stream, reference(answer))
        again = client.get("/list", she.session, accept_language=tag)

    assert set(line) == LINE, "and nothing of hers beside it"
    assert (line["event"], line["page"], line["http_status"]) == ("page.failed", "list", 503)
    assert reference(again) != reference(answer), "drawn for each answer, from nothing of hers"
    assert f'<html lang="{tag}"' in answer.text


def test_so_is_a_fault_of_ours_and_its_kind(
    client: Client, she: Her, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safehand_portal_service.pages.shown_sharing.shown", fault)

    with captured("portal") as stream:
        answer = client.get("/list", she.session)
        inner, line = lines(stream, reference(answer))

    assert answer.status == 500
    assert inner["exception"] == "RuntimeError"
    assert (line["page"], line["http_status"]) == ("list", 500)
    for hers in (SECRET, she.ref, she.card.number, she.session.hex(), cookie(she.session)):
        assert hers not in stream.getvalue()


def test_a_stop_that_is_not_known_has_one(client: Client, world: PagesWorld, she: Her) -> None:
    form = {"c": token(she.session), "request_id": new_request_id()}
    with world.consent_down(), captured("portal") as stream:
        answer = client.post("/list/stop", form, she.session)
        (line,) = lines(stream, reference(answer))
    assert (answer.status, line["page"], line["http_status"]) == (503, "list", 503)


def test_what_everybody_may_see_has_none(
    client: Client, world: PagesWorld, she: Her, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a fault makes one page out of two; and a refusal is no fault."""
    cards = [(she.card.number, she.card.pin), new_card(ENTROPY)]
    with world.consent_down(), captured("portal") as outage:
        asked = [
            client.post("/in", {"card": card, "pin": pin}, accept=GO_TYPE) for card, pin in cards
        ]
        late = [client.get("/in/late/0", session) for session in (b"", she.session)]
    with captured("portal") as stream:
        monkeypatch.setattr(find, "_page", fault)
        found = [client.get("/find", session) for session in (b"", she.session)]
        refused = client.post("/lang", {"c": "", "l": "en"}, she.session)

    assert [answer.status for answer in asked] == [503, 503]
    assert asked[0].body == asked[1].body, "of a card that there is, and of one that there is not"
    assert [answer.status for answer in late] == [200, 200], (
        "what is told there is no fault of its own"
    )
    assert [answer.status for answer in found] == [500, 500]
    assert refused.status == 403
    for answer in (*asked, *late, *found, refused):
        assert not REFERENCE.search(answer.text)
    assert "reference" not in outage.getvalue() + stream.getvalue()


def test_after_any_form_it_says_whom_to_call_beside_what_is_said(
    client: Client, world: PagesWorld, she: Her
) -> None:
    form = {"c": token(she.session)}
    too_many = {**form, **{f"f{number}": "x" for number in range(100)}}
    refused = {
        "of another page": client.post("/lang", {"l": "en"}, she.session),
        "from elsewhere": client.post("/in", {}, sec_fetch_site="cross-site"),
        "of an old browser": client.post("/in", {}, sec_fetch_site=""),
        "of another shape": client.post("/in/seat", too_many, she.session),
        "not understood": client.post("/list/stop", {**form, "request_id": "x"}, she.session),
    }
    with world.consent_down():
        refused["not answered"] = client.post("/list/0123456789/hide", form, she.session)

    for what, answer in refused.items():
        assert answer.status >= 400, what
        assert PHONE in notice(answer), what

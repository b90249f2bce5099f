"""Consent's disk refuses in the middle of her stop: the page says so, and nothing is half done."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from safehand_core import failpoints
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_portal_service.seat import token

from tests.consent.release.world import refused
from tests.portal.core_world import PHONE, Client, CoreWorld, core_world

STEPS = ("begin", "appended", "before_commit")
"""Where the writer's disk refuses: before it writes, and with the entry written, not committed."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoreWorld]:
    with core_world(tmp_path_factory.mktemp("failing")) as found:
        yield found


def fail_at(monkeypatch: pytest.MonkeyPatch, step: str) -> list[str]:
    """The disk refuses there; what is returned grows with each try."""
    tried: list[str] = []

    def hit(name: str) -> None:
        if name == f"consent.writer.{step}":
            tried.append(name)
            raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(failpoints, "hit", hit)
    return tried


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("press", ["one", "all"])
def test_a_stop_that_cannot_be_written_is_not_shown_as_done_and_is_not_half_done(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch, press: str, step: str
) -> None:
    client = Client(world.web_port)
    her = world.her()
    grant = world.give(her)
    sent = world.send(grant)
    number, before = world.only(her).number, world.kinds(grant)
    path = f"/list/{number}" if press == "one" else "/list"
    form = {"c": token(her.session), "request_id": world.request_id()}

    tried = fail_at(monkeypatch, step)
    answer = client.post(f"{path}/stop", form, her.session)
    assert tried, "the disk was asked"
    assert answer.status == 503
    assert "We do not know" in answer.text
    assert "has stopped" not in answer.text
    assert "Nothing on your list is on" not in answer.text
    assert PHONE in answer.text
    assert answer.hidden("request_id") == form["request_id"], "the same press can be repeated"
    monkeypatch.undo()

    # Not in the log, not in a note of hers, not on her pages, and not at the gate.
    assert world.kinds(grant) == before
    assert world.home(her).on == 1
    assert client.get(f"/list/{number}", her.session).status == 200
    looked = client.get(f"/list/{number}/stopped", her.session)
    assert (looked.status, looked.header("location")) == (303, f"/list/{number}")
    world.look(sent)

    again = client.post(f"{path}/stop", form, her.session)
    assert (again.status, again.header("location")) == (303, f"{path}/stopped")
    assert "has stopped" in client.get(f"{path}/stopped", her.session).text
    assert world.kinds(grant).count(Kind.STOP) == 1, "one entry for both presses"
    assert world.home(her).on == 0
    with refused(Reason.CONSENT_ENDED):
        world.release(sent)

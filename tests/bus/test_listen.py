"""Events that are written on another machine: PostgreSQL tells the relay, and nobody polls.

The relay's poll is an hour here, and nobody rings at its socket, so only the database can tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand_bus import relay
from safehand_bus.worker_main import Worker
from safehand_store import outbox
from safehand_store.engine import begin_write, open_engine
from safehand_store.tell import CHANNEL
from sqlalchemy import Engine, MetaData

from tests.bus.world import ENDED, NOON, Bus, eventually
from tests.harness import database
from tests.harness.database import SQLITE, Database

HOUR_S = 3600.0
LISTENING = "SELECT pid FROM pg_stat_activity WHERE datname = ? AND query = ? AND state = 'idle'"


@pytest.fixture(params=[engine for engine in database.conformance() if engine != SQLITE])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A service's database on PostgreSQL, in the run on SQLite too."""
    found = database.new(tmp_path / "unused", request.param)
    metadata = MetaData()
    outbox.define(metadata)
    found.create(metadata)
    yield found
    found.drop()


@pytest.fixture
def engine(made: Database) -> Iterator[Engine]:
    found = open_engine(made.location)
    yield found
    found.dispose()


@pytest.fixture
def worker(
    made: Database, bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Worker]:
    monkeypatch.setattr(relay, "POLL_S", HOUR_S)
    found = Worker(
        database=made.location,
        source="consent",
        link=bus.link("consent"),
        wake_path=tmp_path / "nobody-rings.wake",
    )
    found.start()
    yield found
    found.stop()


def write(engine: Engine) -> None:
    with begin_write(engine) as db:
        outbox.append(db, type=ENDED, time=NOON, audience="agency/b", resource=f"grants/{0:032x}")


def listening(made: Database) -> list[int]:
    """The server's processes that listen for somebody in this database."""
    return [pid for (pid,) in made.rows(LISTENING, made.name, f"LISTEN {CHANNEL}")]


@pytest.mark.usefixtures("worker")
def test_an_event_of_another_machine_leaves_at_once(
    made: Database, engine: Engine, bus: Bus
) -> None:
    eventually(lambda: len(listening(made)) == 1)
    for number in range(1, 4):
        write(engine)
        eventually(lambda: len(bus.ids("CONSENT")) == number)  # noqa: B023  within its turn


@pytest.mark.usefixtures("worker")
def test_a_connection_that_was_lost_is_made_again(made: Database, engine: Engine, bus: Bus) -> None:
    """And what was written while it was away is seen when it is back."""
    eventually(lambda: len(listening(made)) == 1)
    (before,) = listening(made)
    made.rows("SELECT pg_terminate_backend(?)", before)
    write(engine)
    eventually(lambda: listening(made) not in ([], [before]))
    eventually(lambda: len(bus.ids("CONSENT")) == 1)
    write(engine)
    eventually(lambda: len(bus.ids("CONSENT")) == 2)


@pytest.mark.usefixtures("worker")
def test_what_is_rolled_back_is_told_to_nobody(made: Database, engine: Engine, bus: Bus) -> None:
    eventually(lambda: len(listening(made)) == 1)

    class Undone(Exception):
        pass

    def undone() -> None:
        with begin_write(engine) as db:
            outbox.append(db, type=ENDED, time=NOON, audience="agency/b", resource="grants/x")
            raise Undone

    with pytest.raises(Undone):
        undone()
    write(engine)
    eventually(lambda: bus.ids("CONSENT") == ["consent:1"])
    (message,) = bus.messages("CONSENT")
    assert b"grants/x" not in message[2]


@pytest.mark.usefixtures("worker")
def test_a_replay_that_is_asked_for_elsewhere_begins_at_once(
    made: Database, engine: Engine, bus: Bus
) -> None:
    eventually(lambda: len(listening(made)) == 1)
    write(engine)
    eventually(lambda: bus.ids("CONSENT") == ["consent:1"])
    with begin_write(engine) as db:
        outbox.ask_replay(db, 1, "TEST")
    eventually(lambda: bus.ids("CONSENT") == ["consent:1", "consent:1+1"])

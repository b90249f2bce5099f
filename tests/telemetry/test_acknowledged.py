"""What notify remembers of acknowledgements, against a database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from safehand.events.v1 import events_pb2
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_notify_service import acknowledged, deliveries
from safehand_notify_service.acknowledged import STOPS, Waiting
from safehand_notify_service.tables import METADATA
from safehand_store.engine import begin_read, begin_write, open_engine
from sqlalchemy import Engine

from tests.harness import database

ENDED = events_pb2.EVENT_TYPE_CONSENT_ENDED
GRANTED = events_pb2.EVENT_TYPE_CONSENT_GRANTED
NOW = 1_790_000_000


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    store = database.new(tmp_path / "notify.sqlite3")
    store.create(METADATA)
    made = open_engine(store.location)
    yield made
    made.dispose()
    store.drop()


def deliver(engine: Engine, agency: str, kind: int = ENDED, at: int = NOW) -> int:
    """One more event for ``agency``; its cursor."""
    with begin_write(engine) as connection:
        sequence = 1 + sum(1 for _ in deliveries.after(connection, "agency-a", 0, 10**6))
        sequence += sum(1 for _ in deliveries.after(connection, "agency-b", 0, 10**6))
        event = events_pb2.Event(
            id=f"consent:{sequence}",
            type=events_pb2.EventType.ValueType(kind),
            time=Timestamp(seconds=at),
            sequence=sequence,
            audience=f"agency/{agency}",
            resource="grants/" + "0" * 32,
        )
        return deliveries.add(connection, event)


def waiting(engine: Engine) -> list[Waiting]:
    with begin_read(engine) as connection:
        return list(acknowledged.waiting(connection))


def oldest(engine: Engine) -> int | None:
    with begin_read(engine) as connection:
        return acknowledged.oldest_stop(connection)


def test_a_stop_waits_until_it_is_acknowledged(engine: Engine) -> None:
    assert (oldest(engine), waiting(engine)) == (None, [])
    first = deliver(engine, "agency-a")
    second = deliver(engine, "agency-a", at=NOW + 60)
    assert waiting(engine) == [Waiting("agency-a", 2, NOW)]
    assert acknowledged.acknowledge(engine, "agency-a", first, NOW) == first
    assert (oldest(engine), waiting(engine)) == (NOW + 60, [Waiting("agency-a", 1, NOW + 60)])
    acknowledged.acknowledge(engine, "agency-a", second, NOW)
    assert (oldest(engine), waiting(engine)) == (None, [])


@pytest.mark.parametrize("kind", sorted(events_pb2.EventType.values())[1:])
def test_what_takes_something_away_is_a_stop(engine: Engine, kind: int) -> None:
    deliver(engine, "agency-a", kind)
    assert bool(waiting(engine)) == (kind in STOPS)


def test_every_event_that_takes_something_away_is_known_here() -> None:
    """A new type must be looked at: does somebody lose something by it?"""
    takes = {"ENDED", "NARROWED", "STOPPED"}
    named = {
        value.number
        for value in events_pb2.EventType.DESCRIPTOR.values
        if value.name.rpartition("_")[2] in takes
    }
    assert named == STOPS


def test_the_oldest_comes_first(engine: Engine) -> None:
    deliver(engine, "agency-a", at=NOW + 5)
    deliver(engine, "agency-b", at=NOW)
    assert [one.agency for one in waiting(engine)] == ["agency-b", "agency-a"]
    assert oldest(engine) == NOW


def test_one_agency_does_not_acknowledge_for_another(engine: Engine) -> None:
    for agency in ("agency-a", "agency-b"):
        deliver(engine, agency)
    acknowledged.acknowledge(engine, "agency-a", 1, NOW)
    assert waiting(engine) == [Waiting("agency-b", 1, NOW)]


def test_the_mark_never_moves_back(engine: Engine) -> None:
    for _ in range(3):
        deliver(engine, "agency-a")
    assert acknowledged.acknowledge(engine, "agency-a", 3, NOW) == 3
    assert acknowledged.acknowledge(engine, "agency-a", 1, NOW) == 3
    with begin_read(engine) as connection:
        assert acknowledged.deliveries(connection) == 0
        assert acknowledged.stops(connection) == 0


@pytest.mark.parametrize("agency", ["agency-a", "agency-z"])
def test_what_was_not_delivered_cannot_be_acknowledged(engine: Engine, agency: str) -> None:
    deliver(engine, "agency-a")
    with pytest.raises(SafehandError) as caught:
        acknowledged.acknowledge(engine, agency, 2, NOW)
    assert caught.value.reason is Reason.MALFORMED
    assert waiting(engine) == [Waiting("agency-a", 1, NOW)]


def test_other_news_only_counts_as_a_delivery(engine: Engine) -> None:
    deliver(engine, "agency-a", GRANTED)
    with begin_read(engine) as connection:
        assert acknowledged.deliveries(connection) == 1
        assert acknowledged.stops(connection) == 0

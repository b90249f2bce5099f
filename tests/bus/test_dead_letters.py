"""Dead letters: given up after bounded attempts, never lost, applied once by any replay."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence

import psycopg
import pytest
from safehand.events.v1 import events_pb2
from safehand_bus import dead_letter, envelope
from safehand_bus.connection import Connection
from safehand_bus.letters import Letters
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store import outbox
from safehand_store.engine import begin_read, begin_write
from safehand_store.outbox import OutboxEvent
from sqlalchemy import Connection as Db
from sqlalchemy import exc

from tests.bus.test_consumer import put, put_raw, settled
from tests.bus.world import ENDED, NOON, Bus, Reader, Source, eventually


class PoisonError(Exception):
    """What the effect of a broken event raises."""


def poison(*sequences: int) -> object:
    def fail(event: events_pb2.Event) -> None:
        if event.sequence in sequences:
            raise PoisonError

    return fail


def letters(reader: Reader, applied: list[int], *, broken: bool = False) -> Letters:
    def apply(db: Db, event: events_pb2.Event) -> None:
        if broken:
            raise PoisonError
        applied.append(event.sequence)

    return Letters(reader.engine, lambda source: apply)


def test_a_poisoned_event_holds_up_nobody_and_is_kept_whole(
    bus: Bus, consent: Source, reader: Reader
) -> None:
    consent.write(9)
    reader.attempts = 3
    reader.fail = poison(4, 7)  # type: ignore[assignment]
    with reader.running() as consumer:
        put(bus, *range(1, 10))
        eventually(lambda: reader.position() == 9)
        eventually(lambda: settled(bus))
        assert consumer.counters["dead"] == 2
    assert reader.committed == [1, 2, 3, 5, 6, 8, 9]
    found, total = letters(reader, []).open_after(0, 10)
    assert total == 2
    assert [(item.code, item.attempts, item.source) for item in found] == [
        ("PoisonError", 3, "consent"),
        ("PoisonError", 3, "consent"),
    ]
    # Whole, whichever way it came: over the bus, or fetched from the source behind a gap.
    with begin_read(consent.engine) as db:
        fetched = {row.sequence: row for row in outbox.after(db, 0, 9)}
    for item, row in zip(found, rows([4, 7]), strict=True):
        ways = [envelope.to_event("consent", one) for one in (row, fetched[row.sequence])]
        assert item.event in ways
    assert letters(reader, []).counts() == {("consent", "PoisonError"): 2}


def test_a_replay_applies_once(bus: Bus, consent: Source, reader: Reader) -> None:
    test_a_poisoned_event_holds_up_nobody_and_is_kept_whole(bus, consent, reader)
    applied: list[int] = []
    office = letters(reader, applied)
    assert [item.state for item in office.replay([1])] == [dead_letter.APPLIED]
    assert [item.state for item in office.replay([1])] == [dead_letter.APPLIED]
    assert applied == [4]
    assert [item.state for item in office.replay([])] == [dead_letter.APPLIED]
    assert office.replay([]) == []
    assert applied == [4, 7]
    assert office.open_after(0, 10) == ([], 0)
    # The stream brings them again: they count as applied.
    with reader.running() as consumer:
        put(bus, 4, 7)
        eventually(lambda: consumer.counters["repeated"] == 2)
    assert office.open_after(0, 10)[1] == 0


def test_a_replay_that_fails_stays_open_and_counts(
    bus: Bus, consent: Source, reader: Reader
) -> None:
    test_a_poisoned_event_holds_up_nobody_and_is_kept_whole(bus, consent, reader)
    found = letters(reader, [], broken=True).replay([])
    assert [(item.state, item.attempts) for item in found] == [(dead_letter.OPEN, 4)] * 2
    assert [item.number for item in letters(reader, []).open_after(1, 10)[0]] == [2]
    assert letters(reader, []).replay([77]) == []
    assert letters(reader, []).get(77) is None


def of_sqlite(code: int) -> sqlite3.Error:
    """As the driver raises it."""
    error = sqlite3.OperationalError("trouble")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    "trouble",
    [
        OSError("disk"),
        exc.OperationalError("select", {}, Exception("locked")),
        SafehandError(Reason.UNAVAILABLE, "busy"),
        # As prepared statements raise them: the drivers' own.
        of_sqlite(sqlite3.SQLITE_FULL),
        of_sqlite(sqlite3.SQLITE_BUSY),
        psycopg.errors.DiskFull("no space"),
        psycopg.errors.AdminShutdown("terminating"),
    ],
    ids=lambda trouble: f"{type(trouble).__module__}.{type(trouble).__name__}",
)
def test_trouble_of_the_surroundings_is_waited_out(
    bus: Bus, consent: Source, reader: Reader, trouble: Exception
) -> None:
    consent.write(3)
    reader.attempts = 2
    failures = 6

    def fail(event: events_pb2.Event) -> None:
        nonlocal failures
        if event.sequence == 2 and failures:
            failures -= 1
            raise trouble

    reader.fail = fail
    with reader.running():
        put(bus, 1, 2, 3)
        eventually(lambda: reader.position() == 3)
    assert reader.dead() == 0
    assert reader.committed == [1, 2, 3]


@pytest.mark.parametrize("status", ["409", "404", "100"])
def test_a_message_that_looks_like_the_servers_own_is_set_aside(
    bus: Bus, consent: Source, reader: Reader, status: str
) -> None:
    """It lies on the stream, so it must be acknowledged, or in the end none is delivered."""

    async def plant(connection: Connection) -> None:
        for _ in range(3):
            await connection.js.publish(
                "safehand.v1.consent.ended", b"", headers={"Status": status}
            )

    bus.do("consent", plant)
    consent.write(2)
    with reader.running():
        consent.worker.start()
        eventually(lambda: reader.position() == 2)
        eventually(lambda: reader.dead() == 3)
    assert reader.committed == [1, 2]


def test_one_batch_is_one_attempt(bus: Bus, consent: Source, reader: Reader) -> None:
    """Sixty messages behind a broken event come back in sixty deliveries: they spend nothing."""
    consent.write(60)
    reader.attempts = 4
    tries = 0

    def fail(event: events_pb2.Event) -> None:
        nonlocal tries
        if event.sequence == 1:
            tries += 1
            raise PoisonError

    reader.fail = fail
    with reader.running() as consumer:
        put(bus, *range(1, 61))
        eventually(lambda: reader.position() == 60)
        assert consumer.counters["failed"] == 3
    assert tries == 4
    assert reader.committed == list(range(2, 61))


def test_a_message_is_ended_only_after_it_was_written_down(
    bus: Bus, consent: Source, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = dead_letter.add, 1

    def add(*args: object, **words: object) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise exc.OperationalError("insert", {}, Exception("disk full"))
        real(*args, **words)  # type: ignore[arg-type]

    monkeypatch.setattr(dead_letter, "add", add)
    with reader.running() as consumer:
        put_raw(bus, b"\xff\xff")
        eventually(lambda: reader.dead() == 1)
        eventually(lambda: settled(bus))
        assert consumer.counters["sessions_failed"] == 1
    assert failures == 0


def test_what_is_no_event_is_shown_by_size_and_digest_and_closed(
    bus: Bus, consent: Source, reader: Reader
) -> None:
    with reader.running():
        put_raw(bus, b"Maria Lopez")
        eventually(lambda: reader.dead() == 1)
        eventually(lambda: settled(bus))
    office = letters(reader, [])
    found = office.get(1)
    assert found is not None
    assert (found.event, found.size, found.code, found.stream_sequence) == (
        None, 11, "attributes", 1,
    )  # fmt: skip
    assert b"Maria" not in (reader.engine.url.database or "").encode()
    with reader.engine.connect() as db:
        rows = db.exec_driver_sql("SELECT * FROM dead_letter").fetchall()
    assert "Maria" not in repr(rows)
    assert [item.state for item in office.replay([])] == [dead_letter.CLOSED]


def test_the_same_message_again_is_one_letter(reader: Reader) -> None:
    for _ in range(3):
        with begin_write(reader.engine) as db:
            dead_letter.add(
                db, source="consent", stream_sequence=7, code="body", data=b"x", time=NOON
            )
    assert reader.dead() == 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_fails_nothing_is_lost(
    bus: Bus, consent: Source, reader: Reader, seed: int
) -> None:
    """Some events are broken, some fail for a while, garbage lies between; the bus mixes them."""
    dice = random.Random(seed)
    last = 80
    consent.write(last, wake=False)
    broken = set(dice.sample(range(1, last), 6))
    shaky = {sequence: dice.randint(1, 2) for sequence in dice.sample(range(1, last), 10)}
    reader.attempts = 3

    def fail(event: events_pb2.Event) -> None:
        if event.sequence in broken:
            raise PoisonError
        if shaky.get(event.sequence, 0):
            shaky[event.sequence] -= 1
            raise KeyError(event.sequence)

    reader.fail = fail
    with reader.running():
        for _ in range(5):
            put(bus, *(dice.randint(1, last) for _ in range(20)))
            put_raw(bus, bytes(dice.randint(0, 255) for _ in range(40)))
        put(bus, last)
        eventually(lambda: reader.position() == last)
        eventually(lambda: settled(bus))
    set_aside = {
        item.event.sequence
        for item in letters(reader, []).open_after(0, 100)[0]
        if item.event is not None
    }
    assert set_aside == broken
    assert reader.committed == [n for n in range(1, last + 1) if n not in broken]


def test_a_burst_of_poison_does_not_stop_a_stop(bus: Bus, consent: Source, reader: Reader) -> None:
    """The newest event, say a stop, is heard behind any number of broken ones."""
    consent.write(20)
    reader.attempts = 2
    reader.fail = poison(*range(1, 20))  # type: ignore[assignment]
    with reader.running():
        put(bus, 20)
        eventually(lambda: reader.position() == 20)
    assert reader.committed == [20]
    assert reader.dead() == 19


def rows(sequences: Sequence[int]) -> list[OutboxEvent]:
    return [OutboxEvent(n, ENDED, NOON, "agency/b", f"grants/{n:032x}") for n in sequences]


def test_a_message_too_big_for_the_stream_never_gets_on_it(bus: Bus) -> None:
    async def publish(connection: Connection) -> int:
        message = envelope.encode("consent", rows([1])[0])
        answer = await connection.js.publish(
            message.subject, b"x" * 7000, headers=message.headers, timeout=5
        )
        return int(answer.seq)

    with pytest.raises(Exception, match="maximum"):
        bus.do("consent", publish)

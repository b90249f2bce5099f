"""One writer at a time, also on PostgreSQL: who is not elected, who is fenced, who waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from safehand_core import failpoints
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_formats.note import NoteSigner
from safehand_ledger import anchor, election
from safehand_ledger import writer as module
from safehand_ledger.election import CHECK_EVERY_S, FROZEN_MS, HOLD_S, TAKEOVER_S, LostError
from safehand_ledger.writer import ANCHOR_DELAY_S
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.harness import database
from tests.harness.postgres import APP
from tests.harness.world import eventually
from tests.ledger.test_later import together
from tests.ledger.world import World

PG = tuple(engine for engine in database.conformance() if engine != database.SQLITE)


@pytest.fixture(params=PG)
def first(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A ledger on PostgreSQL with a running writer and one entry."""
    made = World(tmp_path, engine=request.param).start()
    made.append_keys(1)
    yield made
    made.close()


@pytest.fixture
def second(first: World, tmp_path: Path) -> Iterator[World]:
    """Another process on the same ledger, whose writer is not started."""
    made = World(tmp_path, store=first.store)
    yield made
    made.writer.close()
    made.engine.dispose()


def end_sessions(world: World) -> None:
    """The network between the service and the server is gone."""
    world.store.execute(
        f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = '{APP}' "
        "AND datname = current_database()"
    )


def refuses(world: World) -> bool:
    try:
        world.append_keys(1)
    except SafehandError:
        return True
    return False


def test_a_second_process_is_not_elected_until_the_first_is_gone(
    first: World, second: World
) -> None:
    assert not second.writer.elect()
    with pytest.raises(SafehandError) as refused:
        second.writer.start()
    assert refused.value.reason is Reason.CONFIG_INVALID
    first.append_keys(1)
    first.writer.close()
    assert second.writer.elect()
    second.writer.start()
    second.keys = 2
    second.append_keys(1)
    second.check_log(3)


def test_ledgers_of_other_origins_do_not_stand_in_each_others_way(
    first: World, second: World
) -> None:
    second.signer = NoteSigner(second.signer.name + "/other", second.key)
    second.writer = second.new_writer()
    assert second.writer.elect()


def test_an_idle_writer_whose_session_ended_ends_itself(first: World) -> None:
    end_sessions(first)
    eventually(
        lambda: not first.writer._threads[0].is_alive(),
        f"the writer notices within about {CHECK_EVERY_S} s",
    )
    with pytest.raises(SafehandError) as refused:
        first.append_keys(1)
    assert refused.value.reason is Reason.UNAVAILABLE


def test_the_one_before_is_fenced(first: World, second: World) -> None:
    """Its session ended while it thinks that it is the writer: it appends nothing more."""
    end_sessions(first)
    eventually(second.writer.elect, "the lock ended with the session")
    second.writer.start()
    second.keys = 1
    assert refuses(first)
    second.append_keys(2)
    assert refuses(first), "and for good: it ended"
    second.check_log(3)


def test_a_session_that_ends_in_a_transaction_is_fatal_and_commits_nothing(
    first: World, second: World
) -> None:
    def operation(tx: Any) -> int:
        end_sessions(first)
        return first.key_operation()(tx)

    with pytest.raises(SafehandError) as refused:
        first.writer.submit(operation)
    assert refused.value.reason is Reason.UNAVAILABLE
    assert all(refuses(first) for _ in range(5)), "and no new session makes it the writer again"
    assert second.writer.elect()
    second.writer.start()
    second.check_log(1)


@pytest.mark.parametrize("others", [0, 2])
def test_a_session_that_an_operation_finds_lost_is_not_replaced(
    first: World, second: World, others: int
) -> None:
    """SQLAlchemy would open another one, which does not hold the lock."""
    ended: list[bool] = []

    def operation(tx: Any) -> None:
        if not ended:
            ended.append(True)
            end_sessions(first)
        tx.connection.execute(text("SELECT 1"))

    outcomes = together(first, [*[first.key_operation() for _ in range(others)], operation])
    assert {one.reason for one in outcomes} == {Reason.UNAVAILABLE}
    assert all(refuses(first) for _ in range(3))
    assert second.writer.elect()
    second.writer.start()
    second.check_log(1)


@pytest.mark.parametrize("step", ["begin", "appended", "before_commit"])
def test_a_full_disk_of_the_server_fails_the_batch_and_no_more(
    first: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(name: str) -> None:
        if name == f"consent.writer.{step}":
            raise psycopg.errors.DiskFull("could not extend file")

    monkeypatch.setattr(failpoints, "hit", full)
    with pytest.raises(SafehandError) as refused:
        first.submit(first.key_operation())
    assert refused.value.reason is Reason.UNAVAILABLE
    monkeypatch.undo()
    first.keys = 1
    first.append_keys(2)
    first.check_log(3)


@pytest.mark.parametrize("at_once", [1, 3])
def test_an_operation_that_meets_a_full_disk_says_that_it_may_be_tried_again(
    first: World, at_once: int
) -> None:
    """PostgreSQL refuses the statement itself, long before the commit."""

    def operation(_: Any) -> int:
        raise OperationalError("INSERT", {}, psycopg.errors.DiskFull("could not extend file"))

    def tried(_: int) -> Reason:
        with pytest.raises(SafehandError) as refused:
            first.writer.submit(operation)
        return refused.value.reason

    with ThreadPoolExecutor(at_once) as pool:
        assert set(pool.map(tried, range(at_once))) == {Reason.UNAVAILABLE}
    first.append_keys(2)
    first.check_log(3)


class Time:
    """A monotonic clock that tests move, and that waiting moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waited: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        if timeout <= ANCHOR_DELAY_S:
            return threading.Event().wait(0.01)  # the anchor's own thread
        self.waited.append(timeout)
        self.now += timeout
        return False


def taken_over(first: World, second: World, monkeypatch: pytest.MonkeyPatch) -> Time:
    first.writer.close()
    time = Time()
    second.writer = second.new_writer(monotonic=time.monotonic)
    second.writer.start()
    second.grants = 1
    monkeypatch.setattr(second.writer._closing, "wait", time.wait)
    return time


def test_the_first_stop_waits_until_no_release_of_the_one_before_is_on_its_way(
    first: World, second: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = taken_over(first, second, monkeypatch)
    script = second.grant()
    assert time.waited == [], "only stops wait"
    time.now += 0.25
    script.append(Kind.STOP)
    assert time.waited == [TAKEOVER_S - 0.25]
    script.append(Kind.RESUME)
    script.append(Kind.STOP)
    assert time.waited == [TAKEOVER_S - 0.25], "once"
    second.writer._closing.set()
    monkeypatch.undo()


def test_what_a_commit_released_leaves_in_time_or_not_at_all(
    first: World, second: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = taken_over(first, second, monkeypatch)
    committed = second.submit(second.key_operation())
    time.now += HOLD_S - 0.01
    second.writer.require_leaving_in_time(committed)
    assert second.writer.leaves_by(committed) == committed.commit_began + HOLD_S
    time.now += 0.01
    with pytest.raises(SafehandError) as refused:
        second.writer.require_leaving_in_time(committed)
    assert refused.value.reason is Reason.UNAVAILABLE
    assert HOLD_S < TAKEOVER_S
    monkeypatch.undo()


def test_on_a_file_the_lock_ends_with_the_process_and_nobody_waits(tmp_path: Path) -> None:
    world = World(tmp_path, engine="sqlite").start()
    committed = world.submit(world.key_operation())
    world.writer.require_leaving_in_time(
        type(committed)(committed.value, committed.receipts, committed.head, -1e9)
    )
    assert world.writer._takeover_s == 0
    world.close()


def test_a_writer_without_a_pause_is_checked_as_often_as_an_idle_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, engine="sqlite")
    time = Time()
    world.writer = world.new_writer(monotonic=time.monotonic)
    elected, checked = world.writer._election, []
    elected.check_every_s = 1000.0  # longer than this test: the writer never idles
    monkeypatch.setattr(elected, "check", lambda: checked.append(time.now))
    world.writer.start()
    begun = time.now
    for later in (0, 600, 399, 1, 999, 1):
        time.now += later
        world.append_keys(1)
    assert checked == [begun + 1000, begun + 2000]

    def lost() -> None:
        raise LostError

    monkeypatch.setattr(elected, "check", lost)
    time.now += 1000
    assert refuses(world), "before its transaction, not at the next pause"
    world.keys -= 1
    world.check_log(6)
    world.close()


def test_a_writer_that_wakes_up_late_does_not_put_the_anchor_back(
    first: World, second: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows an older head and which half of the file was older then."""
    first.writer.close()
    frozen = first.writer = first.new_writer()
    frozen._election.check_every_s = None
    monkeypatch.setattr(module, "ANCHOR_DELAY_S", 3600.0)
    frozen.start()
    first.append_keys(3)
    assert frozen.anchored_size < frozen.head.size, "its anchor's thread has still to write it"
    end_sessions(first)
    eventually(second.writer.elect, "the lock ended with the session")
    second.writer.start()
    for _ in range(2):  # so that each half of the file was written once
        second.grant().append(Kind.STOP)
        answered = second.writer.head.size
        frozen._write_anchor()
        seen = anchor.read(first.anchor, first.signer.verifier)
        assert seen is not None
        assert seen.size == answered
    monkeypatch.undo()


def test_a_writer_that_is_frozen_loses_its_session(
    first: World, second: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection stays and its kernel answers: only the server can tell, by its silence."""
    first.writer.close()
    monkeypatch.setattr(election, "FROZEN_MS", 500)
    first.writer = first.new_writer()
    first.writer._election.check_every_s = None  # it never asks by itself
    first.writer.start()
    eventually(second.writer.elect, "the server ended the silent session")
    second.writer.start()
    second.keys = 1
    assert refuses(first)
    second.append_keys(1)
    second.check_log(2)


def test_a_writer_that_idles_keeps_its_session(first: World, second: World) -> None:
    """Its looks are far more frequent than the silence that the server allows."""
    assert CHECK_EVERY_S * 5 < FROZEN_MS / 1000
    assert first.writer._election.held()
    assert not second.writer.elect()


def test_who_asks_past_a_session_learns_that_it_ended(first: World) -> None:
    first.writer._election.check_every_s = None
    elected = first.writer._election
    assert elected.held()
    end_sessions(first)
    assert not elected.held()

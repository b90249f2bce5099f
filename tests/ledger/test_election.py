"""One writer at a time, also on PostgreSQL: who is not elected, who is fenced, who waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from safehand_core import failpoints
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_formats.note import NoteSigner
from safehand_ledger.election import CHECK_EVERY_S, HOLD_S, TAKEOVER_S
from safehand_ledger.writer import ANCHOR_DELAY_S

from tests.harness import database
from tests.harness.postgres import APP
from tests.harness.world import eventually
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

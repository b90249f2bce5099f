"""What happens when a step of the writer fails: cleanly, or so that nobody knows."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safehand_core import failpoints
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_ledger.writer import FATAL_EXIT
from safehand_store.engine import begin_write, driver, is_postgres

from tests.ledger.world import World

BEFORE_COMMIT = ["begin", "appended", "before_commit"]
STEPS = [*BEFORE_COMMIT, "committed", "anchored"]


def fail_at(monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException) -> None:
    def hit(name: str) -> None:
        if name == f"consent.writer.{step}":
            raise error

    monkeypatch.setattr(failpoints, "hit", hit)


@pytest.mark.parametrize("step", BEFORE_COMMIT)
def test_a_clean_failure_changes_nothing_and_the_writer_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    world.append_keys(5)
    fail_at(monkeypatch, step, sqlite3.OperationalError("disk I/O error"))
    head = world.writer.head
    with pytest.raises(SafehandError) as refused:
        world.submit(world.key_operation())
    assert refused.value.reason is Reason.UNAVAILABLE
    assert world.writer.head == head
    monkeypatch.undo()
    world.keys = 5
    world.check_log(5)
    world.append_keys(4)
    world.check_log(9)
    world.reload()
    world.check_log(9)


@pytest.mark.parametrize("step", STEPS)
def test_an_unforeseen_failure_is_fatal_and_acknowledges_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    script = world.grant()
    fail_at(monkeypatch, step, RuntimeError("a mistake of ours"))
    with pytest.raises(SafehandError) as refused:
        script.append(Kind.STOP)
    assert refused.value.reason is Reason.UNAVAILABLE
    with pytest.raises(SafehandError):
        world.append_keys(1)
    monkeypatch.undo()
    world.keys = 0
    world.reload()
    world.check_log(1 if step in BEFORE_COMMIT else 2)
    world.append_keys(2)
    world.check_log()


@pytest.mark.parametrize("persisted", [False, True])
def test_a_commit_of_unknown_outcome_ends_the_writer(
    world: World, monkeypatch: pytest.MonkeyPatch, persisted: bool
) -> None:
    world.append_keys(5)
    real: Callable[[Any], None] = world.engine.dialect.do_commit

    def unknown(connection: object) -> None:
        if persisted:
            real(connection)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(world.engine.dialect, "do_commit", unknown)
    head = world.writer.head
    with pytest.raises(SafehandError) as refused:
        world.submit(world.key_operation())
    assert refused.value.reason is Reason.UNAVAILABLE
    assert world.writer.head == head, "memory did not move"
    with pytest.raises(SafehandError):
        world.append_keys(1)
    monkeypatch.undo()
    world.keys = 5 + persisted
    world.reload()
    world.check_log(5 + persisted)
    world.append_keys(3)
    world.check_log(8 + persisted)


def test_a_second_writer_that_moved_the_head_is_fatal(world: World) -> None:
    world.append_keys(2)
    world.store.execute("UPDATE ledger_head SET size = 9")
    with pytest.raises(SafehandError):
        world.append_keys(1)
    with pytest.raises(SafehandError):
        world.append_keys(1)
    world.writer.close()
    world.store.execute("UPDATE ledger_head SET size = 2")
    world.keys = 2
    world.start()
    world.check_log(2)


def test_a_locked_database_is_a_clean_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.append_keys(1)
    short = "SET lock_timeout = 50" if is_postgres(world.engine) else "PRAGMA busy_timeout = 50"
    driver(world.writer._connection).execute(short)
    with begin_write(world.engine), pytest.raises(SafehandError) as refused:
        world.submit(world.key_operation())
    assert refused.value.reason is Reason.UNAVAILABLE
    world.append_keys(1)
    world.check_log(2)


def test_a_database_that_ends_the_transaction_itself_fails_the_batch_cleanly(
    world: World,
) -> None:
    world.append_keys(2)

    def ruin(tx: object) -> None:
        driver(world.writer._connection).execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises((SafehandError, sqlite3.OperationalError)):
        world.submit(ruin)
    world.append_keys(1)
    world.check_log(3)


CHILD = """
import sys
from pathlib import Path
from safehand_core import failpoints
from safehand_formats.kinds import Kind
from safehand_ledger.writer import exit_process
from tests.ledger.world import World
folder, arm = Path(sys.argv[1]), sys.argv[2]
world = World(folder, fatal=exit_process, engine="sqlite").start()
failpoints.arm(arm)
for number in range(40):
    script = world.grant()
    print(world.receipts[-1].index, flush=True)
    committed = script.append(Kind.STOP)
    print(committed.value, flush=True)
"""


def run_child(folder: Path, arm: str, code: str = CHILD) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(
        [sys.executable, "-c", code, str(folder), arm],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((*sys.path, str(root)))},
    )


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_loses_nothing_that_was_answered(tmp_path: Path, step: str) -> None:
    child = run_child(tmp_path, f"consent.writer.{step}=kill@7")
    assert child.returncode == -signal.SIGKILL, child.stderr
    answered = [int(line) for line in child.stdout.split()]
    assert answered == list(range(len(answered)))
    assert answered, "something was answered before the kill"
    world = World(tmp_path, engine="sqlite").start()
    world.grants = 40
    world.check_log()
    assert world.writer.head.size in (len(answered), len(answered) + 1)
    world.append_keys(2)
    world.check_log()
    world.close()


def test_the_default_end_of_a_fatal_writer_is_its_own_exit_status(tmp_path: Path) -> None:
    code = CHILD.replace(
        "failpoints.arm(arm)",
        "world.engine.dialect.do_commit = None",
    )
    child = run_child(tmp_path, "", code)
    assert child.returncode == FATAL_EXIT
    assert child.stdout == ""
    assert "the ledger writer stopped" in child.stderr


def test_a_fatal_writer_ends_its_process_also_where_its_log_cannot_be_written(
    tmp_path: Path,
) -> None:
    """Else it would live on, answer nothing, and never be started again."""
    code = CHILD.replace(
        "failpoints.arm(arm)",
        "world.engine.dialect.do_commit = None; sys.stderr = open('/dev/full', 'w')",
    )
    child = run_child(tmp_path, "", code)
    assert child.returncode == FATAL_EXIT
    assert child.stdout == ""
    assert child.stderr == ""

"""The roll of the release KEK: when it is due, and how it goes on behind every stop.

PROTOCOL step 15, in steps of which each may be the last before a crash:

1. the new KEK is on disk, fsynced;
2. one short transaction makes its epoch current: from here on new keys are wrapped under it;
3. the live keys of older epochs are wrapped again, in batches with the epoch in every row. Each is
   an operation of its own in the writer's queue, so that a stop waits for one batch at most;
4. when no row is left under it, an older KEK is unlinked.

One transaction for all keys would keep every stop waiting for seconds (docs/decisions/0028). A
roll that was cut off goes on at the next start, from the rows themselves.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

from safehand_core import failpoints, logs
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_consent_service.category_keys import BEFORE_ALL, Place
from safehand_consent_service.context import Context

PROMISE_S: Final = 24 * 3600
"""Seconds after a final stop in which the KEK that wrapped its keys is destroyed (DESIGN 3.4)."""
ROLL_AFTER_S: Final = 20 * 3600
"""Age of a KEK in seconds at which it is replaced. What is left of a day is for the roll itself,
and for an hour or two in which consent does not run."""
BATCH: Final = 500
"""Keys of one transaction: a few milliseconds of the writer's time."""
PAUSE_S: Final = 0.005
"""Seconds between batches: other threads of this process get to run."""
ROLL_WAIT_S: Final = 5.0
"""Seconds that a roll waits for one that is under way."""


@dataclass(frozen=True, slots=True)
class Rolled:
    """The new epoch, and how many live keys were wrapped again."""

    epoch: int
    rewrapped: int


def roll(
    context: Context, *, housekeeping: bool = False, stopping: threading.Event | None = None
) -> Rolled:
    """Replace the KEK; returns when the old one is destroyed.

    A failure before the epoch began leaves the old one in force; the unused file goes with the
    next roll. Raises STATE_CONFLICT (another roll, or ``stopping`` was set: the next start goes
    on), and what the writer raises.
    """
    ring = context.keks
    with ring.one_roll(ROLL_WAIT_S):
        fresh = ring.new_kek()
        failpoints.hit("consent.keys.new_kek")
        context.writer.submit(
            lambda txn: ring.begin_epoch(txn.connection, fresh, txn.now),
            housekeeping=housekeeping,
        )
        failpoints.hit("consent.keys.begun")
        return Rolled(fresh, _rewrap_and_destroy(context, stopping, unknown=True))


def finish(context: Context, stopping: threading.Event | None = None) -> int:
    """Go on with a roll that was cut off; returns how many keys were wrapped again.

    Raises STATE_CONFLICT where ``stopping`` was set before it was done.
    """
    ring = context.keks
    if not ring.unfinished():
        return 0
    with ring.one_roll(ROLL_WAIT_S):
        return _rewrap_and_destroy(context, stopping, unknown=False)


def age_s(context: Context) -> int:
    """Seconds since the current epoch began, by the ledger's time."""
    return max(0, context.now - context.keks.made_at())


def oldest_age_s(context: Context) -> int:
    """As ``age_s``, of the oldest KEK that still is on the disk: it opens every old copy."""
    return max(0, context.now - context.keks.oldest_made_at())


def _rewrap_and_destroy(
    context: Context, stopping: threading.Event | None, *, unknown: bool
) -> int:
    """Wrap again what an older KEK wraps, then destroy that KEK; returns how many rows it was."""
    ring, count = context.keks, 0
    pause = stopping or threading.Event()
    lost: set[Place] = set()
    after = BEFORE_ALL
    while (batch := ring.rewrap_some(BATCH, after)) is not None:
        if pause.is_set():
            raise SafehandError(Reason.STATE_CONFLICT, "the roll goes on at the next start")
        made = batch
        done = context.writer.submit(
            lambda txn, made=made: ring.put_rewrapped(txn.connection, made),  # type: ignore[misc]
            housekeeping=True,
        )
        count += done.value
        lost |= batch.lost
        after = batch.last
        failpoints.hit("consent.keys.some_rewrapped")
        pause.wait(PAUSE_S)
    failpoints.hit("consent.keys.rewrapped")
    if lost:
        logs.get().error("keys.rows_lost", count=len(lost))
    ring.destroy_unused(unknown=unknown, lost=lost)
    return count


class RollDue:
    """Whether the KEK is due, asked again and again by one thread.

    Three readings, because each alone can stand still: the ledger's time; this process's
    monotonic clock, which runs on while a wall clock that was set back keeps the ledger's time
    where it is; and a clock that is suspect at the start, when nobody knows how long the ledger
    was off. A roll loses nothing that is live, so one too many costs little, and one too late
    breaks the promise: a suspect clock never holds a roll back.
    """

    def __init__(self, context: Context, *, after_s: int = ROLL_AFTER_S) -> None:
        self._context = context
        self._after_s = after_s
        self._since = context.clock.monotonic()
        self._at_start: bool | None = None

    def ask(self) -> bool:
        """True where a roll is due now."""
        if self._at_start is None:
            self._at_start = self._context.writer.clock_suspect
        running = self._context.clock.monotonic() - self._since
        age = age_s(self._context)
        overdue = max(oldest_age_s(self._context), running)
        if overdue >= PROMISE_S:
            logs.get().error("keys.roll_overdue", lag=int(overdue))
        return self._at_start or max(age, running) >= self._after_s

    def rolled(self) -> None:
        """A roll was finished just now."""
        self._since = self._context.clock.monotonic()
        self._at_start = False


def roll_if_due(context: Context, due: RollDue, stopping: threading.Event | None = None) -> bool:
    """Finish a roll that was cut off, and roll where it is due; says whether one was made."""
    # Asked first: what finishing meets must not keep an overdue roll from being told.
    is_due = due.ask()
    left = finish(context, stopping)
    if left:
        logs.get().info("keys.roll_finished", count=left)
    if not is_due:
        return False
    done = roll(context, housekeeping=True, stopping=stopping)
    due.rolled()
    logs.get().info("keys.rolled", epoch=done.epoch, count=done.rewrapped)
    return True

"""The one writer: whatever queued while the last commit ran becomes the next transaction.

Leaves, subtrees and the signed head are written together, so there is nothing to reconcile after
a crash. State in memory moves only after COMMIT returned; a COMMIT whose outcome is unknown ends
the process, because signing two roots for one size cannot be taken back.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Generic, NoReturn, TypeVar

from safehand_core import failpoints, trace
from safehand_core.clock import Clock, elapsing
from safehand_core.entropy import Entropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.checkpoint import Checkpoint
from safehand_formats.merkle import Frontier
from safehand_formats.note import NoteSigner
from safehand_store.engine import begin_read, changes, database_errors, driver, lost, usable
from sqlalchemy import Connection, Engine, RootTransaction
from sqlalchemy.exc import SQLAlchemyError

from safehand_ledger import receipt, rows, startup
from safehand_ledger.anchor import AnchorFile
from safehand_ledger.clockguard import ClockGuard
from safehand_ledger.election import HOLD_S, election
from safehand_ledger.job import Job, RefusedError, View, finish
from safehand_ledger.lanes import MAX_WAITING, Lanes
from safehand_ledger.observer import Observer
from safehand_ledger.receipt import Receipt
from safehand_ledger.stored import Head
from safehand_ledger.transaction import Pending, WriterTransaction
from safehand_ledger.watch import Watch

START_DELAY_S: Final = 3.0
"""Seconds after a start in which stops go alone, so that none waits behind a rush of others."""
MAX_BATCH: Final = 1024
"""Operations of one transaction: bounds how long the first of them waits."""
ANCHOR_DELAY_S: Final = 0.5
"""Seconds that the anchor may lie behind a commit without a stop, plus one write: below 1."""
CAREFUL_FOR: Final = 64
"""Transactions for which each operation has a savepoint, after one had to be undone alone: so
whoever provokes that costs the others one transaction in so many, done twice."""
FATAL_EXIT: Final = 70
"""Exit status of a process whose ledger must be loaded again (EX_SOFTWARE)."""
TELL_S: Final = 1.0
"""Seconds for saying so."""

T = TypeVar("T")


def exit_process(why: str) -> NoReturn:
    """Say why on standard error and end the process at once; nothing more is answered."""
    text = f"safehand: the ledger writer stopped: {why}"
    try:
        told = threading.Thread(
            target=print, args=(text,), kwargs={"file": sys.stderr, "flush": True}, daemon=True
        )
        told.start()
        told.join(TELL_S)
    finally:
        # Also where nobody can be told (a full disk, a pipe that is closed, or full and read by
        # nobody): nobody replaces a dead writer in a living process.
        os._exit(FATAL_EXIT)


@dataclass(frozen=True, slots=True)
class Committed(Generic[T]):
    """``value`` is what the operation returned; ``receipts`` holds each entry that it appended or
    cited, by index, proven under the head that its transaction left. ``commit_began`` is a time of
    the writer's monotonic clock (``clock.elapsing``): it was the only one then."""

    value: T
    receipts: dict[int, Receipt]
    head: Head
    commit_began: float


class LedgerWriter:
    """The ledger's only writer. Its tables exist already (the service's migrations).

    ``anchor`` is a file outside the database's directory. ``fatal`` must not return.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        signer: NoteSigner,
        clock: Clock,
        entropy: Entropy,
        anchor: Path,
        start_delay_s: float = START_DELAY_S,
        max_batch: int = MAX_BATCH,
        max_waiting: int = MAX_WAITING,
        fatal: Callable[[str], NoReturn] = exit_process,
        require_standby: bool = False,
        monotonic: Callable[[], float] = elapsing,
        observer: Observer | None = None,
    ) -> None:
        self._engine = engine
        self._signer = signer
        self._clock = clock
        self._entropy = entropy
        self._anchor_path = anchor
        self._start_delay_s = start_delay_s
        self._max_batch = max_batch
        self._fatal = fatal
        self._lanes: Lanes[Job] = Lanes(max_waiting)
        self._closing = threading.Event()
        self._anchor_due = threading.Event()
        self._threads: list[threading.Thread] = []
        self._election = election(engine, signer.name, require_standby=require_standby)
        self._monotonic = monotonic
        self._observer = observer or Observer()
        self._watch = Watch(self._election.held, self._give_up, monotonic)
        self._elected_at: float | None = None
        self._checked_at = 0.0
        self._dead = False
        self._careful = 0

    # --- life ---------------------------------------------------------------------------------

    def elect(self) -> bool:
        """Become the ledger's writer if nobody else is; says whether. ``start`` comes after.

        Raises CONFIG_INVALID where the database may lose what it committed, UNAVAILABLE.
        """
        if self._elected_at is None and self._election.elect():
            self._elected_at = self._checked_at = self._monotonic()
        return self._elected_at is not None

    def start(self) -> None:
        """Check what is stored against itself, the key and the anchor, then take operations.

        Raises LEDGER_ROLLED_BACK, LEDGER_CORRUPT, or CONFIG_INVALID (a second writer).
        """
        if not self.elect():
            raise SafehandError(Reason.CONFIG_INVALID, "another process writes this ledger")
        try:
            loaded = startup.load(self._engine, self._signer, self._clock.wall(), self._anchor_path)
            self._anchor = AnchorFile(self._anchor_path, self._signer.verifier)
        except BaseException:
            self._resign()
            raise
        self._head: Head = loaded.head
        self._frontier: Frontier = loaded.frontier
        fresh = self._head.size == 0
        self._guard = ClockGuard(self._clock, self._head.ledger_time, fresh=fresh)
        delay = 0.0 if fresh else self._start_delay_s
        self._open_at = self._clock.monotonic() + delay
        # A stop that is answered meanwhile would be answered before the last release of the
        # process that wrote before this one. On an empty ledger there was none.
        self._takeover_s = 0.0 if fresh else self._election.takeover_s
        for target, name in ((self._run, "ledger-writer"), (self._follow, "ledger-anchor")):
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        if self._election.check_every_s is not None:
            self._watch.start()

    def close(self) -> None:
        """Finish what is queued, write the anchor, let go of the database. Idempotent."""
        self._lanes.close()
        self._closing.set()
        self._anchor_due.set()
        for thread in self._threads:
            thread.join()
        self._watch.stop()
        if self._threads:
            self._threads.clear()
            self._anchor.close()
        self._resign()

    def __enter__(self) -> LedgerWriter:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _connection(self) -> Connection:
        # The writer's own for its whole life: no pool traffic on the hot path.
        return self._election.connection

    # --- what callers ask ---------------------------------------------------------------------

    @property
    def head(self) -> Head:
        """The newest committed head."""
        return self._head

    @property
    def anchored_size(self) -> int:
        """Leaves under the head that is in the anchor file."""
        return self._anchor.size

    @property
    def waiting(self) -> tuple[int, int]:
        """How many stops, and how many other operations, wait for the next transaction."""
        return self._lanes.waiting()

    @property
    def now(self) -> int:
        """``ledger_now`` outside a transaction, seconds since the epoch."""
        return self._guard.now()

    @property
    def clock_suspect(self) -> bool:
        """While true: no release and no deletion that the clock alone would cause."""
        return self._guard.suspect

    def confirm_clock(self) -> None:
        """An operator checked the wall clock: believe it again."""
        self._guard.confirm()

    def starting_for(self) -> float:
        """Seconds until others than stops are taken; 0 when they are."""
        return max(0.0, self._open_at - self._clock.monotonic())

    def submit(
        self,
        operation: Callable[[WriterTransaction], T],
        *,
        stop: bool = False,
        housekeeping: bool = False,
    ) -> Committed[T]:
        """Run ``operation`` in the writer's next transaction; returns when it is durable.

        An operation that raises has changed nothing, and the error is raised here; the others of
        its transaction are not touched. ``stop`` puts it first and returns only when the anchor
        holds it. ``housekeeping`` (the service's own sweeps) is not held back after a start.

        Raises LEDGER_STARTING, OVERLOADED, UNAVAILABLE.
        """
        if not stop and not housekeeping and (wait := self.starting_for()) > 0:
            raise SafehandError(Reason.LEDGER_STARTING, retry_after_s=wait)
        with self._observer.submitting(stop=stop):
            # The writer's thread works for the trace of whoever submitted.
            job = Job(trace.carried(operation), stop=stop)
            self._lanes.put(job, stop=stop)
            job.wait()
        if stop and self._takeover_s:
            self._outwait_predecessor()
        if job.error is not None:
            with usable():  # a statement of it may have met a full disk
                raise job.error
        return self._committed(job)

    def leaves_by(self, committed: Committed[Any]) -> float | None:
        """Until when what ``committed`` released may be on its way out, by ``clock.elapsing``.

        From then on another process may be the writer and have answered a stop. None: no other
        process can be while this one lives.
        """
        return committed.commit_began + HOLD_S if self._election.takeover_s else None

    def require_leaving_in_time(self, committed: Committed[Any]) -> None:
        """Raise UNAVAILABLE when what ``committed`` released must not be answered any more."""
        until = self.leaves_by(committed)
        if until is not None and self._monotonic() >= until:
            raise SafehandError(Reason.UNAVAILABLE, "the answer would leave too late")

    def _outwait_predecessor(self) -> None:
        assert self._elected_at is not None  # noqa: S101  started
        while (left := self._elected_at + self._takeover_s - self._monotonic()) > 0:
            if self._closing.wait(left):
                raise SafehandError(Reason.UNAVAILABLE, "the ledger is closing")
        self._takeover_s = 0.0

    def _committed(self, job: Job) -> Committed[Any]:
        view, transaction = job.view, job.transaction
        if view is None or transaction is None:
            raise SafehandError(Reason.INTERNAL, "an operation ended without an outcome")
        receipts = {index: view.receipt(index) for index in transaction.appended}
        older = [index for index in transaction.cited if index not in receipts]
        if older:
            head = view.head
            with begin_read(self._engine) as connection:
                for index in older:
                    receipts[index] = receipt.from_stored(connection, index, head.size, head.note)
        return Committed(job.value, receipts, view.head, view.commit_began)

    # --- the writer's thread ------------------------------------------------------------------

    def _run(self) -> None:
        batch: list[Job] = []
        try:
            while True:
                taken = self._lanes.take(self._max_batch, self._election.check_every_s)
                if taken is not None and not taken:
                    return
                batch = taken or []
                self._watch.asked()
                self._check(idle=taken is None)
                if batch:
                    self._transact(batch)
                    batch = []
                self._watch.answered()
        except BaseException:
            # Whatever it was, memory and disk may disagree now. Nothing is acknowledged.
            self._watch.answered()
            self._give_up("memory and disk may disagree")
            unknown = SafehandError(Reason.UNAVAILABLE, "the outcome is not known")
            # Only a test's stand-in for the end of the process gets here.
            if not self._connection.invalidated:
                self._connection.invalidate()
            while batch:
                finish(batch, error=unknown)
                batch = self._lanes.take(self._max_batch) or []

    def _give_up(self, why: str) -> None:
        """End the process, from whichever thread; nothing more is taken, answered or anchored."""
        self._dead = True
        self._lanes.close()
        with suppress(BaseException):
            self._fatal(why)

    def _check(self, *, idle: bool) -> None:
        """As often as the election asks for, also while there is no pause between operations."""
        every = self._election.check_every_s
        now = self._monotonic()
        if every is not None and (idle or now - self._checked_at >= every):
            self._election.check()
            self._checked_at = now

    def _transact(self, batch: list[Job]) -> None:
        """One transaction: 1 run the operations, 2 write, 3 commit, 4 remember, 5 answer."""
        begun = self._monotonic()
        frontier = self._frontier.copy()
        try:
            failpoints.hit("consent.writer.begin")
            transaction = self._begin()
            now = self._guard.now()
            operated = self._operate(batch, now)
            if operated is None:
                transaction.rollback()
                transaction = self._begin()
                operated = self._operate_carefully(batch, now)
            pending, done = operated
            if not done:
                transaction.rollback()
                finish(batch)
                return
            view = self._write(pending, frontier, now)
            failpoints.hit("consent.writer.before_commit")
        except database_errors(SafehandError) as error:
            # Clean: nothing is committed and memory has not moved.
            self._abandon()
            refusal = SafehandError(Reason.UNAVAILABLE, "the ledger could not be written")
            refusal.__cause__ = error
            finish(batch, error=refusal)
            return
        view = replace(view, commit_began=self._monotonic())
        transaction.commit()  # an error here is an unknown outcome: _run makes it fatal
        self._election.committed()
        self._frontier, self._head = frontier, view.head
        failpoints.hit("consent.writer.committed")
        for job in done:
            job.view = view
        self._secure(done, view.head)
        self._observer.committed(len(done), self._monotonic() - begun)
        finish(batch)

    def _begin(self) -> RootTransaction:
        """Begin a transaction in the session that was elected, or raise: in place of one that is
        lost SQLAlchemy would open another, which holds no lock."""
        if lost(self._connection):
            self._election.recover()
        return self._connection.begin()

    def _operate(self, batch: list[Job], now: int) -> tuple[Pending, list[Job]] | None:
        """Run the operations of ``batch`` without a way to undo one of them by itself.

        That takes a savepoint, two statements of its own, and nearly all operations succeed or are
        refused before they change anything. Returns what they put together and which succeeded, or
        None where one must be undone and others stay.
        """
        if self._careful and len(batch) > 1:
            self._careful -= 1
            return None
        pending, done = Pending(self._head.size, len(batch)), []
        raw = driver(self._connection)
        for job in batch:
            before = changes(raw)
            if self._attempt(job, pending, now, write=len(batch) == 1):
                done.append(job)
            elif len(batch) > 1 and not (
                isinstance(job.error, SafehandError)
                and before is not None
                and changes(raw) == before
            ):
                self._careful = CAREFUL_FOR
                return None
        try:
            pending.later.write(self._connection)
        except Exception:
            # Whose row it is shows when each operation writes its own.
            self._careful = CAREFUL_FOR
            return None
        return pending, done

    def _operate_carefully(self, batch: list[Job], now: int) -> tuple[Pending, list[Job]]:
        """As ``_operate``, each operation behind a savepoint, with what it put off."""
        pending, done = Pending(self._head.size, len(batch)), []
        raw = driver(self._connection)
        for job in batch:
            with suppress(RefusedError), rows.savepoint(raw):
                if not self._attempt(job, pending, now, write=True):
                    raise RefusedError
                done.append(job)
        return pending, done

    def _attempt(self, job: Job, pending: Pending, now: int, *, write: bool = False) -> bool:
        """Run one operation, and with ``write`` all that was put off.

        A refusal leaves none of its entries and nothing that it put off; its changes of the
        database are the caller's to undo.
        """
        entries, mark = len(pending.entries), pending.later.mark()
        transaction = WriterTransaction(self._connection, now, pending, self._entropy)
        job.error = None
        try:
            job.value = job.operation(transaction)
            if write:
                pending.later.write(self._connection)
        except Exception as error:
            job.error = error
            del pending.entries[entries:]
            pending.later.undo(mark)
            return False
        job.transaction = transaction
        return True

    def _write(self, pending: Pending, frontier: Frontier, now: int) -> View:
        """Leaves, openings, subtrees and the signed head. ``frontier`` moves to the new edge."""
        old = self._head
        ledger_time = max(old.ledger_time, now)
        if not pending.entries:
            if ledger_time == old.ledger_time:
                return View(old)
            head = Head(old.size, old.root, old.note, ledger_time)
            rows.swap_head(self._connection, old, head)
            return View(head)
        nodes = {(level, index): value for level, index, value in frontier.nodes()}
        completed: list[tuple[int, int, bytes]] = []
        for entry in pending.entries:
            completed += frontier.append(entry.leaf_hash)
        nodes.update(((level, index), value) for level, index, value in completed)
        rows.insert_entries(self._connection, pending.entries, completed)
        failpoints.hit("consent.writer.appended")
        root = frontier.root()
        note = Checkpoint(self._signer.name, frontier.size, root).sign(self._signer)
        head = Head(frontier.size, root, note, ledger_time)
        rows.swap_head(self._connection, old, head)
        return View(head, nodes, old.size, pending.entries)

    def _abandon(self) -> None:
        """Roll back; if even that fails, the connection goes, and the transaction with it.

        Where the lock goes with the connection this process is not the writer any more: fatal.
        """
        if lost(self._connection):
            self._election.recover()
        try:
            if self._connection.in_transaction():
                self._connection.get_transaction().rollback()  # type: ignore[union-attr]
        except SQLAlchemyError:
            self._election.recover()

    # --- the anchor ---------------------------------------------------------------------------

    def _secure(self, done: list[Job], head: Head) -> None:
        """Before a stop is answered its head is in the anchor file; others do not wait."""
        if not any(job.stop for job in done):
            if head.size > self._anchor.size:
                self._anchor_due.set()
            return
        try:
            self._anchor.write(head.size, head.note)
        except OSError as error:
            # The stop is committed and in force; only its anchor is missing. A repeat finds it.
            for job in done:
                if job.stop:
                    job.error = SafehandError(Reason.UNAVAILABLE, "the anchor is not written")
                    job.error.__cause__ = error
            self._anchor_due.set()
            return
        failpoints.hit("consent.writer.anchored")

    def _follow(self) -> None:
        """The lazy anchor: at most a second behind every commit, and once more at the end."""
        while not self._closing.is_set():
            self._anchor_due.wait()
            self._anchor_due.clear()
            self._closing.wait(ANCHOR_DELAY_S)
            self._write_anchor()
        self._threads[0].join()
        self._write_anchor()

    def _write_anchor(self) -> None:
        if self._dead:
            return
        head = self._head
        try:
            self._anchor.write(head.size, head.note)
        except OSError:
            self._anchor_due.set()

    def _resign(self) -> None:
        self._elected_at = None
        self._election.resign()

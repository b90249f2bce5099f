"""What time alone does: consents expire, stops become final, what is over is forgotten.

Bookkeeping behind the writer's own rule: a release is refused by ``ledger_now``, swept or not.
Small batches, each an operation of its own, so that a stop never waits behind more than one.
While the clock is suspect nothing is deleted because of it.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from safehand_core import logs
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_ledger.transaction import WriterTransaction
from safehand_store import idempotency
from safehand_store.engine import begin_read
from sqlalchemy import Connection, Select, or_, select

from safehand_consent_service import (
    asks,
    drafts,
    grant_state,
    guardian_sessions,
    sessions,
    stop_notes,
    throttle,
    worker_numbers,
)
from safehand_consent_service.context import Context
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.tables import ACTIVE, STOPPED
from safehand_consent_service.tables import grant as consent_grant

BATCH: Final = 50
"""Grants of one operation: a few milliseconds of the writer's time."""
EVERY_S: Final = 5.0
"""Seconds between sweeps. Only the deletion of keys waits for it, refusals do not."""


FORGET_EVERY_S: Final = 300.0
"""Seconds between removals of old sessions, tries and request ids, which harm nobody meanwhile.
The transaction also stores the ledger's time, so that a start after a quiet week is no surprise."""


def sweep(context: Context) -> int:
    """End every grant that is due; returns how many ended."""
    total = 0
    while not context.writer.clock_suspect:
        with begin_read(context.engine) as connection:
            if not _due(connection, context.now):
                break
        ended = context.writer.submit(lambda txn: _end_some(txn, context), housekeeping=True).value
        if not ended:
            break
        total += ended
        context.wake()
    return total


def forget(context: Context) -> None:
    """Remove sessions and numbers that are over, tries that are earned back, request ids of last
    week, and what she chose yesterday and did not answer, with its key."""
    if not context.writer.clock_suspect:
        context.writer.submit(_forget, housekeeping=True)
        context.drafts.destroy_keys(context.now)


class Sweeper:
    """Sweeps in a thread of its own until it is stopped; a failed sweep is tried again."""

    def __init__(self, context: Context, every_s: float = EVERY_S) -> None:
        self._context = context
        self._every_s = every_s
        self._forgot_at = context.clock.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Return when no sweep is running any more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            try:
                self._once()
            except SafehandError as error:
                logs.get().warning("sweep.failed", reason=error.reason.value)
            except Exception as error:
                logs.get().error("sweep.failed", exception=type(error).__name__)

    def _once(self) -> None:
        ended = sweep(self._context)
        if ended:
            logs.get().info("sweep.done", count=ended)
        self._context.heard.write()
        now = self._context.clock.monotonic()
        if now - self._forgot_at >= FORGET_EVERY_S:
            self._forgot_at = now
            forget(self._context)


def _due_statement(now: int) -> Select[Any]:
    open_ = consent_grant.c.state.in_((ACTIVE, STOPPED))
    ends = (consent_grant.c.expires_at, consent_grant.c.confirm_by, consent_grant.c.cosign_by)
    expired = [open_ & (end <= now) for end in ends]
    final = (consent_grant.c.state == STOPPED) & (consent_grant.c.final_at <= now)
    return select(consent_grant).where(or_(*expired, final)).order_by(consent_grant.c.grant_index)


def _due(connection: Connection, now: int) -> bool:
    return connection.execute(_due_statement(now).limit(1)).first() is not None


def _end_some(txn: WriterTransaction, context: Context) -> int:
    if context.writer.clock_suspect:
        # Asked again: it may have become so since this was queued.
        raise SafehandError(Reason.CLOCK_SUSPECT)
    rows = txn.connection.execute(_due_statement(txn.now).limit(BATCH)).all()
    for row in rows:
        _end(txn, context, Grant._make(row))
    return len(rows)


def _end(txn: WriterTransaction, context: Context, row: Grant) -> None:
    kind = grant_state.due_end(row, txn.now)
    if kind is Kind.REVOKE:
        grant_state.revoke(txn, context.keks, row, grant_state.window_cause(row))
    elif kind is Kind.EXPIRE:
        grant_state.expire(txn, context.keks, row)


def _forget(txn: WriterTransaction) -> None:
    sessions.prune(txn.connection, txn.now)
    guardian_sessions.prune(txn.connection, txn.now)
    throttle.prune(txn.connection, txn.now)
    worker_numbers.prune(txn.connection, txn.now)
    stop_notes.prune(txn.connection, txn.now)
    drafts.prune(txn.connection, txn.now)  # before the questions that they belong to
    asks.prune(txn.connection, txn.now)
    idempotency.prune(txn.connection, now=txn.now)

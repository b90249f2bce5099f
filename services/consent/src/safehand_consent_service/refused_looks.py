"""Refused looks, for her page: rows, not leaves, so that nobody grows the ledger by being refused.

Best effort by design: a refusal is answered at once and its row follows in the background; a full
queue or a spent quota drops the row. What was granted is never recorded here.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from functools import partial
from typing import Final

from safehand_core import logs
from safehand_core.reasons import Reason
from safehand_ledger.transaction import WriterTransaction
from safehand_ledger.writer import LedgerWriter
from sqlalchemy import func, insert, select

from safehand_consent_service import tables

RECORDED: Final = frozenset(
    {
        Reason.SIGNATURE_INVALID,
        Reason.REFERRAL_CLOSED,
        Reason.NOT_ACCEPTED,
        Reason.WRAP_INVALID,
        Reason.CONSENT_ENDED,
        Reason.SCOPE_EXCEEDED,
        Reason.QUOTA_EXCEEDED,
    }
)
"""Refusals that say something about who tried. A busy or starting service says nothing."""
UNVERIFIED: Final = "unverified"
"""Stands for a worker_ref that nobody signed."""
WAITING: Final = 256
"""Rows that may wait for the writer; more are dropped."""
QUOTA: Final = 60
"""Rows kept for one agency and grant in one hour: enough to see a pattern, few enough to read."""
QUOTA_WINDOW_S: Final = 3600
_BATCH: Final = 64
"""Rows of one writer operation: stops never wait behind many."""


@dataclass(frozen=True, slots=True)
class RefusedLook:
    """``agency`` is the certificate's; ``worker_ref`` is signed, or ``UNVERIFIED``."""

    grant_id: str
    agency: str
    category: str
    worker_ref: str
    reason: Reason


class RefusedLooks:
    """A queue, and the thread that empties it between ``start`` and ``close``."""

    def __init__(self, writer: LedgerWriter) -> None:
        self._writer = writer
        self._queue: queue.Queue[RefusedLook | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="refused-looks", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what waits, then end. Before the writer closes."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def record(self, look: RefusedLook) -> None:
        """Take a row if it is one to keep and there is room. Never waits, never raises."""
        if look.reason in RECORDED:
            try:
                self._queue.put_nowait(look)
            except queue.Full:
                return

    def settle(self) -> None:
        """Return when everything recorded so far is written or dropped (for tests)."""
        self._queue.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            batch = [self._queue.get()]
            while len(batch) < _BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            looks = [look for look in batch if look is not None]
            ended = len(looks) < len(batch)
            try:
                if looks:
                    self._writer.submit(partial(_write, looks), housekeeping=True)
            except Exception as error:
                # Best effort: the refusal itself was given.
                logs.get().warning("looks.dropped", exception=type(error).__name__)
            finally:
                for _ in batch:
                    self._queue.task_done()


def _write(looks: list[RefusedLook], tx: WriterTransaction) -> None:
    table = tables.refused_look
    for look in looks:
        kept = tx.connection.execute(
            select(func.count()).where(
                table.c.agency == look.agency,
                table.c.grant_id == look.grant_id,
                table.c.at > tx.now - QUOTA_WINDOW_S,
            )
        ).scalar_one()
        if kept < QUOTA:
            tx.connection.execute(
                insert(table).values(
                    grant_id=look.grant_id,
                    agency=look.agency,
                    category=look.category,
                    worker_ref=look.worker_ref,
                    reason=look.reason.value,
                    at=tx.now,
                )
            )

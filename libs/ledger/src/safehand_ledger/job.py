"""One submitted operation, and what its batch left behind for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from safehand_core.errors import SafehandError
from safehand_formats import merkle
from safehand_formats.proof import TlogProof

from safehand_ledger.receipt import Receipt
from safehand_ledger.stored import Head
from safehand_ledger.transaction import Entry, WriterTransaction


@dataclass(frozen=True, slots=True)
class View:
    """What a batch left behind: enough to prove each of its entries without the database."""

    head: Head
    nodes: dict[tuple[int, int], bytes] = field(default_factory=dict)
    first: int = 0
    entries: list[Entry] = field(default_factory=list)
    commit_began: float = 0.0

    def receipt(self, index: int) -> Receipt:
        entry = self.entries[index - self.first]
        path = merkle.inclusion_proof(index, self.head.size, self._node)
        proof = TlogProof(index, tuple(path), self.head.note).to_text()
        return Receipt(index, entry.leaf, entry.leaf_hash, proof, entry.opening, entry.body)

    def _node(self, level: int, index: int) -> bytes:
        # The left siblings of a new leaf are the frontier before the batch or were completed by
        # it; the right ones are all new.
        return self.nodes[(level, index)]


class Job:
    """An operation, and the latch on which its submitter waits."""

    __slots__ = ("_latch", "error", "operation", "stop", "transaction", "value", "view")

    def __init__(self, operation: Callable[[WriterTransaction], Any], *, stop: bool) -> None:
        self.operation = operation
        self.stop = stop
        self.value: Any = None
        self.error: BaseException | None = None
        self.transaction: WriterTransaction | None = None
        self.view: View | None = None
        self._latch = threading.Lock()
        self._latch.acquire()

    def wait(self) -> None:
        self._latch.acquire()

    def finish(self) -> None:
        self._latch.release()


class RefusedError(Exception):
    """An operation raised; what it raised is kept with its job."""


def finish(batch: list[Job], *, error: SafehandError | None = None) -> None:
    """Answer every job of ``batch``; with ``error`` they all get that."""
    for job in batch:
        if error is not None:
            job.error = error
        job.finish()

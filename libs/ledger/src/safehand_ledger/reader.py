"""Reading the ledger: heads, receipts, leaves, openings, consistency. Never writes."""

from __future__ import annotations

from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import merkle
from safehand_formats.opening import Opening
from safehand_store.engine import begin_read
from sqlalchemy import Engine

from safehand_ledger import receipt, stored
from safehand_ledger.receipt import Receipt
from safehand_ledger.stored import Head

MAX_LEAVES: Final = 1000
"""Most leaves of one answer: 104 KB."""


class LedgerReader:
    """Each method is one consistent snapshot. ``engine`` may be read-only."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def head(self) -> Head:
        """The newest signed head; raises UNAVAILABLE before the writer's first start."""
        with begin_read(self._engine) as connection:
            return stored.require_head(connection)

    def checkpoint_note(self) -> str:
        """The signed checkpoint of the newest head."""
        return self.head().note

    def receipt(self, index: int) -> Receipt:
        """The entry at ``index`` with its proof under the newest head; raises NOT_FOUND."""
        with begin_read(self._engine) as connection:
            head = stored.require_head(connection)
            return receipt.from_stored(connection, index, head.size, head.note)

    def leaves(self, after: int = -1, limit: int = MAX_LEAVES) -> list[tuple[int, bytes]]:
        """Up to ``limit`` (at most 1000) leaves with an index above ``after``, in order."""
        with begin_read(self._engine) as connection:
            return stored.leaves(connection, after + 1, min(limit, MAX_LEAVES))

    def opening(self, index: int) -> Opening | None:
        """The opening of the entry at ``index``, or None when it is not there (any more)."""
        with begin_read(self._engine) as connection:
            return stored.opening(connection, index)

    def consistency(self, size1: int, size2: int) -> list[bytes]:
        """The proof that the tree of ``size2`` only adds to that of ``size1``.

        Raises MALFORMED unless ``0 < size1 <= size2 <= head().size``.
        """
        with begin_read(self._engine) as connection:
            if size2 > stored.require_head(connection).size:
                raise SafehandError(Reason.MALFORMED, "the ledger is smaller than that")
            return merkle.consistency_proof(size1, size2, stored.nodes(connection))

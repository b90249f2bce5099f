"""Watches that nothing reads a table whose rows are put off through ``txn.hot``.

Two operations of one batch would show it, if they met; alone each passes. So every statement of
every operation is looked at, as if one before it in the batch had put off a row of each kind.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from safehand_ledger import writer
from safehand_ledger.transaction import WriterTransaction
from safehand_ledger.writer import LedgerWriter
from safehand_store.later import Later

PUT_OFF: Final = frozenset(
    {
        "category_key",
        "grant_leaf",
        "idempotency",
        "outbox_event",
        "outbox_head",
        "slip_code",
        "stop_note_grant",
    }
)
"""Tables of which some rows are put off."""
READS: Final = re.compile(r'\b(?:FROM|JOIN|UPDATE)\s+"?(\w+)', re.IGNORECASE)
WRITES: Final = re.compile(r'^\s*INSERT INTO "?(\w+)', re.IGNORECASE)


class Watch:
    """``seen``: statements that read what may not be written yet."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.put_off: set[str] = set()
        self._dirty: set[str] = set()
        self._writing = False
        self._asked = False

    def may_be_unwritten(self) -> None:
        self._dirty = set(PUT_OFF)

    @contextmanager
    def write(self) -> Iterator[None]:
        self._writing = True
        try:
            yield
        finally:
            self._writing = False
            self._dirty = set()

    def asked(self) -> None:
        """Whoever looks among what is put off may then look into the table."""
        self._asked = True

    def statement(self, text: str) -> None:
        asked, self._asked = self._asked, False
        if self._writing:
            self.put_off.update(WRITES.findall(text))
        elif not asked:
            read = self._dirty.intersection(READS.findall(text))
            if read:
                self.seen.append(text.split("VALUES")[0][:200])


def watched(patch: pytest.MonkeyPatch) -> Watch:
    """Watch each writer that starts while ``patch`` holds, on SQLite (its driver tells all)."""
    watch = Watch()
    start = LedgerWriter.start
    add, find, write = Later.add, Later.find, Later.write

    class Watched(WriterTransaction):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            watch.may_be_unwritten()

    def started(self: LedgerWriter) -> None:
        start(self)
        raw: Any = self._connection.connection.dbapi_connection
        if isinstance(raw, sqlite3.Connection):
            raw.set_trace_callback(watch.statement)

    def added(self: Later, *given: Any) -> None:
        add(self, *given)
        watch.may_be_unwritten()

    def found(self: Later, *given: Any) -> Any:
        watch.asked()
        return find(self, *given)

    def written(self: Later, connection: Any) -> None:
        with watch.write():
            write(self, connection)

    patch.setattr(LedgerWriter, "start", started)
    patch.setattr(writer, "WriterTransaction", Watched)
    patch.setattr(Later, "add", added)
    patch.setattr(Later, "find", found)
    patch.setattr(Later, "write", written)
    return watch

"""Rows that a transaction writes at its end: many in one statement, instead of one in each.

A writer that runs the operations of many callers in one transaction would otherwise insert the
same few kinds of rows again for each of them. With SQLite every statement lets go of the
interpreter's lock several times, and every other thread that wants it is woken for nothing; with
PostgreSQL every statement is a round trip. What is put off here costs a few statements for all.

Whoever puts rows off answers for what is read meanwhile: see ``Later``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, Protocol

from sqlalchemy import Connection, Table

from safehand_store.engine import driver
from safehand_store.prepared import change

SHAPES: Final = (32, 16, 8, 7, 6, 5, 4, 3, 2, 1)
"""Rows of one statement. Few shapes, so that engines and drivers find each of them prepared; small
batches, which are the common ones, take one statement."""

Row = tuple[Any, ...]


class Inserter(Protocol):
    """A kind of rows that can be put off.

    ``key``: how many of a row's first values name it, where ``Later.find`` is asked; else 0.
    """

    @property
    def key(self) -> int: ...

    def insert(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Insert ``rows``, at least one, in their order."""
        ...


class ManyRows:
    """Inserts rows of one table; a row is the values of ``columns`` (default: all), in order.

    For columns whose values the drivers take as they are: text, integers, bytes, None.
    """

    def __init__(self, table: Table, columns: Sequence[str] | None = None, *, key: int = 0) -> None:
        names = [column.name for column in table.columns] if columns is None else list(columns)
        self._key = key
        self._head = (
            f'INSERT INTO "{table.name}" '  # noqa: S608  our own names
            f"({', '.join(_quoted(n) for n in names)}) VALUES "
        )
        self._width = len(names)
        self._sql: dict[tuple[int, bool], str] = {}

    @property
    def key(self) -> int:
        return self._key

    def insert(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Insert ``rows`` in their order; no rows are no statement."""
        raw = driver(connection)
        is_sqlite = isinstance(raw, sqlite3.Connection)
        begin, left = 0, len(rows)
        for count in SHAPES:
            while left >= count:
                values = [value for row in rows[begin : begin + count] for value in row]
                change(raw, self._of(count, is_sqlite), values)
                begin += count
                left -= count

    def _of(self, count: int, is_sqlite: bool) -> str:
        shape = (count, is_sqlite)
        sql = self._sql.get(shape)
        if sql is None:
            mark = "?" if is_sqlite else "%s"
            row = f"({', '.join([mark] * self._width)})"
            sql = self._sql[shape] = self._head + ", ".join([row] * count)
        return sql


class Later:
    """What one transaction has put off.

    Nobody sees a row before ``write``, not even the same transaction, but through ``find``. So rows
    are put off only where every reader of their table calls ``write`` first or asks ``find`` too.
    Kinds are written in the order in which they came first, rows of a kind in theirs; a kind must
    not refer to another one that is put off.
    """

    __slots__ = ("_index", "_rows", "_written")

    def __init__(self) -> None:
        self._rows: dict[Inserter, list[Row]] = {}
        self._written: dict[Inserter, int] = {}
        self._index: dict[tuple[Inserter, Row], Row] = {}

    def add(self, kind: Inserter, *values: Any) -> None:
        """Put off one row."""
        rows = self._rows.get(kind)
        if rows is None:
            rows = self._rows[kind] = []
            self._written[kind] = 0
        rows.append(values)
        if kind.key:
            self._index.setdefault((kind, values[: kind.key]), values)

    def find(self, kind: Inserter, *key: Any) -> Row | None:
        """The row of ``kind`` with these first values that came in this transaction, or None."""
        return self._index.get((kind, key))

    def write(self, connection: Connection) -> None:
        """Insert what is not written yet."""
        for kind, rows in self._rows.items():
            written = self._written[kind]
            if written < len(rows):
                kind.insert(connection, rows[written:])
                self._written[kind] = len(rows)

    def mark(self) -> Mark:
        """Where it stands, for ``undo``."""
        return {kind: (len(rows), self._written[kind]) for kind, rows in self._rows.items()}

    def undo(self, mark: Mark) -> None:
        """Be as it was at ``mark``, once the database is (a savepoint was rolled back)."""
        for kind, rows in self._rows.items():
            length, self._written[kind] = mark.get(kind, (0, 0))
            if kind.key:
                for row in rows[length:]:
                    # A second row of one name, which cannot be inserted, is not the one found.
                    if self._index.get((kind, row[: kind.key])) is row:
                        del self._index[kind, row[: kind.key]]
            del rows[length:]


Mark = dict[Inserter, tuple[int, int]]


def _quoted(name: str) -> str:
    return f'"{name}"'

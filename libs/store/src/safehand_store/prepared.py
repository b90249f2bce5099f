"""Statements that are written in Core, compiled once, and run on the driver's cursor.

For hot paths only: SQLAlchemy's execution layer costs about 60 us a statement, five times what
SQLite itself needs for one. It fits statements with a fixed number of parameters, over columns
whose values the driver takes as they are: text, integers, bytes.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql import Delete, Insert, Select, Update
from sqlalchemy.sql.compiler import SQLCompiler

from safehand_store.engine import driver

_DIALECT: Final = sqlite.dialect()


class Prepared:
    """A statement with named parameters.

    ``insert(table)`` takes every column as a parameter of its name, or those that ``columns``
    names; elsewhere parameters are ``bindparam``. Rows are named tuples of the selected or
    returned columns. Everything runs in the transaction that ``connection`` has open.
    """

    def __init__(
        self,
        statement: Select[Any] | Insert | Update | Delete,
        *,
        columns: Iterable[str] | None = None,
    ) -> None:
        keys = None if columns is None else list(columns)
        compiled = statement.compile(dialect=_DIALECT, column_keys=keys)
        if not isinstance(compiled, SQLCompiler):
            raise TypeError("not a statement")
        self.sql = str(compiled)
        self._order = tuple(compiled.positiontup or ())
        self._fixed = {k: bind.value for k, bind in compiled.binds.items() if not bind.required}
        result = (
            statement.selected_columns
            if isinstance(statement, Select)
            else getattr(statement, "_returning", ())
        )
        names = [str(column.key) for column in result]
        self._row: Any = namedtuple("Row", names) if names else None

    def run(self, connection: Connection, **parameters: Any) -> int:
        """Execute; returns the number of rows that were changed."""
        return driver(connection).execute(self.sql, self._values(parameters)).rowcount

    def run_many(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Execute once for each mapping of parameters."""
        driver(connection).executemany(self.sql, [self._values(row) for row in rows])

    def first(self, connection: Connection, **parameters: Any) -> Any:
        """The first row as a named tuple, or None."""
        row = driver(connection).execute(self.sql, self._values(parameters)).fetchone()
        return None if row is None else self._row._make(row)

    def all(self, connection: Connection, **parameters: Any) -> list[Any]:
        """Every row as a named tuple."""
        rows = driver(connection).execute(self.sql, self._values(parameters)).fetchall()
        return [self._row._make(row) for row in rows]

    def scalar(self, connection: Connection, **parameters: Any) -> Any:
        """The first column of the first row, or None."""
        row = driver(connection).execute(self.sql, self._values(parameters)).fetchone()
        return None if row is None else row[0]

    def _values(self, parameters: Mapping[str, Any]) -> list[Any]:
        fixed = self._fixed
        return [parameters[name] if name in parameters else fixed[name] for name in self._order]

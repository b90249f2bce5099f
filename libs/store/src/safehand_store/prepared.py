"""Statements that are written once and run on the driver's cursor, on both engines.

For hot paths: SQLAlchemy's execution layer costs about 60 us a statement, five times what SQLite
itself needs for one. ``Prepared`` is written in Core; ``Written`` is SQL that Core cannot write
for both engines. They fit columns whose values the drivers take as they are: text, integers,
bytes. PostgreSQL's server keeps the plans of those that are run often.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import Delete, Insert, Select, Update
from sqlalchemy.sql.compiler import SQLCompiler

from safehand_store.engine import Cursor, Driver, driver

_SQLITE: Final = sqlite.dialect()


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
        self._statement = statement
        self._keys = None if columns is None else list(columns)
        self._sqlite = self._compiled(_SQLITE)
        self._postgres: _Plan | None = None
        result = (
            statement.selected_columns
            if isinstance(statement, Select)
            else getattr(statement, "_returning", ())
        )
        names = [str(column.key) for column in result]
        self._row: Any = namedtuple("Row", names) if names else None

    @property
    def sql(self) -> str:
        """The statement as SQLite gets it."""
        return self._sqlite.sql

    def run(self, connection: Connection, **parameters: Any) -> int:
        """Execute what is no SELECT; returns the number of rows that were changed."""
        raw = driver(connection)
        plan = self._plan(raw)
        return change(raw, plan.sql, plan.values(parameters))

    def run_many(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Execute once for each mapping of parameters."""
        raw = driver(connection)
        plan = self._plan(raw)
        raw.cursor().executemany(plan.sql, [plan.values(row) for row in rows])

    def first(self, connection: Connection, **parameters: Any) -> Any:
        """The first row as a named tuple, or None."""
        row = self._execute(connection, parameters).fetchone()
        return None if row is None else self._row._make(row)

    def all(self, connection: Connection, **parameters: Any) -> list[Any]:
        """Every row as a named tuple."""
        return [self._row._make(row) for row in self._execute(connection, parameters).fetchall()]

    def scalar(self, connection: Connection, **parameters: Any) -> Any:
        """The first column of the first row, or None."""
        row = self._execute(connection, parameters).fetchone()
        return None if row is None else row[0]

    def in_order(self, connection: Connection, *order: str) -> Callable[..., Cursor]:
        """A function that executes with the values of the parameters ``order``, in that order.

        For loops; ``order`` must be the order in which the statement names them.
        """
        raw = driver(connection)
        sql = self._plan(raw).in_order(order)
        return lambda *values: raw.execute(sql, values)

    def _execute(self, connection: Connection, parameters: Mapping[str, Any]) -> Cursor:
        raw = driver(connection)
        plan = self._plan(raw)
        return raw.execute(plan.sql, plan.values(parameters))

    def _plan(self, raw: Driver) -> _Plan:
        if isinstance(raw, sqlite3.Connection):
            return self._sqlite
        if self._postgres is None:
            self._postgres = self._compiled(_postgres_dialect())
        return self._postgres

    def _compiled(self, dialect: Dialect) -> _Plan:
        return _Plan(self._statement.compile(dialect=dialect, column_keys=self._keys))


def change(raw: Driver, sql: str, values: Sequence[Any]) -> int:
    """Execute what is no SELECT and returns no rows; says how many rows were changed.

    ``executemany`` of sqlite3 lets go of the interpreter's lock half as often as ``execute``, which
    also asks for the last row's id; each time every thread that waits for the lock is woken.
    """
    if isinstance(raw, sqlite3.Connection):
        return raw.executemany(sql, (values,)).rowcount
    return raw.execute(sql, values).rowcount


class _Plan:
    """A statement compiled for one engine."""

    __slots__ = ("_fixed", "_order", "sql")

    def __init__(self, compiled: object) -> None:
        if not isinstance(compiled, SQLCompiler):
            raise TypeError("not a statement")
        self.sql = str(compiled)
        self._order = tuple(compiled.positiontup or ())
        self._fixed = {k: bind.value for k, bind in compiled.binds.items() if not bind.required}

    def values(self, parameters: Mapping[str, Any]) -> list[Any]:
        fixed = self._fixed
        return [parameters[name] if name in parameters else fixed[name] for name in self._order]

    def in_order(self, order: Sequence[str]) -> str:
        """The SQL, once it is sure that its parameters come in ``order``."""
        if self._order != tuple(order):
            raise RuntimeError("the parameters are not in the expected order")
        return self.sql


class Written:
    """SQL that both engines read alike, with ``?`` for each parameter, given in order.

    No other question mark and no percent sign may be in it. For what Core writes only for one
    engine, such as ``ON CONFLICT … DO UPDATE``.
    """

    def __init__(self, sql: str) -> None:
        if "%" in sql:
            raise ValueError("a percent sign in a written statement")
        self.sql = sql
        self._postgres = sql.replace("?", "%s")

    def execute(self, connection: Connection, *values: Any) -> Cursor:
        raw = driver(connection)
        sql = self.sql if isinstance(raw, sqlite3.Connection) else self._postgres
        return raw.execute(sql, values)

    def scalar(self, connection: Connection, *values: Any) -> Any:
        """The first column of the first row, or None."""
        row = self.execute(connection, *values).fetchone()
        return None if row is None else row[0]


def _postgres_dialect() -> Dialect:
    from sqlalchemy.dialects.postgresql import psycopg

    made: Dialect = psycopg.dialect(paramstyle="format")  # type: ignore[no-untyped-call]
    return made

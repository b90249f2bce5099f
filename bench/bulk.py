"""Rows in bulk: what would take hours through the service, put where the service would put it.

SQLite is filled by its own ``executemany``. A PostgreSQL database is always a copy of a SQLite one
by ``COPY``, so that what is checked on the one is true of the other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import Table

from tests.harness.database import Database

CHUNK: Final = 500_000
"""Rows of one transaction: bounds the log of a file, which is copied once more."""
LINES: Final = 5_000
"""Rows handed to the server at once."""


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A SQLite file, written without a sync of each transaction, and synced at the end."""
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("PRAGMA synchronous=OFF")
        raw.execute("PRAGMA cache_size=-262144")
        yield raw
        raw.execute("PRAGMA synchronous=FULL")
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def fill(raw: sqlite3.Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> int:
    """Insert ``rows``, all columns in the table's order; returns how many there were."""
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    marks = ", ".join("?" for _ in table.columns)
    statement = f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})'  # noqa: S608  our own
    supply, count = iter(rows), 0
    while True:
        raw.execute("BEGIN")
        done = raw.executemany(statement, islice(supply, CHUNK)).rowcount
        raw.execute("COMMIT")
        count += max(0, done)
        if done < CHUNK:
            return count


def copy(source: Path, store: Database, tables: Iterable[Table]) -> None:
    """Replace what is in ``tables`` of the PostgreSQL database ``store`` by the rows of ``source``.

    As the superuser, and without the checks of what refers to what: the copy is of a database that
    had them.
    """
    assert store.cluster is not None
    wanted = list(tables)
    url = store.cluster.url(database=store.name)
    with closing(sqlite3.connect(source)) as raw, psycopg.connect(url, autocommit=True) as server:
        server.execute("SET session_replication_role = replica")
        for table in wanted:
            server.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name)))
            names = [column.name for column in table.columns]
            statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
                sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, names))
            )
            with server.cursor() as cursor, cursor.copy(statement) as stream:
                for block in _blocks(raw, table.name, names):
                    stream.write(block)
            _restart_identity(server, table)
        server.execute("VACUUM ANALYZE")
        server.execute("CHECKPOINT")


def _restart_identity(server: psycopg.Connection[Any], table: Table) -> None:
    """A sequence goes on behind what was copied."""
    for column in table.primary_key.columns:
        ((found,),) = server.execute(
            "SELECT pg_get_serial_sequence(%s, %s)", (table.name, column.name)
        ).fetchall()
        if found is not None:
            statement = sql.SQL("SELECT setval({}, (SELECT coalesce(max({}), 1) FROM {}))").format(
                sql.Literal(found), sql.Identifier(column.name), sql.Identifier(table.name)
            )
            server.execute(statement)


def _blocks(raw: sqlite3.Connection, table: str, names: list[str]) -> Iterator[bytes]:
    """The rows in COPY's text format, written by SQLite itself: ten times as fast as Python."""
    text = r"replace(replace(replace({0}, '\', '\\'), char(9), '\t'), char(10), '\n')"
    value = (
        "coalesce(CASE typeof({0}) WHEN 'blob' THEN '\\\\x' || hex({0}) "
        f"WHEN 'text' THEN {text} ELSE {{0}} END, '\\N')"
    )
    line = " || char(9) || ".join(value.format(f'"{name}"') for name in names)
    cursor = raw.execute(f'SELECT {line} FROM "{table}"')  # noqa: S608  our own names
    while rows := cursor.fetchmany(LINES):
        yield "".join(f"{row}\n" for (row,) in rows).encode()

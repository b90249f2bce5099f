"""A database in the hands of who owns it: no trigger, no check and no right stands in the way.

What finds it afterwards must not depend on the engine, so a test tampers with both alike.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import psycopg

from tests.harness import database
from tests.harness.database import Database
from tests.harness.postgres import APP, OWNER

_TRIGGERS: Final = """
SELECT t.tgrelid::regclass::text, t.tgname::text, pg_get_triggerdef(t.oid), t.tgenabled::text
FROM pg_trigger t WHERE NOT t.tgisinternal
"""
_CHECKS: Final = """
SELECT conrelid::regclass::text, conname::text FROM pg_constraint
WHERE contype = 'c' AND conrelid <> 0
"""
_ENABLED: Final = {"A": "ENABLE ALWAYS", "R": "ENABLE REPLICA", "D": "DISABLE", "O": "ENABLE"}
"""What ``pg_trigger.tgenabled`` says, as ALTER TABLE does."""


class Owner(Protocol):
    """A connection with every right. ``?`` for each value."""

    def execute(self, sql: str, *values: Any) -> None: ...
    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]: ...


class _Sqlite:
    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    def execute(self, sql: str, *values: Any) -> None:
        self._raw.execute(sql, values)

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._raw.execute(sql, values).fetchall()


class _Postgres:
    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self._raw = raw

    def execute(self, sql: str, *values: Any) -> None:
        self._raw.execute(sql.replace("?", "%s"), values or None)

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._raw.execute(sql.replace("?", "%s"), values or None).fetchall()


@contextmanager
def tampering(store: Database) -> Iterator[Owner]:
    """Change anything; afterwards every trigger is there again, as it was.

    Checks of columns are passed by, and on PostgreSQL gone for good.
    """
    if isinstance(store.location, Path):
        with closing(sqlite3.connect(store.location)) as file:
            saved = file.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            triggers = saved.fetchall()
            for name, _ in triggers:
                file.execute(f'DROP TRIGGER "{name}"')
            file.execute("PRAGMA ignore_check_constraints = ON")
            yield _Sqlite(file)
            for _, sql in triggers:
                file.execute(sql)
            file.commit()
        return
    with connected(store) as server:
        found = server.execute(_TRIGGERS).fetchall()
        for table, name, _, _ in found:
            server.execute(f'DROP TRIGGER "{name}" ON {table}')
        for table, name in server.execute(_CHECKS).fetchall():
            server.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
        yield _Postgres(server)
        for table, name, sql, enabled in found:
            server.execute(sql)
            server.execute(f'ALTER TABLE {table} {_ENABLED[enabled]} TRIGGER "{name}"')


@contextmanager
def connected(store: Database) -> Iterator[psycopg.Connection[Any]]:
    """The superuser's session in a database on PostgreSQL: one transaction, which commits."""
    assert store.cluster is not None
    with psycopg.connect(store.cluster.url(database=store.name)) as server:
        yield server


def drop_trigger(store: Database, table: str, name: str) -> None:
    """Drop one trigger for good."""
    on = "" if isinstance(store.location, Path) else f' ON "{table}"'
    store.execute(f'DROP TRIGGER "{name}"{on}')


def fake_trigger(store: Database, table: str, name: str) -> None:
    """A trigger of the right name that refuses nothing."""
    if isinstance(store.location, Path):
        store.execute(f'CREATE TRIGGER "{name}" BEFORE UPDATE ON "{table}" BEGIN SELECT 1; END')
        return
    store.execute(
        "CREATE OR REPLACE FUNCTION refuses_nothing() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RETURN NULL; END$$"
    )
    store.execute(
        f'CREATE TRIGGER "{name}" BEFORE TRUNCATE ON "{table}" '
        "FOR EACH STATEMENT EXECUTE FUNCTION refuses_nothing()"
    )
    store.execute(f'ALTER TABLE "{table}" ENABLE ALWAYS TRIGGER "{name}"')


def replace_table(owner: Owner, store: Database, table: str, columns: str) -> None:
    """Another table under the name of ``table``, which the service may use as it did."""
    owner.execute(f"DROP TABLE {table}")
    if isinstance(store.location, Path):
        owner.execute(f"CREATE TABLE {table} ({columns}) STRICT")
        return
    owner.execute(f"CREATE TABLE {table} ({columns})")
    owner.execute(f'ALTER TABLE {table} OWNER TO "{OWNER}"')
    owner.execute(f'GRANT SELECT, INSERT ON {table} TO "{APP}"')


@dataclass(frozen=True)
class Copy:
    """A whole database as it was. ``store`` is the copy itself, to look into."""

    of: Database
    store: Database

    def put_back(self) -> None:
        """Let the copy be what is there. Nobody uses the database just now."""
        if isinstance(self.of.location, Path) and isinstance(self.store.location, Path):
            home = self.of.location.parent
            shutil.rmtree(home)
            shutil.copytree(self.store.location.parent, home)
            return
        assert self.of.cluster is not None
        self.of.cluster.execute(f'DROP DATABASE "{self.of.name}" WITH (FORCE)')
        database.on(self.of.cluster, self.of.name, self.store.name)


def copy(store: Database, to: Path) -> Copy:
    """Copy a whole database, which nobody uses just now.

    SQLite's folder goes to ``to``. On PostgreSQL it is another database of the same server, which
    goes when ``store`` is dropped.
    """
    if isinstance(store.location, Path):
        shutil.copytree(store.location.parent, to)
        file = to / store.location.name
        return Copy(store, Database(file, file))
    assert store.cluster is not None
    return Copy(store, database.on(store.cluster, f"{store.name}_{to.name}", store.name))


def keep(store: Database) -> Callable[[], None]:
    """Remember the database, whose tables keep their form; what is returned puts it back.

    Cheaper than ``copy`` on PostgreSQL, for a test that does it a hundred times.
    """
    if isinstance(store.location, Path):
        file = store.location
        data = file.read_bytes()
        return lambda: _write(file, data)
    tables = store.tables()
    rows = {table: store.rows(f'SELECT * FROM "{table}"') for table in tables}

    def put_rows_back() -> None:
        with tampering(store) as owner:
            for table, saved in rows.items():
                owner.execute(f'DELETE FROM "{table}"')
                for row in saved:
                    marks = ", ".join("?" * len(row))
                    owner.execute(f'INSERT INTO "{table}" VALUES ({marks})', *row)

    return put_rows_back


def _write(file: Path, data: bytes) -> None:
    file.write_bytes(data)

"""On which database a test runs: ``SAFEHAND_TEST_DATABASE=sqlite|pg18|pg15`` for the whole suite.

A test asks ``new`` for a fresh database and gets where it is, how a service is told, and a way to
look past the service. What the tests then do is the same on every engine.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import psycopg
import pytest
from safehand_core.keystore import make_private_dir
from safehand_store import migrate, roles
from safehand_store.engine import begin_write, open_engine
from safehand_store.location import Location, Postgres
from sqlalchemy import MetaData

from tests.harness import postgres
from tests.harness.postgres import APP, OWNER, Cluster

VARIABLE: Final = "SAFEHAND_TEST_DATABASE"
SQLITE: Final = "sqlite"
ENGINES: Final = (SQLITE, "pg18", "pg15")
QUICK: Final = (SQLITE, "pg18")
"""On which the conformance tests of the store run in every suite."""
_numbers: Final = itertools.count(1)
_templates: Final[dict[str, bytes]] = {}


def chosen() -> str:
    """The engine of this run of the suite."""
    engine = os.environ.get(VARIABLE, SQLITE)
    assert engine in ENGINES, f"{VARIABLE} is one of {', '.join(ENGINES)}"
    return engine


sqlite_alone = pytest.mark.skipif(
    os.environ.get(VARIABLE, SQLITE) != SQLITE,
    reason="about SQLite's files; PostgreSQL has a test of its own",
)

releases_may_leave_late = pytest.mark.skipif(
    os.environ.get(VARIABLE, SQLITE) != SQLITE,
    reason="on PostgreSQL what leaves so late is refused (tests/ledger/test_election.py)",
)


def conformance() -> tuple[str, ...]:
    """On which engines the tests of the store itself run: two always, or the chosen one."""
    engine = chosen()
    return QUICK if engine == SQLITE else (engine,)


def require(engine: str) -> str:
    """``engine``; skips the test, with the reason, where it is not installed."""
    if engine != SQLITE:
        try:
            postgres.binaries(engine)
        except postgres.MissingError as error:
            pytest.skip(str(error))
    return engine


@dataclass(frozen=True)
class Database:
    """One fresh database.

    ``location`` is how its service opens it; ``owner`` how its operator does, to migrate it.
    ``cluster`` is the server's, None on SQLite.
    """

    location: Location
    owner: Location
    cluster: Cluster | None = None
    name: str = ""

    @property
    def url(self) -> str:
        """For a setting; "" on SQLite."""
        return self.location.url if isinstance(self.location, Postgres) else ""

    @property
    def owner_url(self) -> str:
        """As its operator names it; "" on SQLite."""
        return self.owner.url if isinstance(self.owner, Postgres) else ""

    def environment(self, service: str) -> dict[str, str]:
        """What tells the service ``service`` where it is; nothing on SQLite."""
        if not self.url:
            return {}
        return {f"SAFEHAND_{service.upper()}_DATABASE_URL": self.url}

    def migrate(self, scripts: Path, metadata: MetaData) -> None:
        """What ``safehand database migrate`` does, and on SQLite the service itself."""
        if isinstance(self.location, Path):
            migrate.open_service(self.location, scripts, metadata).dispose()
            return
        engine = open_engine(self.owner)
        try:
            migrate.upgrade(engine, scripts, metadata=metadata, app_role=APP)
        finally:
            engine.dispose()

    def create(self, metadata: MetaData) -> None:
        """The tables of ``metadata`` without a migration, with the rights of a service on them."""
        engine = open_engine(self.owner)
        try:
            with begin_write(engine) as connection:
                metadata.create_all(connection)
                if self.cluster is not None:
                    connection.exec_driver_sql(
                        f"CREATE TABLE IF NOT EXISTS {roles.VERSIONS} (version_num text)"
                    )
                    roles.grant(connection, metadata, APP)
        finally:
            engine.dispose()

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the database holds, read past the service. ``?`` for each of ``values``."""
        if isinstance(self.location, Path):
            with closing(sqlite3.connect(self.location)) as raw:
                return raw.execute(sql, values).fetchall()
        with self._superuser() as connection:
            return connection.execute(_percent(sql), values or None).fetchall()

    def execute(self, sql: str, *values: Any) -> None:
        """Change it past the service and its foreign keys; on PostgreSQL as the superuser."""
        if isinstance(self.location, Path):
            with closing(sqlite3.connect(self.location)) as raw, raw:
                raw.execute(sql, values)
            return
        with self._superuser() as connection:
            # As on SQLite, where each connection must ask for them.
            connection.execute("SET session_replication_role = replica")
            connection.execute(_percent(sql), values or None)

    def tables(self) -> list[str]:
        """The names of its tables."""
        if isinstance(self.location, Path):
            sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        else:
            sql = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        return sorted(name for (name,) in self.rows(sql))

    def columns(self, table: str) -> list[str]:
        """The names of the columns of ``table``, in the order of ``SELECT *``."""
        if isinstance(self.location, Path):
            sql = "SELECT name FROM pragma_table_info(?) ORDER BY cid"
        else:
            sql = (
                "SELECT column_name::text FROM information_schema.columns"
                " WHERE table_schema = 'public' AND table_name = ? ORDER BY ordinal_position"
            )
        return [name for (name,) in self.rows(sql, table)]

    def raw(self) -> list[bytes]:
        """Everything that is stored, as bytes: the files of SQLite, each row of PostgreSQL."""
        if isinstance(self.location, Path):
            with closing(sqlite3.connect(self.location)) as raw:
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return [path.read_bytes() for path in self.location.parent.iterdir() if path.is_file()]
        found: list[bytes] = []
        for table in self.tables():
            for row in self.rows(f'SELECT * FROM "{table}"'):
                parts = [v if isinstance(v, bytes) else str(v).encode() for v in row]
                found.append(b"\x00".join(parts))
        return found

    def add_table(self, name: str, columns: str) -> None:
        """A table of the test's own, which the service may use."""
        self.execute(f"CREATE TABLE {name} ({columns})")
        if self.cluster is not None:
            self.execute(f'GRANT ALL ON {name} TO "{APP}"')

    def drop(self) -> None:
        """Give it back, and every copy of it. On SQLite its folder is the test's own."""
        if self.cluster is None or not self.cluster.running:
            return
        copies = f"SELECT datname FROM pg_database WHERE starts_with(datname, '{self.name}_')"
        for name in (self.name, *(found for (found,) in self.cluster.execute(copies))):
            self.cluster.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _superuser(self) -> psycopg.Connection[Any]:
        assert self.cluster is not None
        return psycopg.connect(self.cluster.url(database=self.name), autocommit=True)


def _percent(sql: str) -> str:
    return sql.replace("?", "%s") if "?" in sql else sql


def new(file: Path, engine: str | None = None) -> Database:
    """A fresh database: SQLite at ``file``, or one of the shared cluster of ``engine``."""
    engine = require(engine or chosen())
    if engine == SQLITE:
        return Database(file, file)
    return on(postgres.shared(engine))


def copied(file: Path, make: Callable[[Database], None], label: str) -> Database:
    """As ``new``, after ``make``: a copy of one that was made so before."""
    engine = require(chosen())
    if engine == SQLITE:
        if not file.exists():
            make_private_dir(file.parent)
            file.write_bytes(_template(make, label))
            file.chmod(0o600)  # as the service makes it; its WAL takes the mode from it
        return Database(file, file)
    cluster = postgres.shared(engine)
    template = f"template_{label}"
    if not cluster.execute(f"SELECT 1 FROM pg_database WHERE datname = '{template}'"):
        make(on(cluster, template))
    return on(cluster, template=template)


def _template(make: Callable[[Database], None], label: str) -> bytes:
    """What ``make`` makes of an empty file, once for each process."""
    if label not in _templates:
        with TemporaryDirectory(prefix="safehand-") as folder:
            file = Path(folder) / "made.sqlite3"
            make(Database(file, file))
            _templates[label] = file.read_bytes()
    return _templates[label]


def on(cluster: Cluster, name: str | None = None, template: str = "template0") -> Database:
    """A fresh database of a running ``cluster``, whose roles are there."""
    name = name or f"test_{os.getpid()}_{next(_numbers)}"
    cluster.execute(f'CREATE DATABASE "{name}" OWNER "{OWNER}" TEMPLATE "{template}"')
    return Database(
        Postgres(cluster.url(APP, name)),
        Postgres(cluster.url(OWNER, name)),
        cluster,
        name,
    )

"""On which database a measurement runs, always a durable one: a commit that returned is on a disk.

SQLite's files lie in the measurement's folder. PostgreSQL is a server of its own with the settings
that it comes with (the suite's are smaller and may lie in memory), reached through a Unix socket.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safehand_cli.sandbox import Sandbox
from safehand_core import logs
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store.engine import open_engine, require_durable
from safehand_store.location import Location

from bench.processes import family, pss
from tests.harness import database, databases, postgres
from tests.harness.database import Database
from tests.harness.postgres import Cluster

ENGINES: Final = database.ENGINES
SQLITE: Final = database.SQLITE
AS_IT_COMES: Final = {
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "min_wal_size": "80MB",
    "max_connections": "100",
}
"""PostgreSQL's own defaults, said again because the suite's servers are smaller."""
EXIT_REFUSED: Final = 78
"""The database would not be durable here (sysexits.h EX_CONFIG)."""


@dataclass(frozen=True)
class Where:
    """The engine of one measurement. ``cluster``: the running server, None on SQLite."""

    engine: str
    folder: Path
    cluster: Cluster | None = None

    def of_sandbox(self, sandbox: Sandbox) -> Mapping[str, Database]:
        """A fresh database for each service, before its first start. Raises CONFIG_INVALID."""
        made = databases.of_sandbox(sandbox, self.cluster)
        for store in made.values():
            check(store.location)
        return made

    def fresh(self, name: str) -> Database:
        """A database without tables; on SQLite the file ``name`` in the folder."""
        if self.cluster is not None:
            return database.on(self.cluster)
        file = self.folder / f"{name}.sqlite3"
        return Database(file, file)

    @property
    def disk(self) -> Path:
        """The directory whose disk a commit waits for."""
        return self.folder if self.cluster is None else self.cluster.folder

    def version(self) -> str:
        if self.cluster is None:
            return "SQLite, WAL, synchronous=FULL"
        ((found,),) = self.cluster.execute("SHOW server_version")
        return f"PostgreSQL {found}, fsync=on, synchronous_commit=on, a Unix socket"

    def server_memory(self) -> int:
        """PSS of the database server and all its processes, in bytes; 0 on SQLite."""
        if self.cluster is None:
            return 0
        running = self.cluster._process
        assert running is not None
        return sum(pss(pid) for pid in family(running.pid))

    def stored(self, store: Database, prefix: str = "") -> int:
        """Bytes of the tables and indexes of ``store`` whose names begin with ``prefix``."""
        if self.cluster is None:
            sql = "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name LIKE ?"
            try:
                ((size,),) = store.rows(sql, f"{prefix}%")
            except Exception:  # this SQLite was built without dbstat
                assert isinstance(store.location, Path)
                return store.location.stat().st_size
            return int(size)
        ((size,),) = store.rows("SELECT pg_database_size(current_database())")
        return int(size)


@contextmanager
def measured_on(engine: str, parent: Path | None, label: str) -> Iterator[Where]:
    """A folder, and on PostgreSQL a server, both gone after the block.

    ``parent``: where both lie; by default the system's temporary folder. Raises CONFIG_INVALID
    where that is memory.
    """
    # What parts of the system log in this process goes to standard error, not among the figures.
    logs.configure("consent")
    before = os.environ.get(database.VARIABLE)
    # What the harness makes where nobody says otherwise.
    os.environ[database.VARIABLE] = engine
    try:
        with tempfile.TemporaryDirectory(
            prefix=f"safehand-{label}-", dir=parent, ignore_cleanup_errors=True
        ) as made:
            require_disk(Path(made))
            if engine == SQLITE:
                yield Where(engine, Path(made))
            else:
                with _server(engine, parent) as cluster:
                    yield Where(engine, Path(made), cluster)
    finally:
        if before is None:
            del os.environ[database.VARIABLE]
        else:
            os.environ[database.VARIABLE] = before


@contextmanager
def _server(engine: str, parent: Path | None) -> Iterator[Cluster]:
    """A running server on a disk, its roles made; gone after the block."""
    cluster = Cluster.create(engine, parent=parent, **AS_IT_COMES)
    try:
        require_disk(cluster.folder)
        cluster.start().make_roles()
        # What asks the harness for its shared server gets this one: that of the suite may lie in
        # memory.
        postgres._shared[engine] = cluster
        yield cluster
    finally:
        postgres._shared.pop(engine, None)
        cluster.remove()


def refused(error: SafehandError) -> int:
    """The exit code where a database is not durable, said on standard error; else raises it."""
    if error.reason is not Reason.CONFIG_INVALID:
        raise error
    print(f"{error.reason.value}: {error.message}: {error.detail}", file=sys.stderr)
    return EXIT_REFUSED


def check(location: Location) -> None:
    """Raise CONFIG_INVALID unless a commit to ``location`` survives a power cut."""
    engine = open_engine(location)
    try:
        require_durable(engine)
    finally:
        engine.dispose()


def require_disk(folder: Path) -> None:
    """Raise CONFIG_INVALID where ``folder`` lies in memory."""
    probe = folder / "durable.sqlite3"
    try:
        check(probe)
    finally:
        for path in folder.glob("durable.sqlite3*"):
            path.unlink()

"""One SQLite file per service, opened so that a commit that returned is on the disk.

SQLAlchemy Core, synchronous. A write transaction is ``BEGIN IMMEDIATE``: it takes the write lock
before it reads, so it can wait for another writer but can never fail for having read first.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from sqlalchemy import URL, Connection, Engine, create_engine, event

BUSY_TIMEOUT_S: Final = 5.0
"""Longest wait for another process's write transaction; those take milliseconds."""
POOL_SIZE: Final = 8
"""Connections kept open: a little more than the threads that are in a query at one time."""
MAX_OVERFLOW: Final = 56
"""Further connections under load: an RPC server has at most 64 threads."""
FILE_MODE: Final = 0o600
"""Only the service's own user reads its database; SQLite gives -wal and -shm the same mode."""

_BEGIN: Final = "safehand_begin"
_SYNCHRONOUS_FULL: Final = 2
_VOLATILE_FILESYSTEMS: Final = frozenset({"tmpfs", "ramfs"})


def open_engine(path: Path, *, read_only: bool = False) -> Engine:
    """An engine on the SQLite file ``path``, which is created (mode 0600) if it is not there.

    With ``read_only`` nothing is created or changed, not even by a caller's mistake. Raises
    CONFIG_INVALID when the file is missing, or cannot be opened durably.
    """
    if read_only and not path.is_file():
        raise SafehandError(Reason.CONFIG_INVALID, "the database file does not exist")
    if not read_only:
        _create(path)
    uri = f"file:{quote(str(path.absolute()))}{_mode(path, read_only=read_only)}"

    def connect() -> sqlite3.Connection:
        return _connect(uri, read_only=read_only)

    engine = create_engine(
        URL.create("sqlite", database=str(path.absolute())),
        creator=connect,
        pool_size=POOL_SIZE,
        max_overflow=MAX_OVERFLOW,
    )
    event.listen(engine, "begin", _emit_begin)
    return engine


@contextmanager
def begin_write(engine: Engine) -> Iterator[Connection]:
    """A write transaction (``BEGIN IMMEDIATE``); committed at the end, rolled back on an error."""
    with engine.connect() as connection, for_writing(connection).begin():
        yield connection


@contextmanager
def begin_read(engine: Engine) -> Iterator[Connection]:
    """A read transaction: one consistent snapshot, never waits, never blocks a writer."""
    with engine.connect() as connection, connection.begin():
        yield connection


def for_writing(connection: Connection) -> Connection:
    """Mark ``connection`` so that its next transactions are ``BEGIN IMMEDIATE``."""
    return connection.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})


def driver(connection: Connection) -> sqlite3.Connection:
    """The driver's own connection under ``connection``, for the few statements that are hot."""
    raw = connection.connection.dbapi_connection
    if not isinstance(raw, sqlite3.Connection):
        raise TypeError("the database is SQLite")
    return raw


def require_durable(engine: Engine) -> None:
    """Raise CONFIG_INVALID unless a commit through ``engine`` reaches a real disk.

    Asked by benchmarks before they print a figure: WAL, ``synchronous`` FULL or stricter, and a
    file on a file system that is not memory.
    """
    with engine.connect() as connection:
        journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    if journal != "wal" or synchronous < _SYNCHRONOUS_FULL:
        raise SafehandError(Reason.CONFIG_INVALID, "the database is not durable")
    path = engine.url.database
    if not path or _filesystem(Path(path)) in _VOLATILE_FILESYSTEMS:
        raise SafehandError(Reason.CONFIG_INVALID, "the database is in memory")


def _create(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
    except OSError as error:
        raise SafehandError(Reason.CONFIG_INVALID, "the database file cannot be opened") from error


def _mode(path: Path, *, read_only: bool) -> str:
    if not read_only:
        return ""
    wal = path.with_name(path.name + "-wal")
    if not os.access(path.parent, os.W_OK) and not wal.exists():
        # A read-only copy without a WAL: SQLite could not make its -shm file, and needs none.
        return "?immutable=1"
    return "?mode=ro"


def _connect(uri: str, *, read_only: bool) -> sqlite3.Connection:
    try:
        # isolation_level None: transactions begin where _emit_begin says, nowhere else.
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        _configure(connection, read_only=read_only)
    except sqlite3.Error as error:
        raise SafehandError(Reason.CONFIG_INVALID, "the database file cannot be opened") from error
    return connection


def _configure(connection: sqlite3.Connection, *, read_only: bool) -> None:
    def pragma(text: str) -> Any:
        row = connection.execute(f"PRAGMA {text}").fetchone()
        return row[0] if row else None

    pragma("foreign_keys=ON")
    if read_only:
        pragma("query_only=ON")
        return
    if pragma("journal_mode=WAL") != "wal":
        raise SafehandError(Reason.CONFIG_INVALID, "the database cannot use a write-ahead log")
    # FULL syncs the log at every commit; NORMAL can lose the last commits with the power.
    pragma("synchronous=FULL")
    # Overwrite what is deleted. (The log may still hold copies: secrets are wrapped besides.)
    pragma("secure_delete=ON")
    # REPLACE then fires DELETE triggers, so append-only tables refuse it.
    pragma("recursive_triggers=ON")
    if pragma("synchronous") != _SYNCHRONOUS_FULL:
        raise SafehandError(Reason.CONFIG_INVALID, "the database is not durable")


def _emit_begin(connection: Connection) -> None:
    # Straight to the driver: SQLAlchemy has no construct for the kind of a BEGIN, and this is
    # on the path of every transaction (45 us less than exec_driver_sql).
    raw = driver(connection)
    statement = connection.get_execution_options().get(_BEGIN, "BEGIN")
    try:
        raw.execute(statement)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise SafehandError(Reason.UNAVAILABLE, "the database is busy") from error
        raise SafehandError(Reason.CONFIG_INVALID, "the database cannot be written") from error


def _filesystem(path: Path) -> str:
    """The type of the file system that holds ``path``, or "" where Linux does not tell."""
    mounts = Path("/proc/self/mountinfo")
    if not mounts.exists():
        return ""
    best, found = "", ""
    target = str(path.resolve())
    for line in mounts.read_text().splitlines():
        left, _, right = line.partition(" - ")
        point = left.split(" ")[4]
        inside = point == "/" or target == point or target.startswith(point + "/")
        if inside and len(point) >= len(best):
            best, found = point, right.split(" ")[0]
    return found

"""SQLite: one file per service, opened so that a commit that returned is on the disk."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from sqlalchemy import URL, Engine, create_engine, event

BUSY_TIMEOUT_S: Final = 5.0
"""Longest wait for another process's write transaction; those take milliseconds."""
FILE_MODE: Final = 0o600
"""Only the service's own user reads its database; SQLite gives -wal and -shm the same mode."""

CACHED_STATEMENTS: Final = 512
"""Statements that a connection keeps compiled: more than the services have, in all their shapes."""

_SYNCHRONOUS_FULL: Final = 2
_VOLATILE_FILESYSTEMS: Final = frozenset({"tmpfs", "ramfs"})
_UNAVAILABLE: Final = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL}
)


def open_engine(
    path: Path, *, read_only: bool, begin: Any, pool_size: int, max_overflow: int
) -> Engine:
    """An engine whose transactions begin as the listener ``begin`` says."""
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
        pool_size=pool_size,
        max_overflow=max_overflow,
    )
    event.listen(engine, "begin", begin)
    return engine


def begin(raw: sqlite3.Connection, statement: str) -> None:
    """Send ``statement``; raises UNAVAILABLE (another writer) or CONFIG_INVALID."""
    try:
        raw.execute(statement)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise SafehandError(Reason.UNAVAILABLE, "the database is busy") from error
        raise SafehandError(Reason.CONFIG_INVALID, "the database cannot be written") from error


def says_unavailable(error: BaseException) -> bool:
    """Whether a driver's ``error`` means that the database cannot be used now."""
    code = getattr(error, "sqlite_errorcode", None)
    # The low byte is the primary code; the rest says which kind of it.
    return isinstance(error, sqlite3.Error) and code is not None and code & 0xFF in _UNAVAILABLE


def require_durable(engine: Engine) -> None:
    """Raise CONFIG_INVALID unless a commit through ``engine`` reaches a real disk."""
    with engine.connect() as connection:
        journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    if journal != "wal" or synchronous < _SYNCHRONOUS_FULL:
        raise SafehandError(Reason.CONFIG_INVALID, "the database is not durable")
    path = engine.url.database
    if not path or _filesystem(Path(path)) in _VOLATILE_FILESYSTEMS:
        raise SafehandError(Reason.CONFIG_INVALID, "the database is in memory")


def _create(path: Path) -> None:
    if path.is_file() and os.access(path, os.R_OK | os.W_OK):
        # Never open and close a file that is there: closing any descriptor of it drops every
        # lock that this process holds on it (fcntl(2)). Another process then takes itself for
        # the last reader and deletes the log that ours go on writing to.
        return
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
        # isolation_level None: transactions begin where the listener says, nowhere else.
        connection = sqlite3.connect(
            uri,
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=CACHED_STATEMENTS,
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

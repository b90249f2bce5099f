"""One database per service, SQLite or PostgreSQL, where a commit that returned is on the disk.

SQLAlchemy Core, synchronous. A write transaction takes the database's one write lock before it
reads, so it can wait for another writer but can never fail for having read first.
"""

from __future__ import annotations

import functools
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from safehand_store import sqlite
from safehand_store.location import Location

POOL_SIZE: Final = 8
"""Connections kept open: a little more than the threads that are in a query at one time."""
MAX_OVERFLOW: Final = 56
"""Further connections under load: an RPC server has at most 64 threads."""

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
"""What ``engine.dialect.name`` says."""

_KIND: Final = "safehand_begin"
_READ: Final = "read"
_WRITE: Final = "write"


class Cursor(Protocol):
    """What a driver's ``execute`` returns, on both engines."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Driver(Protocol):
    """A driver's own connection: what both have in common."""

    def execute(self, sql: Any, parameters: Sequence[Any] = ..., /) -> Cursor: ...
    def cursor(self) -> Any: ...


def open_engine(location: Location, *, read_only: bool = False) -> Engine:
    """An engine on ``location``: a SQLite file, or a PostgreSQL database (``location.locate``).

    A SQLite file is created (mode 0600) if it is not there. With ``read_only`` nothing is created
    or changed, not even by a caller's mistake. Raises CONFIG_INVALID when a file is missing or
    cannot be opened durably. A PostgreSQL server is asked at the first transaction.
    """
    if isinstance(location, Path):
        return sqlite.open_engine(
            location,
            read_only=read_only,
            begin=_begin_sqlite,
            pool_size=POOL_SIZE,
            max_overflow=MAX_OVERFLOW,
        )
    location.parameters()
    made: Engine = _postgres().open_engine(
        location,
        read_only=read_only,
        begin=_begin_postgres,
        pool_size=POOL_SIZE,
        max_overflow=MAX_OVERFLOW,
    )
    return made


def is_postgres(bind: Engine | Connection) -> bool:
    return bind.dialect.name == POSTGRESQL


@contextmanager
def begin_write(engine: Engine) -> Iterator[Connection]:
    """A write transaction; committed at the end, rolled back on an error.

    There is one at a time in a database. Raises UNAVAILABLE when the database cannot be used now:
    then nothing was done, or (after a lost connection) it is not known whether it was committed.
    """
    with usable(), _ready(engine, _WRITE) as connection:
        yield connection


@contextmanager
def begin_read(engine: Engine) -> Iterator[Connection]:
    """A read transaction: one consistent snapshot, never waits, never blocks a writer.

    Raises UNAVAILABLE when the database cannot be used now.
    """
    with usable(), _ready(engine, _READ) as connection:
        yield connection


@contextmanager
def glance(engine: Engine) -> Iterator[Connection]:
    """For one ``Prepared`` SELECT, which is a snapshot by itself: as ``begin_read``, without the
    BEGIN and its end where the engine needs none.

    Raises UNAVAILABLE when the database cannot be used now.
    """
    if is_postgres(engine):
        # There the BEGIN is also the question whether the connection is alive.
        with begin_read(engine) as connection:
            yield connection
        return
    with usable(), engine.connect() as connection:
        yield connection


def for_writing(connection: Connection) -> Connection:
    """Mark ``connection`` so that its next transactions are write transactions."""
    return connection.execution_options(**{_KIND: _WRITE})


def driver(connection: Connection) -> Driver:
    """The driver's own connection under ``connection``, for the few statements that are hot."""
    raw = connection.connection.dbapi_connection
    if raw is None:
        raise TypeError("the connection is closed")
    return raw  # type: ignore[return-value]


def changes(raw: Driver) -> int | None:
    """A number that grows with every row that is changed in the open transaction of ``raw``.

    None where it is not known: on PostgreSQL, and where SQLite has ended the transaction itself.
    """
    if isinstance(raw, sqlite3.Connection) and raw.in_transaction:
        return raw.total_changes
    return None


def database_errors(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """What SQLAlchemy and the drivers in use raise, and ``others``; for ``except``."""
    found: list[type[Exception]] = [*others, SQLAlchemyError, sqlite3.Error]
    if "psycopg" in sys.modules:
        found.append(sys.modules["psycopg"].Error)
    return tuple(found)


def lost(connection: Connection) -> bool:
    """Whether the connection to a PostgreSQL server is over; a file is never lost."""
    raw: Any = connection.connection.dbapi_connection if not connection.invalidated else None
    return raw is None or bool(getattr(raw, "closed", False))


@contextmanager
def usable() -> Iterator[None]:
    """Turn what a driver says of a database that cannot be used now into UNAVAILABLE."""
    try:
        yield
    except database_errors() as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if cause is not None and says_unavailable(cause):
            raise SafehandError(Reason.UNAVAILABLE, "the database cannot be used now") from error
        raise


def says_unavailable(error: BaseException) -> bool:
    """Whether a driver's ``error`` is about the state of the database, not about the statement."""
    if isinstance(error, sqlite3.Error):
        return sqlite.says_unavailable(error)
    return "psycopg" in sys.modules and bool(_postgres().says_unavailable(error))


def require_durable(engine: Engine) -> None:
    """Raise CONFIG_INVALID unless a commit through ``engine`` survives a crash.

    SQLite: WAL, ``synchronous`` FULL or stricter, and a file on a file system that is not memory.
    PostgreSQL: ``fsync``, ``full_page_writes`` and ``synchronous_commit`` on, version 15 or newer,
    UTF8, collation C.
    """
    if not is_postgres(engine):
        sqlite.require_durable(engine)
        return
    with begin_read(engine) as connection:
        _postgres().require_durable(connection)


def require_standby(engine: Engine) -> None:
    """From now on ``engine`` writes only where every commit waits for a standby (PostgreSQL).

    Raises CONFIG_INVALID where there is no synchronous standby now. Asked again at the beginning of
    each write transaction, which is UNAVAILABLE then, as is a commit that did not wait.
    """
    if not is_postgres(engine):
        raise SafehandError(Reason.CONFIG_INVALID, "a standby needs PostgreSQL")
    with begin_read(engine) as connection:
        _postgres().require_standby(connection)
    engine.update_execution_options(**{_postgres().REQUIRE_STANDBY: True})


@contextmanager
def _ready(engine: Engine, kind: str) -> Iterator[Connection]:
    if not is_postgres(engine):
        with engine.connect() as connection:
            if kind == _WRITE:
                for_writing(connection)
            with connection.begin():
                yield connection
        return
    connection = _begun(engine, kind)
    try:
        with connection.get_transaction():  # type: ignore[union-attr]
            yield connection
        if kind == _WRITE:
            _postgres().require_replicated(connection)
    finally:
        _give_back(connection)


def _begun(engine: Engine, kind: str) -> Connection:
    """A connection in a transaction. One that the server ended meanwhile is replaced, once.

    The BEGIN itself is the question whether the connection is alive: nothing was done yet.
    """
    for last in (False, True):
        connection = engine.connect().execution_options(**{_KIND: kind})
        try:
            connection.begin()
        except BaseException:
            gone = lost(connection)
            _give_back(connection)
            if last or not gone:
                raise
            # The others of the pool are as old; those in use are not touched.
            engine.dispose()
            continue
        return connection
    raise AssertionError("unreachable")


def _give_back(connection: Connection) -> None:
    if lost(connection) and not connection.invalidated:
        # Else the pool would try a rollback on it, and log that this failed.
        connection.invalidate()
    connection.close()


def _begin_sqlite(connection: Connection) -> None:
    # Straight to the driver: SQLAlchemy has no construct for the kind of a BEGIN, and this is
    # on the path of every transaction (45 us less than exec_driver_sql).
    raw: Any = driver(connection)
    kind = connection.get_execution_options().get(_KIND)
    sqlite.begin(raw, "BEGIN IMMEDIATE" if kind == _WRITE else "BEGIN")


def _begin_postgres(connection: Connection) -> None:
    options = connection.get_execution_options()
    kind = options.get(_KIND)
    engine = _postgres()
    if options.get(engine.READ_ONLY):
        if kind == _WRITE:
            raise SafehandError(Reason.CONFIG_INVALID, "the database was opened for reading alone")
        kind = _READ
    write = engine.BEGIN_WRITE
    if options.get(engine.REQUIRE_STANDBY):
        write = engine.BEGIN_WRITE_REPLICATED
    statements: dict[Any, str] = {_READ: engine.BEGIN_READ, _WRITE: write}
    engine.begin(connection, statements.get(kind, engine.BEGIN))


@functools.cache
def _postgres() -> Any:
    # Imported at the first use: a process on SQLite never needs the driver.
    from safehand_store import postgres

    return postgres

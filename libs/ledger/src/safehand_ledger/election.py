"""Who may write a ledger: one process, chosen by a lock that ends with its holder.

SQLite: a lock on a file beside the database; a second process is refused. PostgreSQL: an advisory
lock of the session on which the writer also writes. When that session ends, however it ends, its
open transaction is gone and so is its lock, so whoever gets the lock next can never meet a commit
of the old holder behind its own first read; the compare-and-swap of the head says so once more.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store.engine import (
    begin_read,
    database_errors,
    driver,
    for_writing,
    is_postgres,
    lost,
    require_durable,
    usable,
)
from sqlalchemy import Connection, Engine

CHECK_EVERY_S: Final = 1.0
"""Seconds between looks at whether the lock's session is still there, while nothing is written."""
HOLD_S: Final = 2.0
"""A release leaves its process at most this long after the commit of its entry began, or is
cancelled: twice the longest that a gate holds one. By a clock that goes on while the machine
sleeps."""
TAKEOVER_S: Final = HOLD_S + 0.5
"""Seconds that a new holder waits before it answers its first stop: then nothing that the one
before it had committed can still be on its way out. The half second is for clocks that run at
different speeds and for the last bytes of an answer."""


FROZEN_MS: Final = 10_000
"""Milliseconds after which the server ends the elected session of a process that does nothing any
more, inside a transaction or outside: about as soon as it notices one that vanished. A writer that
lives says something each ``CHECK_EVERY_S``."""


class Election(Protocol):
    """One candidate. ``connection`` is the writer's own, there once it is elected."""

    connection: Connection
    takeover_s: float
    check_every_s: float | None

    def elect(self) -> bool:
        """Become the writer if nobody else is; says whether."""
        ...

    def check(self) -> None:
        """Raise when this process is not the writer any more."""
        ...

    def held(self) -> bool:
        """Ask from any thread, past ``connection``, whether this process is still the writer.

        Raises where the database cannot be asked.
        """
        ...

    def committed(self) -> None:
        """After a commit: raise when it may not be where it must be."""
        ...

    def recover(self) -> None:
        """After a failed transaction was not rolled back: a new connection, or raise."""
        ...

    def resign(self) -> None:
        """Let go. Idempotent."""
        ...


def election(engine: Engine, origin: str, *, require_standby: bool = False) -> Election:
    """The election for the ledger ``origin`` in the database of ``engine``."""
    if is_postgres(engine):
        return SessionLock(engine, origin, require_standby=require_standby)
    if require_standby:
        raise SafehandError(Reason.CONFIG_INVALID, "a standby needs PostgreSQL")
    return FileLock(engine)


class FileLock:
    """A lock on ``<database>-writer``."""

    connection: Connection
    takeover_s = 0.0
    """The kernel lets go of the lock when the process is gone, and all it had with it."""
    check_every_s: float | None = None

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._descriptor: int | None = None

    def elect(self) -> bool:
        database = Path(str(self._engine.url.database))
        path = database.with_name(database.name + "-writer")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        self.connection = for_writing(self._engine.connect())
        return True

    def check(self) -> None:
        """The lock lasts as long as this process."""

    def held(self) -> bool:
        return True

    def committed(self) -> None:
        """SQLite has nobody to wait for."""

    def recover(self) -> None:
        self.connection.invalidate()
        self.connection.close()
        self.connection = for_writing(self._engine.connect())

    def resign(self) -> None:
        if self._descriptor is not None:
            self.connection.close()
            os.close(self._descriptor)
            self._descriptor = None


class LostError(Exception):
    """The session that held the lock is over."""


class UnreplicatedError(Exception):
    """A commit returned without its standby."""


class SessionLock:
    """An advisory lock of one PostgreSQL session, keyed by the ledger's origin.

    With ``require_standby`` there must also be a synchronous standby, each time the lock is got.
    """

    connection: Connection
    takeover_s = TAKEOVER_S
    check_every_s: float | None = CHECK_EVERY_S

    def __init__(self, engine: Engine, origin: str, *, require_standby: bool = False) -> None:
        from safehand_store import postgres

        self._postgres = postgres
        self._engine = engine
        self._key = postgres.key_of(f"ledger writer {origin}")
        self._require_standby = require_standby
        self._warned = False
        self._elected = False
        self._session = 0

    def elect(self) -> bool:
        """Raises CONFIG_INVALID where the database loses commits, UNAVAILABLE."""
        require_durable(self._engine)
        with usable():
            connection = self._engine.connect()
            try:
                # No write transaction: the writer that is may be in one for long.
                if not self._lock(connection):
                    connection.rollback()
                    connection.close()
                    return False
                if self._require_standby:
                    self._postgres.require_standby(connection)
                self._session = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
                connection.rollback()
                # For the session, so outside any transaction.
                driver(connection).execute(self._postgres.end_when_idle(FROZEN_MS))
            except BaseException:
                # With the session goes the lock.
                connection.invalidate()
                connection.close()
                raise
        raw: Any = connection.connection.dbapi_connection
        raw.add_notice_handler(self._notice)
        self.connection = for_writing(connection)
        self._elected = True
        return True

    def _lock(self, connection: Connection) -> bool:
        got = connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s::bigint)", (self._key,))
        return bool(got.scalar_one())

    def _notice(self, diagnostic: Any) -> None:
        # A commit that waited for its standby and was told not to (an operator cancelled it, or the
        # server is going down) succeeds with a warning: committed here, perhaps nowhere else.
        if diagnostic.severity_nonlocalized == "WARNING":
            self._warned = True

    def check(self) -> None:
        if lost(self.connection):
            raise LostError
        # Outside any transaction: a question, which waits for no lock.
        names, commits = driver(self.connection).execute(self._postgres.STANDBY_NAMES).fetchone()
        if self._require_standby:
            self._postgres.require_standby_names(names, commits)
        self.committed()

    def held(self) -> bool:
        with begin_read(self._engine) as connection:
            asked = connection.exec_driver_sql(
                self._postgres.HOLDS, {"session": self._session, "key": self._key}
            )
            return bool(asked.scalar_one())

    def committed(self) -> None:
        if self._warned:
            raise UnreplicatedError

    def recover(self) -> None:
        raise LostError

    def resign(self) -> None:
        if not self._elected:
            return
        self._elected = False
        if not lost(self.connection):
            # At once, for whoever waits; the end of the session would do it a moment later.
            with suppress(*database_errors()):
                driver(self.connection).execute("SELECT pg_advisory_unlock_all()")
        # Nothing is given back to the pool.
        if not self.connection.invalidated:
            self.connection.invalidate()
        self.connection.close()

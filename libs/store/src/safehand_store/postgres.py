"""PostgreSQL: connections of the service's own role, and what must be true of the server.

A write transaction takes one advisory lock for the whole database before it reads, as SQLite's
``BEGIN IMMEDIATE`` does: what was reasoned about one writer at a time holds on both engines. The
lock travels with the BEGIN, in one round trip. Reads are one snapshot and take no lock.

The driver's own transactions are off (``autocommit``); ``BEGIN`` is sent where ``engine`` says.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import psycopg
from psycopg import errors, pq
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from sqlalchemy import Connection, Engine, create_engine, event

from safehand_store.location import Postgres

LOCK_TIMEOUT_MS: Final = 5000
"""Longest wait for another write transaction; those take milliseconds."""
IDLE_IN_TRANSACTION_MS: Final = 30_000
"""A process that was frozen inside a transaction loses it, and its locks, after this."""
CONNECT_TIMEOUT_S: Final = 5
PREPARE_AFTER: Final = 2
"""Executions of one statement on one connection before the server keeps its plan."""
PREPARED_MAX: Final = 400
"""Plans that a connection keeps: more than the services have statements."""
OLDEST: Final = 150000
"""``server_version_num`` of the oldest PostgreSQL that the suite runs on."""
_SERVER_KEEPALIVE: Final = {
    # So that the server notices a peer that vanished within about ten seconds: until then it keeps
    # that peer's locks, the elected writer's among them.
    "tcp_keepalives_idle": "4",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_CLIENT_KEEPALIVE: Final = {
    "keepalives_idle": "4",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_WAITED_FOR_STANDBY: Final = frozenset({"on", "remote_apply", "remote_write"})
_UNAVAILABLE_CLASSES: Final = frozenset({"08", "40", "53", "55", "57", "58"})
"""SQLSTATE classes that say "not now": connection, serialisation, resources, locks, operator."""
_READ_ONLY: Final = "25006"
"""The server is a standby now."""


STANDBY_NAMES: Final = (
    "SELECT current_setting('synchronous_standby_names'), current_setting('synchronous_commit')"
)

HOLDS: Final = (
    # A lock of 64 bits is shown in two halves.
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND (classid::bigint << 32 | objid::bigint) = %(key)s::bigint AND pid = %(session)s)"
)
"""Whether the session of the server's process ``session`` holds the advisory lock ``key``."""


def end_when_idle(after_ms: int) -> str:
    """Statement: the server ends this session when it says nothing for so long, also in a
    transaction."""
    return (
        f"SELECT set_config('idle_session_timeout', '{after_ms}', false),"
        f" set_config('idle_in_transaction_session_timeout', '{after_ms}', false)"
    )


def key_of(name: str) -> int:
    """The 64-bit key of the advisory lock ``name``."""
    digest = hashlib.sha256(f"safehand lock: {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


READ_ONLY: Final = "safehand_read_only"
"""Execution option of an engine: whether it may only read."""
REQUIRE_STANDBY: Final = "safehand_require_standby"
"""Execution option of an engine: whether it writes only where every commit waits for a standby."""
BEGIN: Final = "BEGIN"
BEGIN_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
BEGIN_WRITE: Final = (
    # READ COMMITTED: each statement sees what was committed before the lock was got.
    "BEGIN ISOLATION LEVEL READ COMMITTED; "
    f"SELECT pg_advisory_xact_lock({key_of('write transactions')})"
)
BEGIN_WRITE_REPLICATED: Final = f"{BEGIN_WRITE}; {STANDBY_NAMES}"
"""For engines with ``REQUIRE_STANDBY``: asked at each, in the same round trip."""


class Notices:
    """What the server said beside its answers."""

    def __init__(self) -> None:
        self.warned = False

    def note(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        # A commit that waited for its standby and was told not to (an operator cancelled it, or the
        # server is going down) succeeds with a warning: committed here, perhaps nowhere else.
        if diagnostic.severity_nonlocalized == "WARNING":
            self.warned = True


class Listening(psycopg.Connection[Any]):
    """A connection that remembers whether its last COMMIT came with a warning."""

    notices: Notices


def open_engine(
    location: Postgres, *, read_only: bool, begin: Any, pool_size: int, max_overflow: int
) -> Engine:
    """An engine whose transactions begin as the listener ``begin`` says."""

    def connected() -> psycopg.Connection[Any]:
        return connect(location, read_only=read_only)

    engine = create_engine(
        "postgresql+psycopg://",
        creator=connected,
        pool_size=pool_size,
        max_overflow=max_overflow,
        use_native_hstore=False,
        hide_parameters=True,
        execution_options={READ_ONLY: read_only},
    )
    event.listen(engine, "begin", begin)
    event.listen(engine, "commit", _refuse_aborted)
    return engine


def connect(location: Postgres, *, read_only: bool) -> psycopg.Connection[Any]:
    """A connection without transactions of the driver's own; raises UNAVAILABLE."""
    settings = {
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS),
        # Cancelling a commit that waits for its standby would make it look answered.
        "statement_timeout": "0",
        "search_path": "public",
        "TimeZone": "UTC",
        **_SERVER_KEEPALIVE,
    }
    if read_only:
        settings["default_transaction_read_only"] = "on"
    if location.remote_apply:
        settings["synchronous_commit"] = "remote_apply"
    parameters = {
        "application_name": "safehand",
        "connect_timeout": str(CONNECT_TIMEOUT_S),
        # After a failover only the server that takes writes is the database.
        "target_session_attrs": "any" if read_only else "read-write",
        **_CLIENT_KEEPALIVE,
        **location.parameters(),
        "client_encoding": "UTF8",
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
    }
    try:
        made = Listening.connect(**parameters, autocommit=True)  # type: ignore[arg-type]
    except psycopg.Error as error:
        raise SafehandError(
            Reason.UNAVAILABLE, "the database does not accept the connection"
        ) from error
    made.notices = Notices()
    made.add_notice_handler(made.notices.note)
    made.prepare_threshold = PREPARE_AFTER
    made.prepared_max = PREPARED_MAX
    return made


def begin(connection: Connection, statement: str) -> None:
    """Send ``statement``, the beginning of a transaction.

    Raises UNAVAILABLE when the connection is gone or another transaction has the lock too long.
    """
    raw: psycopg.Connection[Any] = connection.connection.dbapi_connection  # type: ignore[assignment]
    try:
        # Several statements in one message cannot be prepared.
        answered = raw.execute(statement, prepare=False)
    except errors.LockNotAvailable as error:
        raw.rollback()
        raise SafehandError(Reason.UNAVAILABLE, "the database is busy") from error
    except psycopg.Error as error:
        if not raw.closed:
            raw.rollback()
        raise SafehandError(Reason.UNAVAILABLE, "the database cannot be used now") from error
    if statement is BEGIN_WRITE_REPLICATED:
        while answered.nextset():
            pass
        try:
            require_standby_names(*answered.fetchone())  # type: ignore[misc]
        except SafehandError as error:
            raw.rollback()
            raise SafehandError(Reason.UNAVAILABLE, error.detail) from error


def require_replicated(connection: Connection) -> None:
    """After a commit: raise UNAVAILABLE where it did not wait for its standby.

    It is done here, and perhaps nowhere else.
    """
    raw: Listening = connection.connection.dbapi_connection  # type: ignore[assignment]
    if connection.get_execution_options().get(REQUIRE_STANDBY) and raw.notices.warned:
        raise SafehandError(Reason.UNAVAILABLE, "the standby may not have what was written")


def _refuse_aborted(connection: Connection) -> None:
    # COMMIT of a transaction in which a statement failed is answered with ROLLBACK and no error.
    raw: Listening = connection.connection.dbapi_connection  # type: ignore[assignment]
    raw.notices.warned = False  # what is said from here on is about the commit
    if raw.info.transaction_status == pq.TransactionStatus.INERROR:
        raise SafehandError(Reason.INTERNAL, "a transaction went on after an error")


def says_unavailable(error: BaseException) -> bool:
    """Whether a driver's ``error`` means that the database cannot be used now."""
    if isinstance(error, psycopg.InterfaceError):
        return True
    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError)
    return state[:2] in _UNAVAILABLE_CLASSES or state == _READ_ONLY


def require_durable(connection: Connection) -> None:
    """Raise CONFIG_INVALID unless a commit that returned survives a crash of the server."""

    def shown(name: str) -> str:
        return str(connection.exec_driver_sql(f"SHOW {name}").scalar_one())

    if int(shown("server_version_num")) < OLDEST:
        raise SafehandError(Reason.CONFIG_INVALID, "PostgreSQL is older than 15")
    durable = shown("fsync") == "on" and shown("full_page_writes") == "on"
    if not durable or shown("synchronous_commit") not in _WAITED_FOR_STANDBY:
        raise SafehandError(
            Reason.CONFIG_INVALID,
            "the database is not durable: fsync, full_page_writes and synchronous_commit stay on",
        )
    # By code point, as SQLite and Python sort: asked of the server, which has several providers.
    sorts = connection.exec_driver_sql("SELECT 'B' < 'a' AND '_' < 'a' AND 'z' < U&'\\00e9'")
    if shown("server_encoding") != "UTF8" or not sorts.scalar_one():
        raise SafehandError(
            Reason.CONFIG_INVALID, "the database's encoding is UTF8 and its collation C"
        )


def require_standby(connection: Connection) -> None:
    """Raise CONFIG_INVALID unless every commit waits for a standby that is there.

    An asynchronous standby may lack the newest commits: if it took over, a stop that was answered
    would be gone. So there must be names in ``synchronous_standby_names``, at least one standby
    that is synchronous now, and this session must wait until it has applied each commit.
    """
    require_standby_names(*connection.exec_driver_sql(STANDBY_NAMES).one())
    states = connection.exec_driver_sql("SELECT sync_state FROM pg_stat_replication").scalars()
    if not set(states) & {"sync", "quorum"}:
        raise SafehandError(
            Reason.CONFIG_INVALID,
            "no synchronous standby is connected, or the role may not see it (pg_read_all_stats)",
        )


def require_standby_names(names: str, commits: str) -> None:
    """The part of ``require_standby`` that no lost connection of a standby changes.

    ``names`` and ``commits`` are what ``STANDBY_NAMES`` selects. While a named standby is away,
    commits wait, and nothing is answered; that is safe.
    """
    if not names or commits != "remote_apply":
        raise SafehandError(
            Reason.CONFIG_INVALID, "the standby is asynchronous: set synchronous_standby_names"
        )

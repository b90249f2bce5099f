"""A service's schema changes: one alembic tree beside its code, for both engines.

On SQLite the service runs ``upgrade`` itself before it serves. On PostgreSQL an operator runs it
as the role that owns the tables (``safehand database migrate``), and the service, whose own role
may not change a schema, only asks ``require_current``. It is one transaction, so a half-done
change never stays; the tree's ``env.py`` is one call of ``run_env``.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command, context
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from sqlalchemy import Connection, Engine, MetaData

from safehand_store import guard, roles
from safehand_store.engine import (
    begin_read,
    begin_write,
    is_postgres,
    open_engine,
    require_durable,
    require_standby,
)
from safehand_store.location import Location


def config(scripts: Path) -> Config:
    """An alembic configuration for the tree at ``scripts``; there is no ini file."""
    made = Config()
    made.set_main_option("script_location", str(scripts).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    return made


def upgrade(
    engine: Engine,
    scripts: Path,
    revision: str = "head",
    *,
    metadata: MetaData | None = None,
    app_role: str = "",
) -> None:
    """Bring the database to ``revision`` of the alembic tree at ``scripts``, all or nothing.

    With ``app_role`` (PostgreSQL) that role then may do with each table of ``metadata`` what the
    service does, and nothing else. Raises LEDGER_CORRUPT, and changes nothing, where an append-only
    table of ``metadata`` is then without a trigger: alembic's ``batch_alter_table`` makes a table
    anew and silently drops them (``guard.create_triggers``).
    """
    made = config(scripts)
    with begin_write(engine) as connection:
        made.attributes["connection"] = connection
        command.upgrade(made, revision)
        if metadata is not None:
            guard.require_triggers(connection, metadata)
            if app_role:
                roles.grant(connection, metadata, app_role)


def run_env(metadata: MetaData | None = None) -> None:
    """The body of a tree's ``env.py``: migrate over the connection that ``upgrade`` passes."""
    connection: Connection | None = context.config.attributes.get("connection")
    if connection is None:
        raise SafehandError(Reason.CONFIG_INVALID, "migrations run inside the service")
    # One transaction is open already and the DDL of both engines takes part in it.
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
    context.run_migrations()


def current(engine: Engine) -> str | None:
    """The revision the database is at, or None before the first."""
    with begin_read(engine) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def require_current(engine: Engine, scripts: Path) -> None:
    """Raise CONFIG_INVALID unless the database is at the tree's newest revision.

    For processes that share a database and must not change its schema.
    """
    if current(engine) != ScriptDirectory.from_config(config(scripts)).get_current_head():
        raise SafehandError(Reason.CONFIG_INVALID, "the database is at another schema version")


def open_service(
    location: Location, scripts: Path, metadata: MetaData, *, with_standby: bool = False
) -> Engine:
    """A service's own database, at the newest revision of its schema, ready to be used.

    On SQLite it is migrated here. On PostgreSQL it must have been (``safehand database migrate``),
    must be durable, and this process's role must not be able to change what only grows.
    ``with_standby``: nothing is written that no standby has (``engine.require_standby``). Raises
    CONFIG_INVALID, or UNAVAILABLE when the server does not answer.
    """
    engine = open_engine(location)
    try:
        if is_postgres(engine):
            require_durable(engine)
            require_current(engine, scripts)
            roles.require(engine, metadata)
        else:
            upgrade(engine, scripts, metadata=metadata)
        if with_standby:
            require_standby(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine

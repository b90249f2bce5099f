"""A service's schema changes, run by the service itself before it serves.

Each service has one alembic tree beside its code. ``upgrade`` runs it on the service's own
engine in one transaction, so a half-done change never stays; the tree's ``env.py`` is one call
of ``run_env``.
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

from safehand_store.engine import begin_read, begin_write


def config(scripts: Path) -> Config:
    """An alembic configuration for the tree at ``scripts``; there is no ini file."""
    made = Config()
    made.set_main_option("script_location", str(scripts).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    return made


def upgrade(engine: Engine, scripts: Path, revision: str = "head") -> None:
    """Bring the database to ``revision`` of the alembic tree at ``scripts``, all or nothing."""
    made = config(scripts)
    with begin_write(engine) as connection:
        made.attributes["connection"] = connection
        command.upgrade(made, revision)


def run_env(metadata: MetaData | None = None) -> None:
    """The body of a tree's ``env.py``: migrate over the connection that ``upgrade`` passes."""
    connection: Connection | None = context.config.attributes.get("connection")
    if connection is None:
        raise SafehandError(Reason.CONFIG_INVALID, "migrations run inside the service")
    # One transaction is open already and SQLite's DDL takes part in it.
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

"""PostgreSQL's two roles for one database: the owner migrates, the service's own role works.

The owner is for ``safehand database migrate`` and for nobody else. The service's role owns
nothing, may not create anything, and has only SELECT and INSERT on what only grows.
"""

from __future__ import annotations

import re
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from sqlalchemy import Connection, Engine, MetaData
from sqlalchemy.exc import DBAPIError

from safehand_store import guard
from safehand_store.engine import begin_write

ROLE_PATTERN: Final = re.compile(r"[a-z_][a-z0-9_-]{0,62}")
"""Role names that are used as they are; others are refused rather than quoted."""
VERSIONS: Final = "alembic_version"
SEES_STANDBYS: Final = "pg_read_all_stats"
"""The built-in role that may read what pg_stat_replication says."""

_EXISTS: Final = "SELECT 1 FROM pg_roles WHERE rolname = %s"
_SELF: Final = """
SELECT
    (
        SELECT bool_or(
            r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls
            OR r.rolname IN (
                'pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files',
                'pg_write_all_data', 'pg_create_subscription', 'pg_maintain', 'pg_signal_backend'
            )
        )
        FROM pg_roles r
        WHERE pg_has_role(session_user, r.oid, 'MEMBER')
    ) AS mighty,
    has_schema_privilege('public', 'CREATE')
        OR has_database_privilege(current_database(), 'CREATE') AS creates,
    pg_has_role(session_user, d.datdba, 'MEMBER') AS owns
FROM pg_database d
WHERE d.datname = current_database()
"""
"""What whoever signed in could become counts, not what it is just now: any role that it is a member
of, inherited or not, is one SET ROLE away."""


def grant(connection: Connection, metadata: MetaData, role: str) -> None:
    """Give ``role`` what a service needs on the tables of ``metadata``, and take away the rest.

    Raises CONFIG_INVALID for a role that is not there, or is the one that migrates.
    """
    if not ROLE_PATTERN.fullmatch(role):
        raise SafehandError(Reason.CONFIG_INVALID, "a role's name is of a-z, 0-9, _ and -")
    run = connection.exec_driver_sql
    if run(_EXISTS, (role,)).first() is None:
        raise SafehandError(Reason.CONFIG_INVALID, "there is no such database role: create it")
    if run("SELECT current_user").scalar_one() == role:
        raise SafehandError(Reason.CONFIG_INVALID, "the service's role must not own the tables")
    run("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    run(f'REVOKE ALL ON ALL TABLES IN SCHEMA public FROM "{role}"')
    run(f'GRANT USAGE ON SCHEMA public TO "{role}"')
    for table in metadata.sorted_tables:
        rights = "SELECT, INSERT"
        if not guard.is_append_only(table):
            rights += ", UPDATE, DELETE"
        run(f'GRANT {rights} ON "{table.name}" TO "{role}"')
    run(f'GRANT SELECT ON "{VERSIONS}" TO "{role}"')
    run(f'GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO "{role}"')


def grant_standby_view(connection: Connection, role: str) -> bool:
    """Let ``role`` see the standbys; False where only a more powerful role may grant that."""
    savepoint = connection.begin_nested()
    try:
        connection.exec_driver_sql(f'GRANT {SEES_STANDBYS} TO "{role}"')
    except DBAPIError:
        savepoint.rollback()
        return False
    savepoint.commit()
    return True


def require(engine: Engine, metadata: MetaData) -> None:
    """Raise CONFIG_INVALID unless this role is a service's and append-only tables refuse changes.

    LEDGER_CORRUPT where a trigger is missing.
    """
    with begin_write(engine) as connection:
        found = connection.exec_driver_sql(_SELF).one()
        if found.mighty or found.creates or found.owns:
            raise SafehandError(
                Reason.CONFIG_INVALID,
                "the service's database role may do more than a service's role: "
                "give it a role of its own with safehand database migrate",
            )
        for table in metadata.sorted_tables:
            if guard.is_append_only(table):
                guard.require_append_only(connection, table)

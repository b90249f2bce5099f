"""PostgreSQL tells whoever listens that a service has new events (``listen``).

A trigger does it in the writer's own transaction: nobody can forget it, it costs no round trip,
and it is heard when the commit is visible and never before (PostgreSQL, NOTIFY).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, Table, event

from safehand_store.engine import is_postgres

CHANNEL: Final = "safehand_outbox"
FUNCTION: Final = "safehand_tell_outbox"

_CREATE_FUNCTION: Final = (
    f"CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql "
    f"SET search_path = pg_catalog AS $$BEGIN PERFORM pg_notify('{CHANNEL}', ''); "
    "RETURN NULL; END$$"
)


def tells(table: Table) -> Table:
    """Have every transaction that writes to ``table`` tell it on PostgreSQL, once it commits."""
    event.listen(table, "after_create", _after_create)
    return table


def _after_create(table: Table, connection: Connection, **_keywords: object) -> None:
    if not is_postgres(connection):
        return
    connection.exec_driver_sql(_CREATE_FUNCTION)
    connection.exec_driver_sql(
        f'CREATE TRIGGER "{table.name}_tell" AFTER INSERT OR UPDATE ON "{table.name}" '
        f"FOR EACH STATEMENT EXECUTE FUNCTION {FUNCTION}()"
    )

"""Append-only tables: triggers that refuse every change, and a check that they really do.

On PostgreSQL the service's role has no right to change them either: it owns nothing, and may only
read and insert. Whoever owns the file or the tables can drop a trigger; what detects that is the
signed tree head and fsck. The triggers stop mistakes, ours first of all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from sqlalchemy import Connection, Executable, MetaData, Table, event, insert
from sqlalchemy.exc import DBAPIError

from safehand_store.engine import is_postgres, usable

MESSAGE: Final = "append-only"
MISSING: Final = "an append-only trigger is missing"
"""What an operator reads."""
MARK: Final = "safehand_append_only"
"""Key in ``Table.info`` of every append-only table."""
FUNCTION: Final = "safehand_refuse_change"
"""What the triggers run on PostgreSQL."""

_FUNCTION_BODY: Final = f"BEGIN RAISE EXCEPTION '{MESSAGE}'; END"
_CREATE_FUNCTION: Final = (
    f"CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql "
    f"SET search_path = pg_catalog AS $${_FUNCTION_BODY}$$"
)
_DENIED: Final = "42501"
"""SQLSTATE of PostgreSQL's "permission denied"."""

# Bits of pg_trigger.tgtype (PostgreSQL, src/include/catalog/pg_trigger.h).
_ROW, _BEFORE, _DELETE, _UPDATE, _TRUNCATE = 1, 2, 8, 16, 32
_ALWAYS: Final = "A"
"""pg_trigger.tgenabled: also where ``session_replication_role`` is replica."""

_ROLE: Final = """
SELECT
    pg_has_role(current_user, c.relowner, 'MEMBER') AS owns,
    r.rolsuper AS super,
    has_table_privilege(c.oid, 'UPDATE') OR has_table_privilege(c.oid, 'DELETE')
        OR has_table_privilege(c.oid, 'TRUNCATE') OR has_table_privilege(c.oid, 'TRIGGER')
        OR has_any_column_privilege(c.oid, 'UPDATE') AS changes
FROM pg_class c JOIN pg_roles r ON r.rolname = current_user
WHERE c.oid = to_regclass(%s)
"""
_TRIGGERS: Final = """
SELECT t.tgname, t.tgtype, t.tgenabled, t.tgqual IS NULL AND t.tgattr = '' AS whole,
    p.proname, p.prosrc
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE t.tgrelid = to_regclass(%s) AND NOT t.tgisinternal
"""


def statements(table: str, key: Sequence[str]) -> dict[str, str]:
    """SQLite: trigger name to its ``CREATE TRIGGER``, for a table whose primary key is ``key``.

    Besides UPDATE and DELETE it refuses an INSERT of a key that is there: INSERT OR REPLACE
    would overwrite the row without an UPDATE.
    """
    same = " AND ".join(f'"{column}" = NEW."{column}"' for column in key)
    refuse = f"SELECT RAISE(ABORT, '{MESSAGE}')"
    exists = f'EXISTS (SELECT 1 FROM "{table}" WHERE {same})'  # noqa: S608  our own names
    return {
        f"{table}_no_update": (
            f'CREATE TRIGGER "{table}_no_update" BEFORE UPDATE ON "{table}" BEGIN {refuse}; END'
        ),
        f"{table}_no_delete": (
            f'CREATE TRIGGER "{table}_no_delete" BEFORE DELETE ON "{table}" BEGIN {refuse}; END'
        ),
        f"{table}_no_replace": (
            f'CREATE TRIGGER "{table}_no_replace" BEFORE INSERT ON "{table}" '
            f"WHEN {exists} BEGIN {refuse}; END"
        ),
    }


def postgres_statements(table: str) -> list[str]:
    """PostgreSQL: what gives a table its triggers. TRUNCATE fires no row trigger."""
    run = f"EXECUTE FUNCTION {FUNCTION}()"
    enable = f'ALTER TABLE "{table}" ENABLE ALWAYS TRIGGER'
    return [
        _CREATE_FUNCTION,
        f'CREATE TRIGGER "{table}_no_change" BEFORE UPDATE OR DELETE ON "{table}" '
        f"FOR EACH ROW {run}",
        f'CREATE TRIGGER "{table}_no_truncate" BEFORE TRUNCATE ON "{table}" '
        f"FOR EACH STATEMENT {run}",
        f'{enable} "{table}_no_change"',
        f'{enable} "{table}_no_truncate"',
    ]


def append_only(table: Table) -> Table:
    """Give ``table`` its triggers whenever it is created from its metadata."""
    table.info[MARK] = True
    event.listen(table, "after_create", _create_triggers(table))
    return table


def is_append_only(table: Table) -> bool:
    return bool(table.info.get(MARK))


def create_triggers(connection: Connection, table: Table) -> None:
    """Give a table that exists its triggers; for a migration that had to make it anew."""
    if is_postgres(connection):
        made = postgres_statements(table.name)
    else:
        made = list(statements(table.name, _key(table)).values())
    for statement in made:
        connection.exec_driver_sql(statement)


def _create_triggers(table: Table) -> Callable[..., None]:
    def after_create(_target: Table, connection: Connection, **_keywords: object) -> None:
        create_triggers(connection, table)

    return after_create


def _key(table: Table) -> list[str]:
    return [column.name for column in table.primary_key]


def problems(connection: Connection, table: Table) -> list[str]:
    """The triggers of ``table`` that are missing or not ours, by name."""
    if is_postgres(connection):
        return _postgres_problems(connection, table)
    rows = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?",
        (table.name,),
    )
    found = {row.name: row.sql for row in rows}
    wanted = statements(table.name, _key(table))
    return [name for name, sql in wanted.items() if found.get(name) != sql]


def _postgres_problems(connection: Connection, table: Table) -> list[str]:
    wanted: Mapping[str, int] = {
        f"{table.name}_no_change": _ROW | _BEFORE | _UPDATE | _DELETE,
        f"{table.name}_no_truncate": _BEFORE | _TRUNCATE,
    }
    found = {
        row.tgname: row.tgtype
        for row in connection.exec_driver_sql(_TRIGGERS, (_quoted(table),))
        if row.tgenabled == _ALWAYS
        and row.whole
        and (row.proname, row.prosrc) == (FUNCTION, _FUNCTION_BODY)
    }
    return [name for name, kind in wanted.items() if found.get(name) != kind]


def _quoted(table: Table) -> str:
    return f'"{table.name}"'


def require_triggers(connection: Connection, metadata: MetaData) -> None:
    """Raise LEDGER_CORRUPT unless every append-only table of ``metadata`` has its triggers."""
    for table in metadata.sorted_tables:
        if is_append_only(table) and problems(connection, table):
            raise SafehandError(Reason.LEDGER_CORRUPT, MISSING)


def require_append_only(connection: Connection, table: Table) -> None:
    """Raise LEDGER_CORRUPT unless ``table`` refuses changes; asked at start-up.

    It compares the triggers with ours, and then tries each change on the last row, inside a
    savepoint that is rolled back whatever happens. On PostgreSQL it also raises CONFIG_INVALID
    when this role owns the table, is a superuser, or was given a right to change it.
    """
    if problems(connection, table):
        raise SafehandError(Reason.LEDGER_CORRUPT, MISSING)
    if is_postgres(connection):
        _require_role(connection, table)
    column = next(iter(table.primary_key))
    row = connection.execute(table.select().order_by(column.desc()).limit(1)).first()
    if row is None:
        return
    where = column == row[0]
    attempts: list[Executable] = [
        table.update().where(where).values({column.name: row[0]}),
        table.delete().where(where),
    ]
    if not is_postgres(connection):
        attempts.append(insert(table).prefix_with("OR REPLACE").values(dict(row._mapping)))
    for attempt in attempts:
        savepoint = connection.begin_nested()
        try:
            with usable():
                connection.execute(attempt)
        except DBAPIError as error:
            if MESSAGE not in str(error.orig) and _state(error) != _DENIED:
                raise SafehandError(
                    Reason.LEDGER_CORRUPT, "an append-only table is damaged"
                ) from error
            continue
        finally:
            savepoint.rollback()
        raise SafehandError(Reason.LEDGER_CORRUPT, "an append-only table can be changed")


def _require_role(connection: Connection, table: Table) -> None:
    row = connection.exec_driver_sql(_ROLE, (_quoted(table),)).one()
    if row.owns or row.super or row.changes:
        raise SafehandError(
            Reason.CONFIG_INVALID,
            "the service's database role may change append-only tables: "
            "give it a role of its own with safehand database migrate",
        )


def _state(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)

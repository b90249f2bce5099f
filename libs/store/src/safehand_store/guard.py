"""Append-only tables: triggers that refuse every change, and a check that they really do.

Whoever owns the file can drop a trigger; what detects that is the signed tree head and fsck.
The triggers stop mistakes, ours first of all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from sqlalchemy import Connection, Table, event
from sqlalchemy.exc import DBAPIError

MESSAGE: Final = "append-only"


def statements(table: str, key: Sequence[str]) -> dict[str, str]:
    """Trigger name to its ``CREATE TRIGGER``, for a table whose primary key is ``key``.

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


def append_only(table: Table) -> Table:
    """Give ``table`` its triggers whenever it is created from its metadata."""
    key = [column.name for column in table.primary_key]
    for statement in statements(table.name, key).values():
        event.listen(table, "after_create", _executes(statement))
    return table


def _executes(statement: str) -> Callable[..., None]:
    def after_create(_target: Table, connection: Connection, **_keywords: object) -> None:
        connection.exec_driver_sql(statement)

    return after_create


def problems(connection: Connection, table: Table) -> list[str]:
    """The triggers of ``table`` that are missing or not ours, by name."""
    key = [column.name for column in table.primary_key]
    rows = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?",
        (table.name,),
    )
    found = {row.name: row.sql for row in rows}
    return [name for name, sql in statements(table.name, key).items() if found.get(name) != sql]


def require_append_only(connection: Connection, table: Table) -> None:
    """Raise LEDGER_CORRUPT unless ``table`` refuses changes; asked at start-up.

    It compares the triggers with ours, and then tries each change on the last row, inside a
    savepoint that is rolled back whatever happens.
    """
    if problems(connection, table):
        raise SafehandError(Reason.LEDGER_CORRUPT, "an append-only trigger is missing")
    column = next(iter(table.primary_key))
    row = connection.execute(table.select().order_by(column.desc()).limit(1)).first()
    if row is None:
        return
    where = column == row[0]
    attempts = (
        table.update().where(where).values({column.name: row[0]}),
        table.delete().where(where),
        table.insert().prefix_with("OR REPLACE").values(dict(row._mapping)),
    )
    for attempt in attempts:
        savepoint = connection.begin_nested()
        try:
            connection.execute(attempt)
        except DBAPIError as error:
            if MESSAGE not in str(error.orig):
                raise SafehandError(
                    Reason.LEDGER_CORRUPT, "an append-only table is damaged"
                ) from error
            continue
        finally:
            savepoint.rollback()
        raise SafehandError(Reason.LEDGER_CORRUPT, "an append-only table can be changed")

"""References between rows: what is taken is closed under them.

A row that names a row that is not taken is not taken either, so that an import of what is
left never stores a link into nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from safehand_hsds.report import Problem, ProblemCode
from safehand_hsds.schema import LINK_TABLES, TABLES, Column, Kind
from safehand_hsds.tables import Row, Rows


def close(tables: dict[str, Rows]) -> list[Problem]:
    """Report every row with a reference that leads nowhere.

    Returns the MISSING_FILE problems of files that are not there although rows name them.
    """
    missing: dict[str, Problem] = {}
    known: dict[str, set[str]] = {}
    for table in TABLES:
        rows = tables.get(table.name)
        if rows is None:
            continue
        itself = [c for c in table.columns if c.target == table.name]
        for row in rows.taken():
            for column, target, value in _references(rows, row):
                if target != table.name:
                    code = _lookup(tables, known, missing, target, value)
                    if code is not None:
                        rows.report(row, code, column)
        for column_of_itself in itself:
            _close_over_itself(rows, column_of_itself)
        known[table.name] = {row.id for row in rows.taken()}
    return list(missing.values())


def _references(rows: Rows, row: Row) -> Iterator[tuple[str, str, str]]:
    """(column, table it points into, id) of every reference that the row makes."""
    for column in rows.table.columns:
        if column.kind is Kind.REFERENCE and row.values.get(column.name):
            yield column.name, column.target, row.values[column.name]
    if rows.table.name == "attributes":
        target = LINK_TABLES.get(row.values["link_entity"])
        if target is not None:
            yield "link_id", target, row.values["link_id"]


def _lookup(
    tables: dict[str, Rows],
    known: dict[str, set[str]],
    missing: dict[str, Problem],
    target: str,
    value: str,
) -> ProblemCode | None:
    if value in known.get(target, ()):
        return None
    rows = tables.get(target)
    if rows is None:
        file = next(t.file for t in TABLES if t.name == target)
        missing.setdefault(target, Problem(file, 1, ProblemCode.MISSING_FILE))
        return ProblemCode.REFERENCE_LEFT_OUT
    if not rows.usable or value in rows.left_out:
        return ProblemCode.REFERENCE_LEFT_OUT
    return ProblemCode.UNKNOWN_REFERENCE


def _close_over_itself(rows: Rows, column: Column) -> None:
    """Parents within one table: a row falls with its parent, however deep."""
    taken = {row.id: row for row in rows.taken()}
    children: dict[str, list[Row]] = {}
    for row in taken.values():
        parent = row.values.get(column.name, "")
        if parent:
            children.setdefault(parent, []).append(row)
    for parent in [p for p in children if p not in taken]:
        code = (
            ProblemCode.REFERENCE_LEFT_OUT
            if parent in rows.left_out
            else ProblemCode.UNKNOWN_REFERENCE
        )
        fallen = list(children[parent])
        for row in fallen:
            rows.report(row, code, column.name)
        while fallen:
            for row in children.get(fallen.pop().id, ()):
                if not row.reported:
                    rows.report(row, ProblemCode.REFERENCE_LEFT_OUT, column.name)
                    fallen.append(row)

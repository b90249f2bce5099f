"""Who looked, and who tried and was refused: one list for her, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from sqlalchemy import Column, Connection, Select, Table, and_, or_, select

from safehand_consent_service.tables import agency, grant, look, refused_look

REFUSED_INDEX: Final = -1
"""``ledger_index`` of a refused try: it is a row, not a leaf."""

_REFUSED, _LOOKED = 0, 1
"""Order at the same second; a look comes before (is shown above) a refused try."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a page ends: time, source, and number in that source. Sorts as the list does."""

    at: int
    source: int
    number: int

    def to_text(self) -> str:
        return f"{self.at}.{self.source}.{self.number}"

    @classmethod
    def from_text(cls, text: str) -> Position:
        at, source, number = (int(part) for part in text.split("."))
        return cls(at, source, number)


@dataclass(frozen=True, slots=True)
class Look:
    """One line of the list. ``refused`` is None for a look that took place."""

    position: Position
    at: int
    agency: str
    agency_name: str
    grant_id: str
    category: str
    worker_ref: str
    ledger_index: int
    refused: Reason | None


@dataclass(frozen=True, slots=True)
class _Source:
    statement: Select[Any]
    at: Column[int]
    number: Column[int]
    grant_id: Column[str]


def _source(table: Table, who: Column[str], number: Column[int], *also: Column[str]) -> _Source:
    columns: list[Any] = [
        table.c.at,
        who.label("who"),
        agency.c.display_name,
        table.c.grant_id,
        table.c.category,
        table.c.worker_ref,
        number.label("number"),
        *also,
    ]
    statement = (
        select(*columns)
        .join(grant, grant.c.grant_id == table.c.grant_id)
        .join(agency, agency.c.agency == who)
        .order_by(table.c.at.desc(), number.desc())
    )
    return _Source(statement, table.c.at, number, table.c.grant_id)


_SOURCES: Final = {
    _LOOKED: _source(look, look.c.recipient, look.c.leaf_index),
    _REFUSED: _source(
        refused_look, refused_look.c.agency, refused_look.c.refused_id, refused_look.c.reason
    ),
}


def page(
    connection: Connection,
    subject_id: str,
    grant_id: str | None,
    behind: Position | None,
    limit: int,
) -> list[Look]:
    """At most ``limit`` lines of hers, behind a position; of one grant, or (None) of all.

    Raises NOT_FOUND for a grant that is not hers.
    """
    if grant_id is not None:
        owner = connection.execute(
            select(grant.c.subject_id).where(grant.c.grant_id == grant_id)
        ).scalar()
        if owner != subject_id:
            raise SafehandError(Reason.NOT_FOUND)
    lines: list[Look] = []
    for source, of in _SOURCES.items():
        lines += _read(connection, source, of, subject_id, grant_id, behind, limit)
    return sorted(lines, key=lambda line: line.position, reverse=True)[:limit]


def _read(
    connection: Connection,
    source: int,
    of: _Source,
    subject_id: str,
    grant_id: str | None,
    behind: Position | None,
    limit: int,
) -> Sequence[Look]:
    statement = of.statement.where(grant.c.subject_id == subject_id).limit(limit)
    if grant_id is not None:
        statement = statement.where(of.grant_id == grant_id)
    if behind is not None:
        same_second = [of.at == behind.at]
        if source == behind.source:
            same_second.append(of.number < behind.number)
        older = [of.at < behind.at]
        if source <= behind.source:
            older.append(and_(*same_second))
        statement = statement.where(or_(*older))
    return [
        Look(
            position=Position(row.at, source, row.number),
            at=row.at,
            agency=row.who,
            agency_name=row.display_name,
            grant_id=row.grant_id,
            category=row.category,
            worker_ref=row.worker_ref,
            ledger_index=row.number if source == _LOOKED else REFUSED_INDEX,
            refused=None if source == _LOOKED else Reason(row.reason),
        )
        for row in connection.execute(statement)
    ]

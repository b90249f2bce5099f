"""Who looked, as her page asks it: filtered, newest first, without what is hidden.

A page ends at a second and a number that its session knows, never at a ledger index or a row: what
stands in a page's address says nothing about what is not on the page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from safehand_core.reasons import Reason
from sqlalchemy import Column, ColumnElement, Connection, Select, Table, func, select

from safehand_consent_service.grant_row import Grant
from safehand_consent_service.portal_shown import LOOKED, REFUSED, Hidden, look_id
from safehand_consent_service.refused_looks import UNVERIFIED
from safehand_consent_service.tables import look, refused_look

PAGE: Final = 20
PAGE_MAX: Final = 50
"""Rows of one page: what she can read, and no endless scroll."""

_COUNT: Any = func.count()


@dataclass(frozen=True, slots=True)
class Seen:
    """One look, or one try that was refused (``refused``: why). ``item``: its id."""

    item: str
    at: int
    agency: str
    category: str
    worker_ref: str
    grant: Grant
    refused: Reason | None


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for: None is all. ``grants``: those under which looks are shown, by id."""

    grants: Mapping[str, Grant]
    marked: Hidden
    agency: str | None = None
    since: int | None = None
    refused_only: bool = False

    def under(self, grant_id: str) -> Wish:
        """The same under one grant alone."""
        return replace(self, grants={grant_id: self.grants[grant_id]})

    def of(self, agency: str) -> Wish:
        """The same of one agency alone."""
        return replace(self, agency=agency)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ends: the second, and the session's number of its last row."""

    at: int
    number: str

    def to_text(self) -> str:
        return f"{self.at}.{self.number}"

    @classmethod
    def from_text(cls, text: str) -> Position:
        at, number = text.split(".")
        return cls(int(at), number)


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    table: Table
    number: Column[int]
    agency: Column[str]


_SOURCES: Final = (
    _Source(LOOKED, look, look.c.leaf_index, look.c.recipient),
    _Source(REFUSED, refused_look, refused_look.c.refused_id, refused_look.c.agency),
)
"""At the same second a look stands above a refused try."""


def page(
    connection: Connection,
    wish: Wish,
    behind: Position | None,
    limit: int,
    number: Callable[[str], str],
) -> list[Seen]:
    """At most ``limit`` rows behind ``behind``, newest first; ``number``: of an item.

    Where the row at which the last page ended was hidden meanwhile, its whole second comes again:
    rather twice than not at all.
    """
    if behind is None:
        return _rows(connection, wish, limit, None)
    same = _rows(connection, wish, None, lambda c: c == behind.at)
    ended = [index for index, row in enumerate(same) if number(row.item) == behind.number]
    rest = same[ended[0] + 1 :] if ended else same
    return [*rest, *_rows(connection, wish, limit, lambda c: c < behind.at)][:limit]


def counts(connection: Connection, wish: Wish) -> tuple[int, int]:
    """How many rows, and how many of these were refused."""
    found = {
        source.name: int(connection.execute(_where(select(_COUNT), source, wish)).scalar_one())
        for source in _asked(wish)
    }
    return sum(found.values()), found.get(REFUSED, 0)


def tried(connection: Connection, grants: Sequence[str], marked: Hidden) -> set[str]:
    """Agencies that tried something under these grants and were refused."""
    statement = select(refused_look.c.agency).where(refused_look.c.grant_id.in_(grants)).distinct()
    left_out = marked.looks(REFUSED)
    if left_out:
        statement = statement.where(refused_look.c.refused_id.not_in(left_out))
    return {row.agency for row in connection.execute(statement)}


def all_items(connection: Connection, grants: Sequence[str]) -> list[str]:
    """The id of every look under these grants, hidden or not."""
    return [
        look_id(source.name, row[0])
        for source in _SOURCES
        for row in connection.execute(
            select(source.number).where(source.table.c.grant_id.in_(grants))
        )
    ]


def _asked(wish: Wish) -> list[_Source]:
    return [s for s in _SOURCES if s.name == REFUSED or not wish.refused_only]


def _rows(
    connection: Connection,
    wish: Wish,
    limit: int | None,
    when: Callable[[Column[int]], ColumnElement[bool]] | None,
) -> list[Seen]:
    rows: list[tuple[int, int, int, Seen]] = []
    for rank, source in enumerate(_asked(wish)):
        c = source.table.c
        columns: list[Any] = [
            source.number.label("number"),
            source.agency.label("who"),
            c.at,
            c.category,
            c.worker_ref,
            c.grant_id,
        ]
        if source.name == REFUSED:
            columns.append(c.reason)
        statement = _where(select(*columns), source, wish)
        if when is not None:
            statement = statement.where(when(c.at))
        statement = statement.order_by(c.at.desc(), source.number.desc()).limit(limit)
        rows += [
            (-row.at, rank, -row.number, _seen(source, row, wish))
            for row in connection.execute(statement)
        ]
    rows.sort(key=lambda row: row[:3])
    return [row[3] for row in rows][:limit]


def _where(statement: Select[Any], source: _Source, wish: Wish) -> Select[Any]:
    c = source.table.c
    statement = statement.select_from(source.table).where(c.grant_id.in_(list(wish.grants)))
    left_out = wish.marked.looks(source.name)
    if left_out:
        statement = statement.where(source.number.not_in(left_out))
    if wish.agency is not None:
        statement = statement.where(source.agency == wish.agency)
    if wish.since is not None:
        # What happened in the very second of the sign-in may have come behind it.
        statement = statement.where(c.at >= wish.since)
    return statement


def _seen(source: _Source, row: Any, wish: Wish) -> Seen:
    return Seen(
        item=look_id(source.name, row.number),
        at=row.at,
        agency=row.who,
        category=row.category,
        # What nobody signed is nothing to ask about.
        worker_ref="" if row.worker_ref == UNVERIFIED else row.worker_ref,
        grant=wish.grants[row.grant_id],
        refused=Reason(row.reason) if source.name == REFUSED else None,
    )

"""What a consumer has applied: once in effect, in the source's own order (DESIGN 4).

Events are applied strictly in sequence, so one row per source says it all: everything up to it is
applied, nothing behind it is. The row moves in the transaction of the effect.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Connection, MetaData, Table, Text, bindparam, select

from safehand_store.columns import Whole
from safehand_store.prepared import Prepared, Written

TABLE_NAME: Final = "inbox"


class GapError(Exception):
    """An event came before the ones between it and ``last``: fetch those first.

    Attributes:
        source: whose sequence it is.
        last: the last sequence number that was applied.
    """

    def __init__(self, source: str, last: int) -> None:
        self.source = source
        self.last = last
        super().__init__(f"a gap in the sequence of {source} after {last}")


def define(metadata: MetaData) -> Table:
    """The table, for a service's own metadata; the functions below use it by its name."""
    return Table(
        TABLE_NAME,
        metadata,
        Column("source", Text, primary_key=True),
        Column("sequence", Whole, nullable=False),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )


_T: Final = define(MetaData())
_POSITION: Final = Prepared(select(_T.c.sequence).where(_T.c.source == bindparam("source")))
_MOVE: Final = Written(
    f"INSERT INTO {TABLE_NAME} (source, sequence) VALUES (?, ?) "  # noqa: S608
    f"ON CONFLICT (source) DO UPDATE SET sequence = excluded.sequence"
)


def position(connection: Connection, source: str) -> int:
    """The last sequence number of ``source`` that was applied; 0 before the first."""
    return _POSITION.scalar(connection, source=source) or 0


def first_time(connection: Connection, source: str, sequence: int) -> bool:
    """Whether to apply this event now; if so, it counts as applied when the transaction commits.

    False: it was applied before. Raises GapError when earlier events are missing; then nothing
    is changed. Call it in a write transaction, before the effect.
    """
    last = position(connection, source)
    if sequence <= last:
        return False
    if sequence > last + 1:
        raise GapError(source, last)
    _MOVE.execute(connection, source, sequence)
    return True

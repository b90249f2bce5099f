"""A service's own events, written in the transaction that made them true (DESIGN 4).

One gapless sequence per database, from 1: a counter row is raised in the same transaction, so
commit order is sequence order and "everything behind n" never misses a row. One row per audience.
The relay's cursor is a hint in the same database; the stream's own last message id is the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    bindparam,
    insert,
    select,
    text,
)

from safehand_store.engine import driver
from safehand_store.prepared import Prepared

EVENTS_NAME: Final = "outbox_event"
HEAD_NAME: Final = "outbox_head"
CURSOR_NAME: Final = "outbox_cursor"

_ONLY: Final = 1
"""The key of a table that has one row."""


class Tables(NamedTuple):
    """The three tables: ``events``, ``head`` (the counter), ``cursor`` (the relay's)."""

    events: Table
    head: Table
    cursor: Table


def define(metadata: MetaData) -> Tables:
    """The tables, for a service's own metadata; the functions below use them by their names."""
    events = Table(
        EVENTS_NAME,
        metadata,
        Column("sequence", Integer, primary_key=True),
        Column("type", Integer, nullable=False),
        Column("time", Integer, nullable=False),
        Column("audience", Text, nullable=False),
        Column("resource", Text, nullable=False),
        CheckConstraint("sequence > 0", name=f"{EVENTS_NAME}_from_one"),
        sqlite_strict=True,
    )
    return Tables(events, _single(metadata, HEAD_NAME), _single(metadata, CURSOR_NAME))


def _single(metadata: MetaData, name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("only", Integer, primary_key=True),
        Column("sequence", Integer, nullable=False),
        CheckConstraint(f"only = {_ONLY}", name=f"{name}_one_row"),
        sqlite_strict=True,
    )


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """One event for one audience.

    Attributes:
        sequence: its place, from 1.
        type: a ``safehand.events.v1.EventType`` number.
        time: seconds since the epoch.
        audience: ``agency/{id}`` or ``service/{name}``.
        resource: ``grants/{id}`` or ``referrals/{id}``.
    """

    sequence: int
    type: int
    time: int
    audience: str
    resource: str


_E, _H, _C = define(MetaData())
_RAISE: Final = (
    f"INSERT INTO {HEAD_NAME} (only, sequence) VALUES ({_ONLY}, ?) "  # noqa: S608  our own names
    f"ON CONFLICT (only) DO UPDATE SET sequence = {HEAD_NAME}.sequence + ? RETURNING sequence"
)
"""Straight to the driver, like the insertion: every stop passes here."""
_MOVE: Final = text(
    f"INSERT INTO {CURSOR_NAME} (only, sequence) VALUES ({_ONLY}, :sequence) "  # noqa: S608
    f"ON CONFLICT (only) DO UPDATE SET sequence = excluded.sequence"
)
_INSERT: Final = Prepared(insert(_E))
_AFTER: Final = Prepared(
    select(_E)
    .where(_E.c.sequence > bindparam("after"))
    .order_by(_E.c.sequence)
    .limit(bindparam("most"))
)
_HEAD: Final = select(_H.c.sequence)
_CURSOR: Final = select(_C.c.sequence)


def event_id(source: str, sequence: int) -> str:
    """``<source>:<sequence>``: the same event delivered again has the same id."""
    return f"{source}:{sequence}"


def parse_event_id(value: str) -> tuple[str, int] | None:
    """``(source, sequence)`` of an event id, or None where it is not one."""
    source, colon, number = value.rpartition(":")
    if not colon or not source or not number.isascii() or not number.isdigit():
        return None
    sequence = int(number)
    return (source, sequence) if sequence > 0 and str(sequence) == number else None


def append(connection: Connection, *, type: int, time: int, audience: str, resource: str) -> int:
    """Add one event to the caller's write transaction; returns its sequence number.

    ``type``: a ``safehand.events.v1.EventType`` number; ``time``: seconds since the epoch.
    """
    return append_each(connection, [audience], type=type, time=time, resource=resource)


def append_each(
    connection: Connection, audiences: Sequence[str], *, type: int, time: int, resource: str
) -> int:
    """As ``append``, one event for each of ``audiences`` (at least one), in their order.

    Returns the last sequence number.
    """
    last: int = driver(connection).execute(_RAISE, (len(audiences),) * 2).fetchone()[0]
    first = last - len(audiences) + 1
    _INSERT.run_many(
        connection,
        [
            {
                "sequence": first + place,
                "type": int(type),
                "time": time,
                "audience": audience,
                "resource": resource,
            }
            for place, audience in enumerate(audiences)
        ],
    )
    return last


def after(connection: Connection, sequence: int, limit: int) -> Sequence[OutboxEvent]:
    """At most ``limit`` events behind ``sequence`` (0: from the beginning), in order."""
    return [OutboxEvent(*row) for row in _AFTER.all(connection, after=sequence, most=limit)]


def head(connection: Connection) -> int:
    """The last sequence number given out; 0 before the first."""
    return connection.execute(_HEAD).scalar_one_or_none() or 0


def cursor(connection: Connection) -> int:
    """The last event that the relay knows to be on the bus; 0 before the first."""
    return connection.execute(_CURSOR).scalar_one_or_none() or 0


def set_cursor(connection: Connection, sequence: int) -> None:
    """Move the relay's cursor, forward or (after the bus lost data) back."""
    connection.execute(_MOVE, {"sequence": sequence})

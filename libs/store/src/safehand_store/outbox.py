"""A service's own events, written in the transaction that made them true (DESIGN 4).

One gapless sequence per database, from 1: a counter row is raised in the same transaction, so
commit order is sequence order and "everything behind n" never misses a row. One row per audience.
The relay's cursor is a hint in the same database; the stream's own last message id is the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from safehand_core import trace
from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    MetaData,
    Table,
    Text,
    bindparam,
    insert,
    select,
)

from safehand_store.columns import Whole
from safehand_store.later import Later, ManyRows, Row
from safehand_store.prepared import Prepared, Written
from safehand_store.tell import tells

EVENTS_NAME: Final = "outbox_event"
HEAD_NAME: Final = "outbox_head"
CURSOR_NAME: Final = "outbox_cursor"
REPLAY_NAME: Final = "outbox_replay"

_ONLY: Final = 1
"""The key of a table that has one row."""


class Tables(NamedTuple):
    """``events``, ``head`` (the counter), ``cursor`` (the relay's), ``replay`` (what was asked)."""

    events: Table
    head: Table
    cursor: Table
    replay: Table


def define(metadata: MetaData) -> Tables:
    """The tables, for a service's own metadata; the functions below use them by their names."""
    events = Table(
        EVENTS_NAME,
        metadata,
        Column("sequence", Whole, primary_key=True, autoincrement=False),
        Column("type", Whole, nullable=False),
        Column("time", Whole, nullable=False),
        Column("audience", Text, nullable=False),
        Column("resource", Text, nullable=False),
        Column("trace", Text, nullable=False, server_default=""),
        CheckConstraint("sequence > 0", name=f"{EVENTS_NAME}_from_one"),
        sqlite_strict=True,
    )
    replay = Table(
        REPLAY_NAME,
        metadata,
        Column("round", Whole, primary_key=True, autoincrement=False),
        Column("first", Whole, nullable=False),
        Column("request", Text, nullable=False, unique=True),
        CheckConstraint("round > 0", name=f"{REPLAY_NAME}_from_one"),
        sqlite_strict=True,
    )
    head, cursor = (_single(metadata, name) for name in (HEAD_NAME, CURSOR_NAME))
    return Tables(events, tells(head), cursor, tells(replay))


def _single(metadata: MetaData, name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("only", Whole, primary_key=True, autoincrement=False),
        Column("sequence", Whole, nullable=False),
        CheckConstraint(f'"only" = {_ONLY}', name=f"{name}_one_row"),
        sqlite_strict=True,
    )


class Replay(NamedTuple):
    """The last replay that was asked for: its number from 1, and the first event of it.

    ``(0, 0)`` where there was none.
    """

    round: int
    first: int


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """One event for one audience.

    Attributes:
        sequence: its place, from 1.
        type: a ``safehand.events.v1.EventType`` number.
        time: seconds since the epoch.
        audience: ``agency/{id}`` or ``service/{name}``.
        resource: ``grants/{id}`` or ``referrals/{id}``.
        trace: ``traceparent`` of the act that made it, where one is recorded; "" by default.
    """

    sequence: int
    type: int
    time: int
    audience: str
    resource: str
    trace: str = ""


_E, _H, _C, _R = define(MetaData())
_RAISE: Final = Written(
    f'INSERT INTO {HEAD_NAME} ("only", sequence) VALUES ({_ONLY}, ?) '  # noqa: S608  our own names
    f'ON CONFLICT ("only") DO UPDATE SET sequence = {HEAD_NAME}.sequence + ? RETURNING sequence'
)
"""Straight to the driver, like the insertion: every stop passes here."""
_MOVE: Final = Written(
    f'INSERT INTO {CURSOR_NAME} ("only", sequence) VALUES ({_ONLY}, ?) '  # noqa: S608
    f'ON CONFLICT ("only") DO UPDATE SET sequence = excluded.sequence'
)
_ROWS: Final = ManyRows(_E)
_AFTER: Final = Prepared(
    select(_E)
    .where(_E.c.sequence > bindparam("after"))
    .order_by(_E.c.sequence)
    .limit(bindparam("most"))
)
_HEAD: Final = select(_H.c.sequence)
_CURSOR: Final = select(_C.c.sequence)
_REPLAY: Final = select(_R.c.round, _R.c.first).order_by(_R.c.round.desc()).limit(1)


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
    of = trace.sampled_header()
    return _insert(connection, [(int(type), time, each, resource, of) for each in audiences])


def append_later(
    later: Later, audiences: Sequence[str], *, type: int, time: int, resource: str
) -> None:
    """As ``append_each``, written with the other rows of the transaction, in the same order."""
    of = trace.sampled_header()
    for audience in audiences:
        later.add(_EVENTS, int(type), time, audience, resource, of)


class _Events:
    """Events that are put off: all but their sequence numbers, which they get when written."""

    key: Final = 0

    def insert(self, connection: Connection, rows: Sequence[Row]) -> None:
        _insert(connection, rows)


_EVENTS: Final = _Events()


def _insert(connection: Connection, rows: Sequence[Row]) -> int:
    last: int = _RAISE.scalar(connection, len(rows), len(rows))
    first = last - len(rows) + 1
    _ROWS.insert(connection, [(first + place, *row) for place, row in enumerate(rows)])
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
    _MOVE.execute(connection, sequence)


def replay(connection: Connection) -> Replay:
    """The last replay that was asked for."""
    row = connection.execute(_REPLAY).first()
    return Replay(0, 0) if row is None else Replay(row.round, row.first)


def ask_replay(connection: Connection, first: int, request_id: str) -> int:
    """Ask the relay to publish everything from ``first`` on again; returns the replay's number.

    The same ``request_id`` again is the same replay. Call it in a write transaction.
    """
    found = connection.execute(select(_R.c.round).where(_R.c.request == request_id)).scalar()
    if found is not None:
        return int(found)
    number = replay(connection).round + 1
    connection.execute(insert(_R), {"round": number, "first": first, "request": request_id})
    return number

"""What was given up: events whose effect failed again and again, and messages that are no events.

An event is kept as it came (it is thin: ids and no content), so that it can be applied later. The
bytes of what is no event are not copied: nobody knows what they are. Their size and digest are,
and the message itself stays on the stream for as long as the stream keeps it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from safehand.events.v1 import events_pb2
from safehand_store.columns import Whole
from sqlalchemy import (
    Column,
    Connection,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    insert,
    select,
    update,
)

TABLE_NAME: Final = "dead_letter"
OPEN: Final = 1
"""Set aside, and without effect so far."""
APPLIED: Final = 2
"""Applied by a replay."""
CLOSED: Final = 3
"""It was no event, and an operator has seen it."""


def define(metadata: MetaData) -> Table:
    """The table, for a service's own metadata; the functions below use it by its name."""
    return Table(
        TABLE_NAME,
        metadata,
        Column("id", Whole, primary_key=True),
        Column("state", Whole, nullable=False),
        Column("source", Text, nullable=False),
        Column("stream_sequence", Whole, nullable=False),
        Column("sequence", Whole, nullable=False),
        Column("code", Text, nullable=False),
        Column("attempts", Whole, nullable=False),
        Column("time", Whole, nullable=False),
        Column("size", Whole, nullable=False),
        Column("sha256", LargeBinary, nullable=False),
        Column("event", LargeBinary, nullable=True),
        # The same message delivered again, after a crash between noting it and saying so.
        UniqueConstraint("source", "stream_sequence", "sequence", "sha256", name="dead_once"),
        sqlite_strict=True,
    )


_T: Final = define(MetaData())


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter.

    Attributes:
        number: from 1.
        state: OPEN, APPLIED or CLOSED.
        source: the service whose stream or sequence it is from.
        stream_sequence: its place in the stream; 0 for an event that the source itself gave.
        code: the class of error, one word.
        attempts: how often it was tried.
        time: when it was set aside, seconds since the epoch.
        size, sha256: of its bytes.
        event: what it says; None where it is no event.
    """

    number: int
    state: int
    source: str
    stream_sequence: int
    code: str
    attempts: int
    time: int
    size: int
    sha256: bytes
    event: events_pb2.Event | None


def add(
    connection: Connection,
    *,
    source: str,
    stream_sequence: int,
    code: str,
    data: bytes,
    time: int,
    attempts: int = 1,
    event: events_pb2.Event | None = None,
) -> None:
    """Note what was given up, in the caller's write transaction; the same one again is one.

    ``code``: ``BadMessageError.code``, or the type of the error of an event's effect.
    """
    digest = hashlib.sha256(data).digest()
    place = {
        "source": source,
        "stream_sequence": stream_sequence,
        "sequence": event.sequence if event is not None else 0,
        "sha256": digest,
    }
    same = select(_T.c.id).where(*(_T.c[name] == value for name, value in place.items()))
    if connection.execute(same).first() is not None:
        return
    connection.execute(
        insert(_T),
        {
            **place,
            "state": OPEN,
            "code": code,
            "attempts": attempts,
            "time": time,
            "size": len(data),
            "event": data if event is not None else None,
        },
    )


def count(connection: Connection) -> int:
    """How many are open."""
    query = select(func.count()).select_from(_T).where(_T.c.state == OPEN)
    return int(connection.execute(query).scalar_one())


def counts(connection: Connection) -> dict[tuple[str, str], int]:
    """How many are open, by source and class of error: for a metric."""
    query = (
        select(_T.c.source, _T.c.code, func.count())
        .where(_T.c.state == OPEN)
        .group_by(_T.c.source, _T.c.code)
    )
    return {(source, code): int(n) for source, code, n in connection.execute(query)}


def after(connection: Connection, number: int, limit: int) -> Sequence[Letter]:
    """At most ``limit`` open letters behind ``number`` (0: from the first), in order."""
    query = select(_T).where(_T.c.state == OPEN, _T.c.id > number).order_by(_T.c.id).limit(limit)
    return [_letter(row) for row in connection.execute(query)]


def get(connection: Connection, number: int, *, lock: bool = False) -> Letter | None:
    """One letter, whatever its state; with ``lock`` nobody else changes it meanwhile."""
    query = select(_T).where(_T.c.id == number)
    row = connection.execute(query.with_for_update() if lock else query).first()
    return None if row is None else _letter(row)


def set_state(connection: Connection, number: int, state: int) -> None:
    """Move a letter on, in the transaction of its effect."""
    connection.execute(update(_T).where(_T.c.id == number).values(state=state))


def failed_again(connection: Connection, number: int, code: str) -> None:
    """One more attempt of an open letter, in vain."""
    connection.execute(
        update(_T)
        .where(_T.c.id == number, _T.c.state == OPEN)
        .values(code=code, attempts=_T.c.attempts + 1)
    )


def _letter(row: Any) -> Letter:
    event = None if row.event is None else events_pb2.Event.FromString(row.event)
    return Letter(
        row.id,
        row.state,
        row.source,
        row.stream_sequence,
        row.code,
        row.attempts,
        row.time,
        row.size,
        bytes(row.sha256),
        event,
    )

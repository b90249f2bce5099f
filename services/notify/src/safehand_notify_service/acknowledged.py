"""What agencies have dealt with, and which stops they have not.

An agency says up to which cursor it has dealt with its deliveries. It says so in words of its
own: reading a stream or asking from a cursor proves that bytes arrived, not that anybody acted, and
a stop that is wrongly taken for known is the one mistake that nobody would notice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from safehand.events.v1 import events_pb2
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store.engine import begin_write
from safehand_store.prepared import Written
from sqlalchemy import Connection, Engine, delete, func, insert, select

from safehand_notify_service.tables import ACKNOWLEDGED, DELIVERY_HEAD, STOP_WAITING

STOPS: Final = frozenset(
    {
        events_pb2.EVENT_TYPE_CONSENT_ENDED,
        events_pb2.EVENT_TYPE_CONSENT_NARROWED,
        events_pb2.EVENT_TYPE_REFERRAL_SHARING_STOPPED,
    }
)
"""Events that take something away: an agency that has not heard of one may still act on what it
no longer has."""
MOST_AGENCIES: Final = 1000
"""Agencies that one answer names."""

_MOVE: Final = Written(
    "INSERT INTO acknowledged (agency, cursor, at) VALUES (?, ?, ?) "
    "ON CONFLICT (agency) DO UPDATE SET cursor = excluded.cursor, at = excluded.at "
    "WHERE excluded.cursor > acknowledged.cursor"
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One agency's unacknowledged stops: how many, and when the oldest happened (seconds)."""

    agency: str
    stops: int
    oldest: int


def note(connection: Connection, event: events_pb2.Event, agency: str, cursor: int) -> None:
    """A delivery was stored: if it is a stop it waits from now on, in the same transaction."""
    if event.type in STOPS:
        connection.execute(
            insert(STOP_WAITING).values(agency=agency, cursor=cursor, time=event.time.seconds)
        )


def acknowledge(engine: Engine, agency: str, up_to: int, now: int) -> int:
    """The agency has dealt with everything up to the cursor ``up_to``; the mark never moves back.

    Returns where the mark is now. Raises MALFORMED for a cursor that was never given out.
    """
    with begin_write(engine) as connection:
        heads = select(DELIVERY_HEAD.c.cursor).where(DELIVERY_HEAD.c.agency == agency)
        if up_to > (connection.execute(heads).scalar_one_or_none() or 0):
            raise SafehandError(
                Reason.MALFORMED,
                "the cursor is ahead of what was delivered",
                metadata={"field": "up_to"},
            )
        _MOVE.execute(connection, agency, up_to, now)
        connection.execute(
            delete(STOP_WAITING).where(
                STOP_WAITING.c.agency == agency, STOP_WAITING.c.cursor <= up_to
            )
        )
        mark = select(ACKNOWLEDGED.c.cursor).where(ACKNOWLEDGED.c.agency == agency)
        return int(connection.execute(mark).scalar_one())


def waiting(connection: Connection) -> Sequence[Waiting]:
    """Agencies with unacknowledged stops, the one with the oldest first."""
    oldest = func.min(STOP_WAITING.c.time)
    rows = connection.execute(
        select(STOP_WAITING.c.agency, func.count(), oldest)
        .group_by(STOP_WAITING.c.agency)
        .order_by(oldest, STOP_WAITING.c.agency)
        .limit(MOST_AGENCIES)
    )
    return [Waiting(*row) for row in rows]


def oldest_stop(connection: Connection) -> int | None:
    """When the oldest unacknowledged stop happened, seconds since the epoch; None without one."""
    found: int | None = connection.execute(select(func.min(STOP_WAITING.c.time))).scalar()
    return found


def stops(connection: Connection) -> int:
    """How many stops are unacknowledged, each agency's counted."""
    return int(connection.execute(select(func.count()).select_from(STOP_WAITING)).scalar_one())


def deliveries(connection: Connection) -> int:
    """How many deliveries of all kinds nobody has acknowledged."""
    given = select(func.coalesce(func.sum(DELIVERY_HEAD.c.cursor), 0))
    taken = select(func.coalesce(func.sum(ACKNOWLEDGED.c.cursor), 0))
    total = int(connection.execute(given).scalar_one())
    return total - int(connection.execute(taken).scalar_one())

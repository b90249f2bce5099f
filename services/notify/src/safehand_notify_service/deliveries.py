"""Deliveries: which agency is told of which event, in which order.

Only an audience ``agency/{id}`` makes one. Events for services are theirs to ask for; for her
there is none, ever: nothing here knows how to reach a person.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from safehand.events.v1 import events_pb2
from safehand.notify.v1 import notify_pb2
from safehand_core import ids
from safehand_store.outbox import event_id, parse_event_id
from safehand_store.prepared import Prepared, Written
from sqlalchemy import Connection, Row, bindparam, insert, select

from safehand_notify_service import acknowledged
from safehand_notify_service.tables import DELIVERY, DELIVERY_HEAD

_PREFIX: Final = "agency/"
_AGENCY: Final = re.compile(ids.AGENCY_PATTERN.removeprefix("^").removesuffix("$"))

_RAISE: Final = Written(
    "INSERT INTO delivery_head (agency, cursor) VALUES (?, 1) "
    "ON CONFLICT (agency) DO UPDATE SET cursor = delivery_head.cursor + 1 RETURNING cursor"
)
_INSERT: Final = Prepared(insert(DELIVERY))
_AFTER: Final = (
    select(DELIVERY)
    .where(DELIVERY.c.agency == bindparam("agency"), DELIVERY.c.cursor > bindparam("after"))
    .order_by(DELIVERY.c.cursor)
)
_HEAD: Final = select(DELIVERY_HEAD.c.cursor).where(DELIVERY_HEAD.c.agency == bindparam("agency"))


def agency_of(event: events_pb2.Event) -> str | None:
    """The agency that an event is for; None where it is for somebody else."""
    name = event.audience.removeprefix(_PREFIX)
    if name == event.audience or not _AGENCY.fullmatch(name):
        return None
    return name


def add(connection: Connection, event: events_pb2.Event) -> int:
    """Store the delivery of ``event`` in the caller's write transaction.

    Returns its cursor, or 0 where the event is not for an agency.
    """
    agency, place = agency_of(event), parse_event_id(event.id)
    if agency is None or place is None:
        return 0
    cursor: int = _RAISE.scalar(connection, agency)
    _INSERT.run(
        connection,
        agency=agency,
        cursor=cursor,
        source=place[0],
        sequence=place[1],
        type=int(event.type),
        time=event.time.seconds,
        resource=event.resource,
    )
    acknowledged.note(connection, event, agency, cursor)
    return cursor


def after(
    connection: Connection, agency: str, cursor: int, limit: int
) -> Sequence[notify_pb2.Delivery]:
    """At most ``limit`` deliveries of ``agency`` behind ``cursor``, in order."""
    rows = connection.execute(_AFTER.limit(limit), {"agency": agency, "after": cursor})
    return [_delivery(row) for row in rows]


def head(connection: Connection, agency: str) -> int:
    """The last cursor of ``agency``; 0 before its first delivery."""
    return connection.execute(_HEAD, {"agency": agency}).scalar_one_or_none() or 0


def _delivery(row: Row[tuple[object, ...]]) -> notify_pb2.Delivery:
    return notify_pb2.Delivery(
        cursor=row.cursor,
        event=events_pb2.Event(
            id=event_id(row.source, row.sequence),
            type=events_pb2.EventType.ValueType(row.type),
            time=Timestamp(seconds=row.time),
            sequence=row.sequence,
            audience=f"{_PREFIX}{row.agency}",
            resource=row.resource,
        ),
    )

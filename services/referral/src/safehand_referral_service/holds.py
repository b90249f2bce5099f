"""What an event of consent that could not be applied does meanwhile: it denies.

The event may be a stop. It is set aside so that it holds up no other, and from the same transaction
on sharing under its grant is refused, until a replay has applied it. Of an event that does not say
which grant it is about, nobody knows what it ends: then nothing at all is created or fetched.
"""

from __future__ import annotations

import re
from typing import Final

from safehand.events.v1.events_pb2 import Event, EventType
from safehand_bus import dead_letter
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, delete, func, insert, select

from safehand_referral_service.tables import GRANT_HOLD

EVERYTHING: Final = ""
"""In the place of a grant: the event may be about any."""
HARMLESS: Final = frozenset({EventType.EVENT_TYPE_CONSENT_DISCLOSED})
"""Not applied, these let nobody do anything that he may not."""

_GRANT: Final = re.compile(r"grants/([0-9a-f]{32})")
_EVERYTHING: Final = Prepared(
    select(GRANT_HOLD.c.sequence).where(GRANT_HOLD.c.consent_grant == EVERYTHING).limit(1)
)


def set_aside(
    connection: Connection, source: str, event: Event, code: str, attempts: int, now: int
) -> None:
    """Write the event down as a dead letter, and deny what it may end. The caller moves the inbox
    past it in the same transaction."""
    dead_letter.add(
        connection,
        source=source,
        stream_sequence=0,
        code=code,
        data=event.SerializeToString(deterministic=True),
        time=now,
        attempts=attempts,
        event=event,
    )
    if event.type in HARMLESS:
        return
    match = _GRANT.fullmatch(event.resource)
    grant = EVERYTHING if match is None else match[1]
    connection.execute(insert(GRANT_HOLD).values(sequence=event.sequence, consent_grant=grant))


def lift(connection: Connection, sequence: int) -> None:
    """The event was applied: what it says counts from here on, and not that it was missing."""
    connection.execute(delete(GRANT_HOLD).where(GRANT_HOLD.c.sequence == sequence))


def everything(connection: Connection) -> bool:
    """Whether an event is set aside that may be about any grant."""
    return _EVERYTHING.first(connection) is not None


def count(connection: Connection) -> int:
    """How many events deny something, for a metric."""
    return int(connection.execute(select(func.count()).select_from(GRANT_HOLD)).scalar_one())

"""What her first page says of numbers that workers were given for her: whoever knew her code word
could have asked for them, and she can tell whether it was her."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, or_, select

from safehand_consent_service.portal_numbers import ASK, GRANT
from safehand_consent_service.portal_shown import Hidden
from safehand_consent_service.seats import Seat
from safehand_consent_service.stop_notes import NUMBER
from safehand_consent_service.tables import agency as agency_table
from safehand_consent_service.tables import grant as consent_grant
from safehand_consent_service.tables_asks import ask as ask_table
from safehand_consent_service.tables_stops import stop_note

SHOWN_S: Final = 7 * 24 * 3600
"""Seconds for which she is shown a number at least: a week. Her next sign-in alone must not end it,
for somebody else may have made the one before, with the number."""


@dataclass(frozen=True, slots=True)
class Helped:
    """How many, and of the last: when, and the name of the agency whose worker it was, empty where
    it is not to be shown."""

    count: int = 0
    at: int | None = None
    agency_name: str = ""


def helped(connection: Connection, seat: Seat, marked: Hidden, now: int) -> Helped:
    """Since the sign-in before this one, and in any case within ``SHOWN_S``."""
    since = min(seat.previous_sign_in or 0, now - SHOWN_S)
    rows = connection.execute(
        select(stop_note.c.at, stop_note.c.agency, agency_table.c.display_name)
        .join(agency_table, agency_table.c.agency == stop_note.c.agency)
        .where(
            stop_note.c.subject_id == seat.subject_id,
            stop_note.c.action == NUMBER,
            stop_note.c.refused == 0,
            stop_note.c.at >= since,
        )
        .order_by(stop_note.c.note_id.desc())
    ).all()
    if not rows:
        return Helped()
    last = rows[0]
    quiet = _hides(connection, marked, last.agency)
    return Helped(len(rows), last.at, "" if quiet else last.display_name)


def _hides(connection: Connection, marked: Hidden, agency: str) -> bool:
    """Whether she marked a sharing or a question of this agency "do not show": then its name is not
    shown here either."""
    grants = [item for kind, item in marked.items if kind == GRANT]
    asks = [item for kind, item in marked.items if kind == ASK]
    g, a = consent_grant.c, ask_table.c
    of_grant = or_(g.releasing == agency, g.recipient == agency)
    of_ask = or_(a.asker == agency, a.releasing == agency, a.recipient == agency)
    statements = (
        select(g.grant_id).where(g.grant_id.in_(grants), of_grant).limit(1),
        select(a.ask_id).where(a.ask_id.in_(asks), of_ask).limit(1),
    )
    return any(connection.execute(statement).first() is not None for statement in statements)

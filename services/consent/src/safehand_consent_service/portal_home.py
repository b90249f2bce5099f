"""What the first page after the sign-in counts. Nothing hidden is in any number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from safehand_consent_service import (
    ask_row,
    grant_state,
    portal_helped,
    portal_seen,
    portal_sharing,
    portal_shown,
)
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.portal_helped import Helped
from safehand_consent_service.portal_shown import Hidden
from safehand_consent_service.seats import Seat


@dataclass(frozen=True, slots=True)
class Home:
    """The numbers of the page; ``portal.proto`` says what each counts."""

    on: int
    ending_soon: int
    asked: int
    to_confirm: int
    looks_since: int
    refused_since: int
    helped: Helped


def home(
    connection: Connection, seat: Seat, rows: Sequence[Grant], marked: Hidden, now: int
) -> Home:
    """Her numbers now, of her sharings ``rows`` without what is ``marked``; at her first sign-in
    every look is since the one before."""
    looks, refused = portal_seen.counts(
        connection,
        portal_seen.Wish({row.grant_id: row for row in rows}, marked, since=seat.previous_sign_in),
    )
    on = [row for row in rows if grant_state.is_live(row, now) and row.cosign_by is None]
    return Home(
        on=len(on),
        ending_soon=sum(portal_sharing.ends_soon(row, now) for row in on),
        asked=sum(
            ask_row.is_open(row, now)
            for row in portal_shown.asks(connection, seat.subject_id, marked)
        ),
        to_confirm=sum(portal_sharing.asks_her(row, now) for row in rows),
        looks_since=looks,
        refused_since=refused,
        helped=portal_helped.helped(connection, seat, marked, now),
    )

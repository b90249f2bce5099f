"""How many wishes are taken down, so that nobody floods her list or the ledger with them.

Counted is what a wish *names*, known here or not, so that a refusal tells nothing. A wish beyond
the count is refused in words and still does the one thing that must not fail: a live grant that
its source did not stop within the day is stopped. So nobody's flood keeps anybody's first stop
out. Her own stops are counted nowhere.

Through one way of naming her an agency makes at most ``WISHES`` stops of one grant a day, and
there are three ways (its reference, her card, the grant); a representative has one. Each of them
needs a resume before it, by her or by staff, and staff resume one grant ``STAFF_RESUMES`` times.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, Connection, func, select

from safehand_consent_service.stop_notes import STAFF_SOURCE
from safehand_consent_service.tables_stops import stop_note, stop_note_grant

DAY_S: Final = 24 * 3600
WISHES: Final = 3
"""Wishes of one agency that name the same, in a day: a call, a second one, and a correction."""
WISHES_OF_AGENCY: Final = 500
"""Wishes of one agency in a day, whomever they name: a large hotline's, several times over."""
WRONG_CODES: Final = 2000
"""Wrong codes at the portal in a day that leave a row. More are answered alike and leave none: a
right code is not held up by them, and 10^11 codes are not found by trying."""
SHOWN: Final = 20
"""Notes of one source in a day that she is shown although they changed nothing."""
STAFF_RESUMES: Final = 20
"""Times that staff may resume one grant, after which only she can: her receipt has to fit an
answer (``grant_leaves.MOST``)."""

_N: Final = stop_note.c
_G: Final = stop_note_grant.c


def over(connection: Connection, agency: str | None, named: bytes, now: int) -> int | None:
    """Seconds until a wish that names this is taken down again; None: now."""
    waits = [_wait(connection, _N.named == named, WISHES, now)]
    if agency is not None:
        counted = (_N.agency == agency) & _N.named.is_not(None)
        waits.append(_wait(connection, counted, WISHES_OF_AGENCY, now))
    return max((wait for wait in waits if wait is not None), default=None)


def too_many_wrong_codes(connection: Connection, now: int) -> bool:
    """Whether wrong codes at the portal have left all the rows that they may."""
    wrong = _N.agency.is_(None) & _N.subject_id.is_(None) & _N.named.is_not(None)
    return _wait(connection, wrong, WRONG_CODES, now) is not None


def is_first(connection: Connection, grant_id: str, source: str, now: int) -> bool:
    """Whether ``source`` did not stop this grant within the day."""
    found = connection.execute(
        select(_G.note_id)
        .where(_G.grant_id == grant_id, _G.source == source, _G.at > now - DAY_S)
        .where(_G.leaf_index.is_not(None))
        .limit(1)
    ).first()
    return found is None


def is_shown(
    connection: Connection,
    subject_id: str,
    agency: str | None,
    representative_id: str | None,
    now: int,
) -> bool:
    """Whether she is shown one more note of this agency or representative that changed nothing."""
    of = _N.agency == agency if agency is not None else _N.representative_id == representative_id
    return _wait(connection, (_N.subject_id == subject_id) & of, SHOWN, now) is None


def staff_may_resume(connection: Connection, grant_id: str) -> bool:
    """Whether staff may resume this grant once more."""
    count = connection.execute(
        select(func.count())
        .select_from(stop_note_grant)
        .where(_G.grant_id == grant_id, _G.source == STAFF_SOURCE, _G.leaf_index.is_not(None))
    ).scalar_one()
    return int(count) < STAFF_RESUMES


def _wait(connection: Connection, counted: ColumnElement[bool], most: int, now: int) -> int | None:
    """Seconds until fewer than ``most`` notes lie within the last day; None: they do already."""
    oldest = connection.execute(
        select(_N.at)
        .where(counted, _N.at > now - DAY_S)
        .order_by(_N.at.desc())
        .limit(1)
        .offset(most - 1)
    ).scalar()
    return None if oldest is None else int(oldest) + DAY_S - now

"""How many wishes are taken down, so that nobody floods her list or the ledger with them.

Counted is what a wish *names*, known here or not, so that a refusal tells nothing. A wish beyond
the count is refused in words and still does the one thing that must not fail: a live grant that
its source did not stop within the day is stopped. So nobody's flood keeps anybody's first stop
out. Her own stops are counted nowhere.

Through one way of naming her an agency makes at most ``WISHES`` stops of one grant a day, and
there are three ways of its own (its reference, her card, the grant). A code is one way more,
counted for everybody together who shows it: an agency that holds codes of hers has as many more
ways as codes, and she takes back a code at once. Each stop needs a resume before it, by her or by
staff, and staff resume one grant ``STAFF_RESUMES`` times.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, Connection, func, select

from safehand_consent_service import stop_notes
from safehand_consent_service.stop_notes import STAFF_SOURCE
from safehand_consent_service.tables_stops import stop_note, stop_note_grant

DAY_S: Final = 24 * 3600
WISHES: Final = 3
"""Wishes of one agency that name the same, in a day: a call, a second one, and a correction."""
WISHES_OF_AGENCY: Final = 500
"""Wishes of one agency in a day, whomever they name: a large hotline's, several times over."""
CODES_AT_PORTAL: Final = 5000
"""Codes at the portal in a day, right and wrong: far above what representatives of a whole country
say. Beyond it every code is refused alike and leaves no row, and a right one still stops what it
did not stop within the day. Right ones count too, or the count would tell them apart."""
NUMBERS: Final = 5
"""Numbers that workers are given for her in a day, of all agencies together. Each is three tries at
her PIN that wait for nobody, beside the 480 that a card earns in a day: without a bound, whoever
knows her code word would try PINs as fast as he asks for numbers."""
SHOWN: Final = 20
"""Notes of one source in a day that she is shown one by one although they changed nothing; of more
she is shown how many."""
STAFF_RESUMES: Final = 20
"""Times that staff may resume one grant, after which only she can: her receipt has to fit an
answer (``grant_leaves.MOST``)."""

_NOBODY: Final = ""
"""No subject has this id: a note about nobody takes the same statements."""

_N: Final = stop_note.c
_G: Final = stop_note_grant.c


def over(connection: Connection, agency: str | None, named: bytes, now: int) -> int | None:
    """Seconds until a wish that names this is taken down again; None: now."""
    waits = [_wait(connection, _N.named == named, WISHES, now)]
    # ``named`` is set: the portal's are codes, and none of her own stops.
    counted = (_N.agency == agency) & _N.named.is_not(None)
    most = CODES_AT_PORTAL if agency is None else WISHES_OF_AGENCY
    waits.append(_wait(connection, counted, most, now))
    return max((wait for wait in waits if wait is not None), default=None)


def is_first(connection: Connection, grant_id: str, source: str, now: int) -> bool:
    """Whether ``source`` did not stop this grant within the day."""
    found = connection.execute(
        select(_G.note_id)
        .where(_G.grant_id == grant_id, _G.source == source, _G.at > now - DAY_S)
        .where(_G.leaf_index.is_not(None))
        .limit(1)
    ).first()
    return found is None


def shown_to(
    connection: Connection,
    subject_id: str | None,
    agency: str | None,
    representative_id: str | None,
    now: int,
) -> str | None:
    """Who is shown one more note of this agency or representative that changed nothing: she, or
    nobody where she has enough of them; then it is one more on the newest that she has.

    The same two statements whoever it is about, and about nobody (None) too.
    """
    of = _N.agency == agency if agency is not None else _N.representative_id == representative_id
    hers = _N.subject_id == (subject_id or _NOBODY)
    enough = _wait(connection, hers & of, SHOWN, now) is not None
    hidden = subject_id if enough and subject_id else _NOBODY
    stop_notes.add_to_newest(connection, hidden, agency, representative_id)
    return None if enough else subject_id


def staff_may_resume(connection: Connection, grant_id: str) -> bool:
    """Whether staff may resume this grant once more."""
    count = connection.execute(
        select(func.count())
        .select_from(stop_note_grant)
        .where(_G.grant_id == grant_id, _G.source == STAFF_SOURCE, _G.leaf_index.is_not(None))
    ).scalar_one()
    return int(count) < STAFF_RESUMES


def numbers_over(connection: Connection, subject_id: str, now: int) -> int | None:
    """Seconds until a worker is given one more number for her; None: now."""
    given = (_N.subject_id == subject_id) & (_N.action == stop_notes.NUMBER) & (_N.refused == 0)
    return _wait(connection, given, NUMBERS, now)


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

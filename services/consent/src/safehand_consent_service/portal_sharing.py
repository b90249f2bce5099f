"""One consent as her pages show it: where it stands at this second, and what was got under it.

Bookkeeping may lag behind the clock by seconds; a page may not. So what is due to end is shown as
ended (``grant_state.due_end``), and an undo is offered only where it would be done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from safehand_formats.bodies import body_time, decode_body
from safehand_formats.kinds import Kind
from sqlalchemy import Connection, func, select

from safehand_consent_service import grant_state, portal_shown
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.portal_shown import LOOKED, Hidden
from safehand_consent_service.tables import EXPIRED, FINAL_STATES, LEDGER, REVOKED, STOPPED, look

ENDS_SOON_S: Final = 14 * 24 * 3600
"""From when on an end is said to be near, seconds: the first of the two reminders."""
YES, RECORD, VOID = "yes", "record", "void"
"""``allowed_by``; ``portal.proto`` says what each means."""
MOST: Final = 200
"""Sharings of one list: a page that is longer than that helps nobody."""

_COUNT: Any = func.count()


@dataclass(frozen=True, slots=True)
class Got:
    """What a recipient opened of one category; times are seconds since the epoch."""

    category: str
    first_at: int
    last_at: int
    looks: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a grant stands: its state, and since when and why it is over, if it is."""

    state: str
    end_cause: str = ""
    ended_at: int | None = None


@dataclass(frozen=True, slots=True)
class Sharing:
    """A grant and what belongs to it.

    ``undo_until``: until when a stop can be taken back, None where it cannot. ``asks_her``: whether
    she is asked if what was recorded for her is right. ``names``: agency → its name.
    """

    row: Grant
    standing: Standing
    is_on: bool
    ends_soon: bool
    undo_until: int | None
    asks_her: bool
    waits_for_guardian: bool
    got: tuple[Got, ...]
    names: dict[str, str] = field(repr=False)

    @property
    def last_look_at(self) -> int | None:
        return max((one.last_at for one in self.got), default=None)


def sharings(
    connection: Connection, rows: Sequence[Grant], marked: Hidden, now: int
) -> list[Sharing]:
    """Each of ``rows``, in their order; looks that she marked are in no number of it."""
    got = _got(connection, [row.grant_id for row in rows], marked)
    ends = _written_ends(connection, rows)
    names = portal_shown.names(
        connection,
        {name for row in rows for name in (row.releasing, row.recipient, row.recorded_by) if name},
    )
    return [_sharing(row, got.get(row.grant_id, ()), ends, names, now) for row in rows]


def in_order(rows: Sequence[Grant], now: int) -> list[Grant]:
    """Those that are on before those that are not, each newest first; at most 200."""
    ordered = sorted(rows, key=lambda row: (not grant_state.is_live(row, now), -row.grant_index))
    return ordered[:MOST]


def ends_soon(row: Grant, now: int) -> bool:
    """Whether a grant that is on ends by its own term within 14 days.

    The days in which she, or a guardian, has yet to confirm it are told apart from that.
    """
    return grant_state.is_live(row, now) and row.expires_at <= now + ENDS_SOON_S


def asks_her(row: Grant, now: int) -> bool:
    """Whether she is asked if what a worker recorded is right."""
    if row.confirm_by is None or grant_state.is_over(row, now):
        return False
    return grant_state.due_end(row, now) is None


def allowed_by(row: Grant) -> str:
    """What it was that allowed something: nothing is called her yes that was none."""
    if grant_state.INVALIDATED_CAUSE in (row.end_cause, grant_state.window_cause(row)):
        return VOID
    return RECORD if row.recorded_by is not None and row.confirm_by is not None else YES


def undo_until(row: Grant, now: int) -> int | None:
    """Until when its stop can be undone; None where ``stops.resume`` would refuse it now."""
    if row.state != STOPPED or row.final_at is None or grant_state.is_over(row, now):
        return None
    return None if now >= row.final_at else min(row.final_at, grant_state.ends_at(row))


def standing(row: Grant, written: int | None, now: int) -> Standing:
    """Where it stands; ``written``: the time of its last entry, where it is over for good."""
    if row.state in FINAL_STATES:
        ended = written if row.state == REVOKED else grant_state.ends_at(row)
        return Standing(row.state, row.end_cause or "", ended)
    due = grant_state.due_end(row, now)
    if due is Kind.REVOKE:
        return Standing(REVOKED, grant_state.window_cause(row), row.final_at)
    if due is Kind.EXPIRE:
        end = grant_state.ends_at(row)
        lapsed = end < row.expires_at
        cause = grant_state.UNCONFIRMED_CAUSE if lapsed else grant_state.EXPIRED_CAUSE
        return Standing(EXPIRED, cause, end)
    return Standing(row.state)


def _sharing(
    row: Grant, got: Sequence[Got], ends: dict[int, int], names: dict[str, str], now: int
) -> Sharing:
    is_on = grant_state.is_live(row, now)
    return Sharing(
        row=row,
        standing=standing(row, ends.get(-1 if row.end_index is None else row.end_index), now),
        is_on=is_on,
        ends_soon=ends_soon(row, now),
        undo_until=undo_until(row, now),
        asks_her=asks_her(row, now),
        waits_for_guardian=is_on and row.cosign_by is not None,
        got=tuple(got),
        names=names,
    )


def _got(connection: Connection, grants: list[str], marked: Hidden) -> dict[str, list[Got]]:
    """Grant → what was opened under it, by category."""
    c = look.c
    statement = (
        select(
            c.grant_id,
            c.category,
            func.min(c.at).label("first_at"),
            func.max(c.at).label("last_at"),
            _COUNT.label("looks"),
        )
        .where(c.grant_id.in_(grants))
        .group_by(c.grant_id, c.category)
        .order_by(c.grant_id, c.category)
    )
    left_out = marked.looks(LOOKED)
    if left_out:
        statement = statement.where(c.leaf_index.not_in(left_out))
    found: dict[str, list[Got]] = {}
    for row in connection.execute(statement):
        one = Got(row.category, row.first_at, row.last_at, row.looks)
        found.setdefault(row.grant_id, []).append(one)
    return found


def _written_ends(connection: Connection, rows: Sequence[Grant]) -> dict[int, int]:
    """Ledger index of a REVOKE → its time."""
    indexes = [row.end_index for row in rows if row.state == REVOKED]
    if not indexes:
        return {}
    c = LEDGER.opening.c
    statement = select(c.index.label("place"), c.body).where(c.index.in_(indexes))
    return {
        row.place: body_time(Kind.REVOKE, decode_body(Kind.REVOKE, row.body))
        for row in connection.execute(statement)
    }

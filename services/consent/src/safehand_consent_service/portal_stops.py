"""Her stops at her pages: one, or all of it at once. Nothing is asked but her session.

One is ``stops.stop``, found by its number with one look at the database. All of it is one operation
of the writer: every gate goes up first, in the order of ids (PROTOCOL rule 2), then one transaction
writes a STOP for each, and one answer follows its commit and the anchor. What she hid is stopped
like the rest. A grant that she gives while this goes on is her later word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, cast

from safehand.consent.v1 import consent_pb2
from safehand.consent.v1 import portal_pb2 as pb
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read, glance
from sqlalchemy import Connection, select

from safehand_consent_service import (
    grant_state,
    portal_shown,
    stop_leaves,
    stop_notes,
    stops,
)
from safehand_consent_service.context import Context, Request, earlier, remember, request_of
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.portal_numbers import GRANT, Numbers
from safehand_consent_service.seats import Seat
from safehand_consent_service.tables import ACTIVE, STOPPED, grant_leaf
from safehand_consent_service.tables import grant as consent_grant

_NONE: Final = -1
"""No such leaf, in an idempotency row."""


@dataclass(frozen=True, slots=True)
class _Done:
    """``rows``: what this request stopped, as it stands now. ``held``: the STOP leaf that holds
    each grant whose gate went up (None: it is live)."""

    rows: Sequence[Grant]
    held: Mapping[str, int | None]


def stop_one(
    context: Context, seat: Seat, number: str, request_id: str, *, destroy_now: bool = False
) -> Grant:
    """Stop the sharing with this number; the grant as it is then.

    A stop finds what she took off her pages too: a page that was open before still has its press.
    Making it final does not, for it is not taken back. Raises NOT_FOUND, REQUEST_ID_REUSED, and
    CONSENT_ENDED as ``stops.stop``.
    """
    with glance(context.engine) as connection:
        ids = (portal_shown.grant_ids if destroy_now else portal_shown.all_grant_ids)(
            connection, seat.subject_id
        )
    grant_id = Numbers(seat.secret).find(GRANT, number, ids)
    mode = consent_pb2.STOP_MODE_DESTROY_NOW if destroy_now else consent_pb2.STOP_MODE_STOP
    # Her number is another one in her next session; a repeat may come from there.
    message = consent_pb2.StopGrantRequest(request_id=request_id, grant=grant_id, mode=mode)
    asked = request_of(context.cards, context.cards.caller(seat.subject_id), message)
    return stops.stop(context, message, asked=asked).row


def stop_everything(context: Context, seat: Seat, message: pb.StopEverythingRequest) -> list[Grant]:
    """Stop all of hers that is on, and make what others stopped for her a stop of her own.

    Returns what this request stopped, as it stands now; nothing to stop is no error. Raises
    REQUEST_ID_REUSED.
    """
    request = request_of(context.cards, context.cards.caller(seat.subject_id), message)
    with begin_read(context.engine) as connection:
        # What was answered stops nothing once more, so no gate goes up for it.
        answered = earlier(connection, request) is not None
        gated = [] if answered else [row.grant_id for row in _open(connection, seat, context.now)]
    raised = context.gates.raise_all(gated)
    try:
        done = context.writer.submit(
            lambda txn: _write(txn, seat, request, gated, answered=answered), stop=True
        )
    except BaseException:
        with ExitStack() as each:
            # Every one of them, also where one cannot be read.
            for one in raised:
                each.callback(stops.settle, context, one.grant, one)
        raise
    for one in raised:
        index = done.value.held[one.grant]
        if index is None:
            one.drop()  # over already, or undone since this was first asked
        else:
            one.keep(index)
    context.wake_behind(done)
    for grant_id, index in done.value.held.items():
        if index is not None:
            context.hooks.tell_stop_answered(grant_id)
    return list(done.value.rows)


def _write(
    txn: WriterTransaction, seat: Seat, request: Request, gated: list[str], *, answered: bool
) -> _Done:
    """The one operation. For what was ``answered`` before it only sees to it that the answer is in
    the anchor."""
    found = earlier(txn.connection, request)
    if found is None:
        if answered:
            raise SafehandError(Reason.UNAVAILABLE, "the answer was forgotten just now")
        # What ended or was resumed meanwhile is seen here; what she gave meanwhile has no gate up.
        rows = [row for row in _open(txn.connection, seat, txn.now) if row.grant_id in set(gated)]
        found = _stop(txn, rows)
        remember(txn, request, found)
    return _Done(_stopped(txn.connection, found), _held(txn.connection, gated))


def _stop(txn: WriterTransaction, rows: Sequence[Grant]) -> dict[str, Json]:
    """A STOP for each that needs one; the first and last of their leaves, which are in a row."""
    indexes: list[int] = []
    for row in rows:
        if grant_state.is_live(row, txn.now) or stop_leaves.is_weakly_stopped(row, txn.now):
            stopped = stop_leaves.stop(txn, row, by=stop_leaves.SELF, window_s=stops.WINDOW_S)
            index = cast(int, stopped.stop_index)
            stop_notes.write_hers(txn, row.subject_id, stop_notes.STOP, row.grant_id, index)
            indexes.append(index)
    return {"first": min(indexes, default=_NONE), "last": max(indexes, default=_NONE)}


def _open(connection: Connection, seat: Seat, now: int) -> list[Grant]:
    """Hers that are not over, hidden or not, in the order of gates and leaves."""
    table = consent_grant.c
    statement = (
        select(consent_grant)
        .where(table.subject_id == seat.subject_id, table.state.in_((ACTIVE, STOPPED)))
        .order_by(table.grant_id)
    )
    rows = map(Grant._make, connection.execute(statement))
    return [row for row in rows if not grant_state.is_over(row, now)]


def _stopped(connection: Connection, found: Mapping[str, Json]) -> list[Grant]:
    """The grants of the leaves that a request wrote, newest first."""
    leaf = grant_leaf.c
    statement = (
        select(consent_grant)
        .join(grant_leaf, leaf.grant_id == consent_grant.c.grant_id)
        .where(
            leaf.leaf_index.between(cast(int, found["first"]), cast(int, found["last"])),
            leaf.kind == Kind.STOP.value,
        )
        .order_by(consent_grant.c.grant_index.desc())
    )
    return [Grant._make(row) for row in connection.execute(statement)]


def _held(connection: Connection, gated: Sequence[str]) -> dict[str, int | None]:
    rows = (grant_state.find(connection, grant_id) for grant_id in gated)
    return {row.grant_id: row.stop_index for row in rows if row is not None}

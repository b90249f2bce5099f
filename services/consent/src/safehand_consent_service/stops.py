"""Her stop, and its undoing. Nothing on this path waits for anything but the gate and the disk.

Order (PROTOCOL rule 2): the gate goes up and drains; then the writer appends STOP before all that
waits; the answer follows its commit and the anchor. The flag stays up until a later RESUME.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from safehand.consent.v1 import consent_pb2 as pb
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_ledger.receipt import Receipt
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read, glance

from safehand_consent_service import grant_state, sessions, stop_leaves, stop_notes
from safehand_consent_service.context import Context, Request, earlier_here, remember, request_of
from safehand_consent_service.gate import Raised
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.invalidate import NO_WINDOW_S, invalidate
from safehand_consent_service.tables import REVOKED, STOPPED

WINDOW_S: Final = 24 * 3600
"""How long a stop by card and PIN can be undone, seconds (DESIGN 3.4)."""
_NONE: Final = -1
"""No such leaf, in an idempotency row."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The grant's row as it is now, and the receipts of STOP and, where it is final, REVOKE."""

    row: Grant
    stop: Receipt
    revoke: Receipt | None


@dataclass(frozen=True, slots=True)
class Resumed:
    """The grant's row as it is now, and the receipt of RESUME."""

    row: Grant
    receipt: Receipt


def stop(
    context: Context,
    message: pb.StopGrantRequest,
    *,
    why: str | None = grant_state.COERCION,
    asked: Request | None = None,
) -> Stopped:
    """Stop one of her grants, as far as ``message`` says; ``why`` it was no consent, where it says
    that (``invalidate``). ``asked``: what she sent, where that was another message than this; it is
    known then that she is signed in and the grant is hers.

    A stop of a grant that she stopped answers the first STOP; one that somebody else stopped for
    her gets a STOP of her own, with her own window. Raises SESSION_INVALID, NOT_FOUND, or
    CONSENT_ENDED when the grant's time was over before anybody stopped it.
    """
    request = asked or _hers(context, message)
    grant_id = message.grant
    destroy_now = message.mode == pb.STOP_MODE_DESTROY_NOW

    def operation(txn: WriterTransaction) -> tuple[Grant, int, int]:
        row = _row(txn, grant_id)
        found = earlier_here(txn, request)
        if found is None:
            if message.mode == pb.STOP_MODE_INVALIDATE:
                row = invalidate(txn, context.keks, row, why=why)
                found = _indexes(row)
            else:
                row, found = _stop(txn, context, row, destroy_now=destroy_now)
            remember(txn, request, found)
        stop_index, revoke_index = cast(int, found["stop"]), cast(int, found["revoke"])
        txn.cite(stop_index)
        if revoke_index != _NONE:
            txn.cite(revoke_index)
        return row, stop_index, revoke_index

    raised = context.gates.raise_and_drain(grant_id)
    try:
        done = context.writer.submit(operation, stop=True)
    except BaseException:
        settle(context, grant_id, raised)
        raise
    row, stop_index, revoke_index = done.value
    if row.stop_index is None:
        raised.drop()  # a repeat of a stop that she has undone since
    else:
        raised.keep(row.stop_index)
    context.wake_behind(done)
    context.hooks.tell_stop_answered(grant_id)
    return Stopped(row, done.receipts[stop_index], done.receipts.get(revoke_index))


def resume(context: Context, message: pb.ResumeGrantRequest) -> Resumed:
    """Undo a stop, her own or one made for her, within its window, without loss.

    Raises SESSION_INVALID, NOT_FOUND, CONSENT_ENDED (over for good), WINDOW_CLOSED,
    STATE_CONFLICT (not stopped).
    """
    request = _hers(context, message)
    grant_id = message.grant

    def operation(txn: WriterTransaction) -> tuple[Grant, int]:
        row = _row(txn, grant_id)
        found = earlier_here(txn, request)
        if found is None:
            row, found = _resume(txn, row)
            remember(txn, request, found)
        index = cast(int, found["resume"])
        txn.cite(index)
        return row, index

    done = context.writer.submit(operation)
    row, index = done.value
    context.gates.lower(grant_id, index)
    context.wake()
    return Resumed(row, done.receipts[index])


def _hers(context: Context, message: pb.StopGrantRequest | pb.ResumeGrantRequest) -> Request:
    """Who asks, once it is known that she is signed in and the grant is hers."""
    with glance(context.engine) as connection:
        subject_id = sessions.require_owner(connection, message.session, message.grant, context.now)
    return request_of(context.cards, context.cards.caller(subject_id), message)


def _stop(
    txn: WriterTransaction, context: Context, row: Grant, *, destroy_now: bool
) -> tuple[Grant, dict[str, Json]]:
    if grant_state.is_live(row, txn.now) or stop_leaves.is_weakly_stopped(row, txn.now):
        # The entry says what is so: what is destroyed now has no window.
        window_s = NO_WINDOW_S if destroy_now else WINDOW_S
        row = stop_leaves.stop(txn, row, by=stop_leaves.SELF, window_s=window_s)
        stop_notes.write_hers(
            txn, row.subject_id, stop_notes.STOP, row.grant_id, cast(int, row.stop_index)
        )
    if row.stop_index is None:
        raise SafehandError(Reason.CONSENT_ENDED)
    if destroy_now and row.state == STOPPED:
        if grant_state.due_end(row, txn.now) is Kind.EXPIRE:
            row = grant_state.expire(txn, context.keks, row)
        elif row.stop_by != stop_leaves.SELF:
            # Not her own, and past its window: it ends by that.
            row = grant_state.revoke(txn, context.keks, row, grant_state.window_cause(row))
        else:
            row = grant_state.revoke(txn, context.keks, row, "destroy_now")
    return row, _indexes(row)


def _indexes(row: Grant) -> dict[str, Json]:
    """The leaves whose receipts a stop answers with."""
    stop_index = cast(int, row.stop_index)
    # A stopped grant may also have ended by EXPIRE, whose receipt is not asked for here.
    revoke_index = cast(int, row.end_index) if row.state == REVOKED else _NONE
    return {"stop": stop_index, "revoke": revoke_index}


def _resume(txn: WriterTransaction, row: Grant) -> tuple[Grant, dict[str, Json]]:
    if grant_state.is_over(row, txn.now):
        raise SafehandError(Reason.CONSENT_ENDED)
    if row.final_at is None:
        raise SafehandError(Reason.STATE_CONFLICT, "the consent is not stopped")
    if txn.now >= row.final_at:
        raise SafehandError(Reason.WINDOW_CLOSED)
    row, index = stop_leaves.resume(txn, row, by=stop_leaves.SELF)
    stop_notes.write_hers(txn, row.subject_id, stop_notes.RESUME, row.grant_id, index)
    return row, {"resume": index}


def _row(txn: WriterTransaction, grant_id: str) -> Grant:
    row = grant_state.find(txn.hot, grant_id)
    if row is None:
        raise SafehandError(Reason.NOT_FOUND)
    return row


def settle(context: Context, grant_id: str, raised: Raised) -> None:
    """A stop was not answered. Its flag comes down only if the grant is found to be live.

    A STOP can be on record without an answer: its anchor could not be written. Where the row
    cannot even be read the flag stays up until the process ends.
    """
    with begin_read(context.engine) as connection:
        row = grant_state.find(connection, grant_id)
    if row is not None and row.stop_index is not None:
        raised.keep(row.stop_index)
    else:
        raised.drop()

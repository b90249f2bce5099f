"""Her stop, and its undoing. Nothing on this path waits for anything but the gate and the disk.

Order (PROTOCOL rule 2): the gate goes up and drains; then the writer appends STOP before all that
waits; the answer follows its commit and the anchor. The flag stays up until a later RESUME.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_ledger.receipt import Receipt
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read
from sqlalchemy import Row, update

from safehand_consent_service import events_out, grant_leaves, grant_state
from safehand_consent_service.context import Context, Request, earlier, remember
from safehand_consent_service.gate import Raised
from safehand_consent_service.tables import ACTIVE, REVOKED, STOPPED
from safehand_consent_service.tables import grant as consent_grant

WINDOW_S: Final = 24 * 3600
"""How long a stop by card and PIN can be undone, seconds (DESIGN 3.4)."""
_NONE: Final = -1
"""No such leaf, in an idempotency row."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The grant's row as it is now, and the receipts of STOP and, where it is final, REVOKE."""

    row: Row[Any]
    stop: Receipt
    revoke: Receipt | None


@dataclass(frozen=True, slots=True)
class Resumed:
    """The grant's row as it is now, and the receipt of RESUME."""

    row: Row[Any]
    receipt: Receipt


def stop(
    context: Context, subject_id: str, grant_id: str, request: Request, *, destroy_now: bool
) -> Stopped:
    """Stop one of her grants; with ``destroy_now`` also delete its keys at once.

    A stop of a stopped grant answers the first STOP. Raises NOT_FOUND, or CONSENT_ENDED when
    the grant's time was over before she stopped it.
    """
    with begin_read(context.engine) as connection:
        grant_state.require_hers(connection, grant_id, subject_id)

    def operation(txn: WriterTransaction) -> tuple[Row[Any], int, int]:
        found = earlier(txn.connection, request)
        if found is None:
            found = _stop(txn, context, grant_id, destroy_now=destroy_now)
            remember(txn, request, found)
        stop_index, revoke_index = cast(int, found["stop"]), cast(int, found["revoke"])
        txn.cite(stop_index)
        if revoke_index != _NONE:
            txn.cite(revoke_index)
        return _row(txn, grant_id), stop_index, revoke_index

    raised = context.gates.raise_and_drain(grant_id)
    try:
        done = context.writer.submit(operation, stop=True)
    except BaseException:
        _settle(context, grant_id, raised)
        raise
    row, stop_index, revoke_index = done.value
    if row.state == ACTIVE:
        raised.drop()  # a repeat of a stop that she has undone since
    else:
        raised.keep(row.stop_index)
    context.wake()
    context.hooks.tell_stop_answered(grant_id)
    return Stopped(row, done.receipts[stop_index], done.receipts.get(revoke_index))


def resume(context: Context, subject_id: str, grant_id: str, request: Request) -> Resumed:
    """Undo a stop within its window, without loss.

    Raises NOT_FOUND, CONSENT_ENDED (over for good), WINDOW_CLOSED, STATE_CONFLICT (not stopped).
    """
    with begin_read(context.engine) as connection:
        grant_state.require_hers(connection, grant_id, subject_id)

    def operation(txn: WriterTransaction) -> tuple[Row[Any], int]:
        found = earlier(txn.connection, request)
        if found is None:
            found = _resume(txn, grant_id)
            remember(txn, request, found)
        index = cast(int, found["resume"])
        txn.cite(index)
        return _row(txn, grant_id), index

    done = context.writer.submit(operation)
    row, index = done.value
    context.gates.lower(grant_id, index)
    context.wake()
    return Resumed(row, done.receipts[index])


def _stop(
    txn: WriterTransaction, context: Context, grant_id: str, *, destroy_now: bool
) -> dict[str, Json]:
    row = _row(txn, grant_id)
    if grant_state.is_live(row, txn.now):
        final_at = txn.now + WINDOW_S
        fields: dict[str, Json] = {"by": "self", "strength": "strong", "final_at": final_at}
        index = grant_leaves.append(txn, row, Kind.STOP, fields)
        _set(
            txn,
            grant_id,
            state=STOPPED,
            stopped_at=txn.now,
            final_at=final_at,
            stop_index=index,
        )
        events_out.ended(txn.connection, row, txn.now)
        row = _row(txn, grant_id)
    if row.stop_index is None:
        raise SafehandError(Reason.CONSENT_ENDED)
    if destroy_now and row.state == STOPPED:
        if grant_state.due_end(row, txn.now) is Kind.EXPIRE:
            grant_state.expire(txn, context.keks, row)
        else:
            grant_state.revoke(txn, context.keks, row, "destroy_now")
        row = _row(txn, grant_id)
    return {
        "stop": row.stop_index,
        "revoke": row.end_index if row.state == REVOKED else _NONE,
    }


def _resume(txn: WriterTransaction, grant_id: str) -> dict[str, Json]:
    row = _row(txn, grant_id)
    if grant_state.is_over(row, txn.now):
        raise SafehandError(Reason.CONSENT_ENDED)
    if row.state != STOPPED:
        raise SafehandError(Reason.STATE_CONFLICT, "the consent is not stopped")
    if txn.now >= row.final_at:
        raise SafehandError(Reason.WINDOW_CLOSED)
    index = grant_leaves.append(txn, row, Kind.RESUME, {"by": "self"})
    _set(txn, grant_id, state=ACTIVE, stopped_at=None, final_at=None, stop_index=None)
    events_out.resumed(txn.connection, row, txn.now)
    return {"resume": index}


def _row(txn: WriterTransaction, grant_id: str) -> Row[Any]:
    row = grant_state.find(txn.connection, grant_id)
    if row is None:
        raise SafehandError(Reason.NOT_FOUND)
    return row


def _set(txn: WriterTransaction, grant_id: str, **values: Any) -> None:
    txn.connection.execute(
        update(consent_grant).where(consent_grant.c.grant_id == grant_id).values(values)
    )


def _settle(context: Context, grant_id: str, raised: Raised) -> None:
    """The stop was not answered. Its flag comes down only if the grant is found to be live.

    A STOP can be on record without an answer: its anchor could not be written. Where the row
    cannot even be read the flag stays up until the process ends.
    """
    with begin_read(context.engine) as connection:
        row = grant_state.find(connection, grant_id)
    if row is not None and row.stop_index is not None:
        raised.keep(row.stop_index)
    else:
        raised.drop()

"""Her answer to what a worker recorded for her: yes, no, or not sure. Silence is no.

Yes is a CONFIRM entry, and from then on it is her consent like any other. No ends it like a stop,
in the order of a stop (``stops``), and for good; like a stop it is never too late, so it ends what
she confirmed before too. Not sure changes nothing but a date in her list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from safehand.consent.v1 import consent_pb2
from safehand.consent.v1 import recorded_pb2 as pb
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_ledger.receipt import Receipt
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read
from safehand_store.prepared import Prepared
from sqlalchemy import bindparam, null, update

from safehand_consent_service import (
    events_out,
    grant_leaves,
    grant_state,
    sessions,
    stops,
    tables_recorded,
)
from safehand_consent_service.context import Context, Request, earlier, remember, request_of
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.tables import grant as consent_grant

_CONFIRM: Final = Prepared(
    update(consent_grant)
    .where(consent_grant.c.grant_id == bindparam("wanted"))
    .values(confirm_by=null())
)
_SEEN: Final = Prepared(
    update(tables_recorded.recorded)
    .where(tables_recorded.recorded.c.grant_id == bindparam("wanted"))
    .values(seen_at=bindparam("now"))
)


@dataclass(frozen=True, slots=True)
class Answered:
    """The grant's row as it is now, and the receipts of what her answer wrote, where it did."""

    row: Grant
    confirm: Receipt | None = None
    stop: Receipt | None = None
    revoke: Receipt | None = None


def answer(context: Context, message: pb.ConfirmGrantRequest) -> Answered:
    """Take her answer.

    Raises SESSION_INVALID, NOT_FOUND, STATE_CONFLICT (nobody recorded it; or, but for a no, it is
    confirmed), CONSENT_ENDED (its time is over; or, but for a no, it is stopped for good),
    REQUEST_ID_REUSED.
    """
    with begin_read(context.engine) as connection:
        subject_id = sessions.require(connection, message.session, context.now)
        row = grant_state.require_hers(connection, message.grant, subject_id)
    if row.recorded_by is None:
        raise SafehandError(Reason.STATE_CONFLICT, "nobody recorded it for you: it is your own")
    request = request_of(context.cards, context.cards.caller(subject_id), message)
    if message.reply == pb.REPLY_NO:
        return _no(context, message, request)
    if message.reply == pb.REPLY_YES:
        return _yes(context, message.grant, request)
    return _not_sure(context, message.grant, request)


def _yes(context: Context, grant_id: str, request: Request) -> Answered:
    def operation(txn: WriterTransaction) -> tuple[Grant, int]:
        row = _row(txn, grant_id)
        found = earlier(txn.connection, request)
        if found is None:
            row, index = _confirm(txn, row)
            found = {"confirm": index}
            remember(txn, request, found)
        index = cast(int, found["confirm"])
        txn.cite(index)
        return row, index

    done = context.writer.submit(operation)
    context.wake()
    row, index = done.value
    return Answered(row, confirm=done.receipts[index])


def _confirm(txn: WriterTransaction, row: Grant) -> tuple[Grant, int]:
    _require_waiting(txn, row)
    index = grant_leaves.append(txn, row, Kind.CONFIRM, {"by": "self"})
    _CONFIRM.run(txn.connection, wanted=row.grant_id)
    events_out.confirmed(txn, row, txn.now)
    return row._replace(confirm_by=None), index


def _no(context: Context, message: pb.ConfirmGrantRequest, request: Request) -> Answered:
    """It was never so. Nothing that a stop does is done otherwise, so it is one."""
    done = stops.stop(
        context,
        consent_pb2.StopGrantRequest(
            request_id=message.request_id,
            session=message.session,
            grant=message.grant,
            mode=consent_pb2.STOP_MODE_INVALIDATE,
        ),
        why=None,
        asked=request,
    )
    return Answered(done.row, stop=done.stop, revoke=done.revoke)


def _not_sure(context: Context, grant_id: str, request: Request) -> Answered:
    def operation(txn: WriterTransaction) -> Grant:
        row = _row(txn, grant_id)
        if earlier(txn.connection, request) is None:
            _require_waiting(txn, row)
            _SEEN.run(txn.connection, wanted=grant_id, now=txn.now)
            remember(txn, request, {})
        return row

    return Answered(context.writer.submit(operation).value)


def _require_waiting(txn: WriterTransaction, row: Grant) -> None:
    # What is due to end has ended, swept or not.
    if grant_state.is_over(row, txn.now) or grant_state.due_end(row, txn.now) is not None:
        raise SafehandError(Reason.CONSENT_ENDED)
    if row.confirm_by is None:
        raise SafehandError(Reason.STATE_CONFLICT, "you confirmed it already")


def _row(txn: WriterTransaction, grant_id: str) -> Grant:
    row = grant_state.find(txn.connection, grant_id)
    if row is None:
        raise SafehandError(Reason.NOT_FOUND)
    return row

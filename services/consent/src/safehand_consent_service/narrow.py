"""She takes something out of a consent: categories, or time at its end. There is no undo.

It goes the way of a stop: first the gate, shut for what is taken out; then the writer's lane of
stops; the answer follows its commit and the anchor. The keys of what is taken out are deleted in
the same transaction, and destroyed with the next roll of the KEK, as after a final stop. What is
left goes on without a pause.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, cast

from safehand.consent.v1 import narrow_pb2
from safehand_core import canonical
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CARD, CATEGORIES
from safehand_formats.kinds import Kind
from safehand_ledger.receipt import Receipt
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read
from safehand_store.prepared import Prepared
from sqlalchemy import bindparam, update

from safehand_consent_service import events_out, grant_leaves, grant_state, sessions
from safehand_consent_service.context import Context, earlier, remember, request_of
from safehand_consent_service.gate import Narrowed as Shut
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.tables import grant as consent_grant

_NARROW: Final = Prepared(
    update(consent_grant)
    .where(consent_grant.c.grant_id == bindparam("wanted"))
    .values(categories=bindparam("left"), expires_at=bindparam("until"))
)


@dataclass(frozen=True, slots=True)
class Narrowed:
    """The grant's row as it is now, the receipt of NARROW, and what was taken out, sorted."""

    row: Grant
    receipt: Receipt
    removed: list[str]


def narrow(context: Context, message: narrow_pb2.NarrowGrantRequest) -> Narrowed:
    """Take out of one of her grants what ``message`` does not name, or end it earlier.

    Raises SESSION_INVALID, NOT_FOUND, CONSENT_ENDED (over for good), SCOPE_EXCEEDED (a category
    that is not in it), EXPIRY_INVALID (a later end), MALFORMED (nothing would be left, which is a
    stop; or nothing would be taken out).
    """
    wanted = _wanted(message.categories)
    until = message.expires_at.seconds if message.HasField("expires_at") else None
    with begin_read(context.engine) as connection:
        subject_id = sessions.require(connection, message.session, context.now)
        before = grant_state.require_hers(connection, message.grant, subject_id)
    request = request_of(context.cards, context.cards.caller(subject_id), message)

    def operation(txn: WriterTransaction) -> tuple[Grant, int, list[str]]:
        row = grant_state.require_hers(txn.connection, message.grant, subject_id)
        found = earlier(txn.connection, request)
        if found is None:
            row, found = _narrow(context, txn, row, wanted, until)
            remember(txn, request, found)
        index = cast(int, found["index"])
        txn.cite(index)
        return row, index, cast("list[str]", found["removed"])

    # Categories only ever leave a grant: what the writer will find there is among these.
    shut = context.gates.narrow_and_drain(message.grant, grant_state.categories(before) - wanted)
    try:
        done = context.writer.submit(operation, stop=True)
    except BaseException:
        _settle(context, shut)
        raise
    shut.keep()
    context.wake()
    row, index, removed = done.value
    return Narrowed(row, done.receipts[index], removed)


def _wanted(categories: Collection[str]) -> frozenset[str]:
    """Everything that stays, CARD among it."""
    if not categories:
        # An empty list could also mean "leave them": nothing that she switched off stays on.
        raise _malformed("categories", "to take out everything is a stop: use StopGrant")
    if not set(categories) <= CATEGORIES.keys():
        raise _malformed("categories", "a category is not on the list")
    return frozenset(categories) | {CARD}


def _narrow(
    context: Context, txn: WriterTransaction, row: Grant, wanted: frozenset[str], until: int | None
) -> tuple[Grant, dict[str, Json]]:
    if grant_state.is_over(row, txn.now) or grant_state.due_end(row, txn.now) is not None:
        raise SafehandError(Reason.CONSENT_ENDED)
    before = grant_state.categories(row)
    if not wanted <= before:
        raise SafehandError(Reason.SCOPE_EXCEEDED, "a consent is narrowed, never widened")
    expires_at = row.expires_at if until is None else until
    if expires_at > row.expires_at:
        raise SafehandError(Reason.EXPIRY_INVALID, "a consent is narrowed, never prolonged")
    if expires_at <= txn.now:
        raise _malformed("expires_at", "to end it now is a stop: use StopGrant")
    if wanted == before and expires_at == row.expires_at:
        raise _malformed("categories", "nothing would be taken out")
    left, removed = sorted(wanted), sorted(before - wanted)
    fields: dict[str, Json] = {"categories": list(left), "expires_at": expires_at, "by": "self"}
    index = grant_leaves.append(txn, row, Kind.NARROW, fields)
    text = canonical.encode(list(left)).decode()
    _NARROW.run(txn.connection, wanted=row.grant_id, left=text, until=expires_at)
    context.keks.delete_some(txn.connection, row.grant_id, removed)
    events_out.narrowed(txn, row, txn.now)
    row = row._replace(categories=text, expires_at=expires_at)
    return row, {"index": index, "removed": list(removed)}


def _settle(context: Context, shut: Shut) -> None:
    """The narrowing was not answered. The gate opens again only for what is still in the grant.

    A NARROW can be on record without an answer: its anchor could not be written. Where the row
    cannot even be read the gate stays shut until the process ends.
    """
    with begin_read(context.engine) as connection:
        row = grant_state.find(connection, shut.grant)
    if row is None or shut.removed.isdisjoint(grant_state.categories(row)):
        shut.keep()
    else:
        shut.drop()


def _malformed(field: str, detail: str) -> SafehandError:
    return SafehandError(Reason.MALFORMED, detail, metadata={"field": field})

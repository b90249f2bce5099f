"""People she trusts to stop for her: a code each, that stops everything and does nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from safehand.consent.v1 import stops_pb2 as pb
from safehand_core import ids
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_ledger.transaction import WriterTransaction
from sqlalchemy import Connection, func, insert, select, update

from safehand_consent_service import sessions
from safehand_consent_service.context import Context, Request, earlier, remember, request_of
from safehand_consent_service.tables_stops import representative

MOST: Final = 5
"""Codes that stop for her at one time: a few people, not a list."""
_DRAWS: Final = 8
"""Codes tried before giving up: each is taken with a chance below one in a million."""

_R: Final = representative.c


@dataclass(frozen=True, slots=True)
class Representative:
    """One that holds a code."""

    representative_id: str
    subject_id: str
    relation: str
    added_at: int


@dataclass(frozen=True, slots=True)
class Added:
    """A new one, and the code: kept nowhere, given to her alone."""

    representative: Representative
    code: str


def add(context: Context, message: pb.AddRepresentativeRequest) -> Added:
    """Name one more. Raises SESSION_INVALID, or QUOTA_EXCEEDED above ``MOST``."""

    def operation(txn: WriterTransaction) -> Added:
        subject_id = sessions.require(txn.connection, message.session, txn.now)
        request = request_of(context.cards, context.cards.caller(subject_id), message)
        found = earlier(txn.connection, request)
        if found is not None:
            made = _of_id(txn.connection, cast(str, found["representative"]))
            return Added(made, _code(context, request, cast(int, found["attempt"])))
        if len(of(txn.connection, subject_id)) >= MOST:
            raise SafehandError(Reason.QUOTA_EXCEEDED, "five hold a code; remove one first")
        attempt = _free(context, txn.connection, request)
        made = Representative(ids.new_id(context.entropy), subject_id, message.relation, txn.now)
        code = _code(context, request, attempt)
        txn.connection.execute(
            insert(representative).values(
                representative_id=made.representative_id,
                subject_id=subject_id,
                relation=made.relation,
                code_hmac=context.cards.code_hmac(code),
                added_at=txn.now,
            )
        )
        remember(txn, request, {"representative": made.representative_id, "attempt": attempt})
        return Added(made, code)

    return context.writer.submit(operation).value


def remove(context: Context, message: pb.RemoveRepresentativeRequest) -> None:
    """Take a code back, at once and for good; again changes nothing.

    Raises SESSION_INVALID, NOT_FOUND (none of hers).
    """

    def operation(txn: WriterTransaction) -> None:
        subject_id = sessions.require(txn.connection, message.session, txn.now)
        request = request_of(context.cards, context.cards.caller(subject_id), message)
        if earlier(txn.connection, request) is not None:
            return
        hers = (_R.representative_id == message.representative) & (_R.subject_id == subject_id)
        if txn.connection.execute(select(_R.representative_id).where(hers)).first() is None:
            raise SafehandError(Reason.NOT_FOUND)
        txn.connection.execute(
            update(representative).where(hers, _R.removed_at.is_(None)).values(removed_at=txn.now)
        )
        remember(txn, request, {})

    context.writer.submit(operation)


def of(connection: Connection, subject_id: str) -> list[Representative]:
    """Those that hold a code of hers now, oldest first."""
    rows = connection.execute(
        select(_R.representative_id, _R.subject_id, _R.relation, _R.added_at)
        .where(_R.subject_id == subject_id, _R.removed_at.is_(None))
        .order_by(_R.added_at, _R.representative_id)
    )
    return [Representative(*row) for row in rows]


def find(connection: Connection, code_hmac: bytes) -> Representative | None:
    """Whose code it is; None for a wrong and for a removed one."""
    row = connection.execute(
        select(_R.representative_id, _R.subject_id, _R.relation, _R.added_at).where(
            _R.code_hmac == code_hmac, _R.removed_at.is_(None)
        )
    ).first()
    return None if row is None else Representative(*row)


def _of_id(connection: Connection, representative_id: str) -> Representative:
    row = connection.execute(
        select(_R.representative_id, _R.subject_id, _R.relation, _R.added_at).where(
            _R.representative_id == representative_id
        )
    ).one()
    return Representative(*row)


def _code(context: Context, request: Request, attempt: int) -> str:
    return context.cards.new_code(request.caller, request.request_id, attempt)


def _free(context: Context, connection: Connection, request: Request) -> int:
    """The first attempt whose code nobody ever had: a removed code never comes back."""
    for attempt in range(_DRAWS):
        taken = _R.code_hmac == context.cards.code_hmac(_code(context, request, attempt))
        if not connection.execute(select(func.count()).where(taken)).scalar_one():
            return attempt
    raise SafehandError(Reason.UNAVAILABLE, "no free code was found")

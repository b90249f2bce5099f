"""Her code word gets her worker a number, with which she signs in without waiting for a turn.

The agency that asks must know her, and names the worker. Every refusal is one and the same, after
the same work: nobody learns whether there is such a person, or whether she has a word. She is shown
each number and each try, refused ones too; beyond ``stop_quotas.SHOWN`` a day their number.

A repeat of the request gets the same number: the row that remembers it holds the random bytes that
the number is made from under a pepper, never the number. It gets it whatever became of the number
meanwhile, or a repeat would tell the agency whether she has signed in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, cast

from safehand.consent.v1 import stops_pb2 as pb
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_ledger.transaction import WriterTransaction
from safehand_rpc.identity import Principal
from safehand_store.engine import begin_read
from sqlalchemy import Connection, select

from safehand_consent_service import (
    agencies,
    code_words,
    stop_leaves,
    stop_notes,
    stop_quotas,
    throttle,
    worker_numbers,
)
from safehand_consent_service.context import Context, earlier, remember, request_of
from safehand_consent_service.tables import subject, subject_ref

SEED_BYTES: Final = 16
"""Random bytes that a number is made from: nobody makes the same seed twice."""
_NOBODY: Final = ""


@dataclass(frozen=True, slots=True)
class Lifted:
    """The number, and from when on it does nothing."""

    number: str = field(repr=False)
    expires_at: int


@dataclass(frozen=True, slots=True)
class _Refused:
    """``wait_s``: the word was right, and she has had her numbers for now."""

    wait_s: int | None = None


@dataclass(frozen=True, slots=True)
class _Given:
    seed: str
    expires_at: int


def lift(context: Context, principal: Principal, message: pb.LiftWaitRequest) -> Lifted:
    """Give the agency a number for her.

    Raises MALFORMED, AGENCY_UNKNOWN, REQUEST_ID_REUSED, THROTTLED (words that this agency tried
    for this reference), QUOTA_EXCEEDED (the word was right; numbers of a day), and NOT_ALLOWED for
    everything else.
    """
    agency, reference = principal.name, message.subject_ref
    plain = code_words.normalise(message.code_word)
    request = request_of(context.cards, principal.spiffe_id, message)
    tries = context.cards.lift_tries(agency, reference)
    with begin_read(context.engine) as connection:
        agencies.require(connection, agency)
        before = earlier(connection, request)
        known = _known(connection, agency, reference)
        stored = code_words.hash_of(connection, known.subject_id if known else _NOBODY)
    # What was answered is answered again below, and nothing else: no word was heard for it now.
    matches = before is None and code_words.heard(context, tries, stored, plain)
    # Drawn outside of the operation, which may run twice.
    seed = context.entropy.bytes(SEED_BYTES).hex()

    def operation(txn: WriterTransaction) -> _Given | _Refused:
        found = earlier(txn.connection, request)
        if found is not None:
            return _Given(cast(str, found["seed"]), cast(int, found["expires_at"]))
        her = _known(txn.connection, agency, reference)
        current = code_words.hash_of(txn.connection, her.subject_id if her else _NOBODY)
        if her is None or not matches or current != stored:
            _note(txn, principal, message, her, refused=True)
            return _Refused()
        wait_s = stop_quotas.numbers_over(txn.connection, her.subject_id, txn.now)
        if wait_s is not None:
            _note(txn, principal, message, her, refused=True)
            return _Refused(wait_s)
        number = context.cards.number_hmac(her.card_hmac, context.cards.number_from(seed))
        expires_at = worker_numbers.put(txn.connection, her.card_hmac, number, txn.now)
        _note(txn, principal, message, her, refused=False)
        throttle.forgive(txn.connection, tries)
        remember(txn, request, {"seed": seed, "expires_at": expires_at})
        return _Given(seed, expires_at)

    done = context.writer.submit(operation).value
    if isinstance(done, _Given):
        return Lifted(context.cards.number_from(done.seed), done.expires_at)
    if done.wait_s is not None:
        raise SafehandError(
            Reason.QUOTA_EXCEEDED, "enough numbers for one day", retry_after_s=done.wait_s
        )
    raise SafehandError(Reason.NOT_ALLOWED, "ask her for the word again")


def _known(connection: Connection, agency: str, reference: str) -> Any:
    """Her whom the agency knows by this reference; None where it knows nobody by it."""
    statement = (
        select(subject.c.subject_id, subject.c.card_hmac)
        .join(subject_ref, subject_ref.c.subject_id == subject.c.subject_id)
        .where(subject_ref.c.agency == agency, subject_ref.c.subject_ref == reference)
    )
    return connection.execute(statement).first()


def _note(
    txn: WriterTransaction,
    principal: Principal,
    message: pb.LiftWaitRequest,
    her: Any,
    *,
    refused: bool,
) -> None:
    """What she is shown of it: whose worker it was, and whether it was refused."""
    subject_id = her.subject_id if her else None
    if refused:
        subject_id = stop_quotas.shown_to(txn.connection, subject_id, principal.name, None, txn.now)
    stop_notes.write(
        txn,
        stop_notes.Note(
            subject_id=subject_id,
            action=stop_notes.NUMBER,
            made_by=stop_leaves.WORKER,
            source=f"agency/{principal.name}",
            agency=principal.name,
            worker_ref=message.worker_ref,
            refused=refused,
        ),
    )

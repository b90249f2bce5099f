"""Two workers and her code word undo a stop that somebody made for her (DESIGN 3.4).

Only the releasing agency, which signs that she said the word; only a weak stop; only inside its
window. Her own stop is undone by nobody else. Every refusal is one and the same, after the same
work: an agency does not learn whether there is such a grant, who stopped it, or whether she has a
word. She is shown each try, refused ones too; beyond ``stop_quotas.SHOWN`` a day their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from safehand.consent.v1 import stops_pb2 as pb
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.resume import Resume, SignedResume
from safehand_ledger.receipt import Receipt
from safehand_ledger.transaction import WriterTransaction
from safehand_rpc.identity import Principal
from safehand_store.engine import begin_read

from safehand_consent_service import (
    agencies,
    code_words,
    grant_state,
    stop_leaves,
    stop_notes,
    stop_quotas,
    throttle,
)
from safehand_consent_service.context import Context, earlier, remember, request_of
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.stop_notes import About

AT_SKEW_S: Final = 600
"""How far the agency's clock may be from ours, seconds: what it signed is about now."""
_NOBODY: Final = ""


@dataclass(frozen=True, slots=True)
class Resumed:
    """Since when sharing is on again, and the receipt of RESUME."""

    at: int
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class _Done:
    at: int
    grant_id: str
    index: int | None


def resume(context: Context, principal: Principal, message: pb.ResumeForHerRequest) -> Resumed:
    """Undo a weak stop within its window.

    Raises MALFORMED, NOT_ALLOWED (signed in another agency's name), AGENCY_UNKNOWN,
    SIGNATURE_INVALID, REQUEST_ID_REUSED, THROTTLED (tries of this agency at this grant), and
    RESUME_REFUSED for everything else.
    """
    said = _said(context, principal, message)
    plain = code_words.normalise(message.code_word)
    request = request_of(context.cards, principal.spiffe_id, message)
    with begin_read(context.engine) as connection:
        before = earlier(connection, request)
        known = _releasing_row(grant_state.find(connection, said.grant), said.agency)
        owner = known.subject_id if known else _NOBODY
        stored = code_words.hash_of(connection, owner)
    tries = context.cards.resume_tries(said.agency, said.grant)
    # What was answered is answered again below, and nothing else: no word was heard for it now.
    matches = before is None and code_words.heard(context, tries, stored, plain)

    def operation(txn: WriterTransaction) -> _Done:
        found = earlier(txn.connection, request)
        if found is not None:
            index = cast(int, found["resume"])
            txn.cite(index)
            return _Done(cast(int, found["at"]), said.grant, index)
        row = _releasing_row(grant_state.find(txn.connection, said.grant), said.agency)
        current = code_words.hash_of(txn.connection, row.subject_id if row else _NOBODY)
        again = stop_quotas.staff_may_resume(txn.connection, said.grant)
        allowed = matches and current == stored and again
        if row is None or not allowed or not stop_leaves.is_weakly_stopped(row, txn.now):
            _note(txn, said, row, None)
            return _Done(txn.now, said.grant, None)
        _, index = stop_leaves.resume(
            txn,
            row,
            by=stop_leaves.STAFF,
            staff={
                "agency": said.agency,
                "worker_ref": said.worker_ref,
                "second_ref": said.second_ref,
            },
        )
        _note(txn, said, row, index)
        throttle.forgive(txn.connection, tries)
        remember(txn, request, {"resume": index, "at": txn.now})
        return _Done(txn.now, said.grant, index)

    committed = context.writer.submit(operation)
    done = committed.value
    if done.index is None:
        raise SafehandError(Reason.RESUME_REFUSED)
    context.gates.lower(done.grant_id, done.index)
    context.wake()
    return Resumed(done.at, committed.receipts[done.index])


def _said(context: Context, principal: Principal, message: pb.ResumeForHerRequest) -> Resume:
    """What the calling agency signed, and nothing about whether it is so."""
    signed = SignedResume(message.resume, message.signature)
    said = signed.resume
    if principal.name != said.agency:
        raise SafehandError(Reason.NOT_ALLOWED)
    with begin_read(context.engine) as connection:
        agencies.verified(connection, said.agency, context.now, signed.verify)
    if said.request_id != message.request_id:
        raise SafehandError(
            Reason.MALFORMED, "another request_id is signed", metadata={"field": "request_id"}
        )
    if abs(said.at - context.now) > AT_SKEW_S:
        raise SafehandError(
            Reason.MALFORMED, "it was not signed about now", metadata={"field": "at"}
        )
    return said


def _releasing_row(row: Grant | None, agency: str) -> Grant | None:
    """The grant, if the agency is its releasing one; else it is not there."""
    return row if row is not None and row.releasing == agency else None


def _note(txn: WriterTransaction, said: Resume, row: Grant | None, index: int | None) -> None:
    """What she is shown of it: who the two were, and whether it was refused."""
    subject_id = row.subject_id if row else None
    if index is None:
        subject_id = stop_quotas.shown_to(txn.connection, subject_id, said.agency, None, txn.now)
    stop_notes.write(
        txn,
        stop_notes.Note(
            subject_id=subject_id,
            action=stop_notes.RESUME,
            made_by=stop_leaves.STAFF,
            source=stop_notes.STAFF_SOURCE,
            about=[About(said.grant, index)] if row else [],
            agency=said.agency,
            worker_ref=said.worker_ref,
            second_ref=said.second_ref,
            refused=index is None,
        ),
    )

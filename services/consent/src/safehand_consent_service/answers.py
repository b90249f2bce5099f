"""RecordAnswer: a signed accept, decline or withdraw, filed in one order with everything else.

A stop ends sharing, never help: answers are taken while sharing is stopped, and after it ended.
What an answer changes is what still opens: identity parts only after ACCEPT, nothing after
DECLINE or WITHDRAW. A recipient may decline after it accepted; nothing follows a closing answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.answer import (
    WITHDRAW,
    Answer,
    AnswerAck,
    SignedAnswer,
    SignedAnswerAck,
)
from safehand_ledger.transaction import WriterTransaction
from safehand_rpc.identity import Principal
from safehand_store.engine import begin_read
from sqlalchemy import Connection, bindparam, insert, select

from safehand_consent_service import agencies, referred, tables
from safehand_consent_service.context import Context, Request, earlier, remember

AT_SKEW_S: Final = 300
"""How far in the future an answer may say it was given: the agency's clock may differ a little."""

_OF_KIND: Final = select(tables.answer.c.digest).where(
    tables.answer.c.manifest_digest == bindparam("of"), tables.answer.c.answer == bindparam("word")
)
_BY_DIGEST: Final = select(tables.answer.c.ack).where(
    tables.answer.c.manifest_digest == bindparam("manifest"),
    tables.answer.c.digest == bindparam("digest"),
)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Consent's acknowledgement as it was first given, signed by the token key of now: nobody ever
    has to present a signature of a key that has ended."""

    ack: bytes
    signature: bytes


def record(
    context: Context, principal: Principal, signed: SignedAnswer, request: Request
) -> Acknowledged:
    """File an answer; the very same one again gets the same acknowledgement.

    Raises MALFORMED, NOT_ALLOWED (not this caller's to give, or no such referral),
    SIGNATURE_INVALID, MANIFEST_MISMATCH, REFERRAL_CLOSED, ALREADY_EXISTS (another acceptance).
    """
    with begin_read(context.engine) as connection:
        answer = _check_party(connection, principal, signed, context.now)
    if answer.at > context.now + AT_SKEW_S:
        raise SafehandError(
            Reason.MALFORMED, "the answer is from the future", metadata={"field": "at"}
        )
    return context.writer.submit(lambda txn: _file(context, txn, signed, answer, request)).value


def _check_party(
    connection: Connection, principal: Principal, signed: SignedAnswer, now: int
) -> Answer:
    """The answer, if the caller is the party that may give it and its pinned key signed it."""
    answer = signed.answer
    subject = referred.find(connection, answer.manifest)
    caller = principal.name if principal.kind == "agency" else None
    if subject is None:
        raise SafehandError(Reason.NOT_ALLOWED)
    giver = subject.sender if answer.answer == WITHDRAW else subject.recipient
    if {answer.agency, giver} != {caller}:
        raise SafehandError(Reason.NOT_ALLOWED)
    agencies.verified(connection, giver, now, signed.verify)
    if answer.referral != subject.referral:
        raise SafehandError(Reason.MANIFEST_MISMATCH, "the manifest is of another referral")
    return answer


def _file(
    context: Context,
    txn: WriterTransaction,
    signed: SignedAnswer,
    answer: Answer,
    request: Request,
) -> Acknowledged:
    before = earlier(txn.connection, request)
    given = _known(context, txn.connection, answer.manifest, signed.digest.hex())
    if given is None:
        referred.require_not_closed(referred.answers_to(txn.connection, answer.manifest))
        # An acceptance of the manifest before is no other one of this.
        if txn.connection.execute(_OF_KIND, {"of": answer.manifest, "word": answer.answer}).first():
            raise SafehandError(Reason.ALREADY_EXISTS, "another acceptance is on file")
        given = _insert(context, txn, signed, answer)
    if before is None:
        remember(txn, request, {"answer": signed.digest.hex()})
    return given


def _known(
    context: Context, connection: Connection, manifest: str, digest: str
) -> Acknowledged | None:
    row = connection.execute(_BY_DIGEST, {"manifest": manifest, "digest": digest}).first()
    if row is None:
        return None
    again = SignedAnswerAck.sign(AnswerAck.decode(row.ack), context.token_key)
    return Acknowledged(again.ack_bytes, again.signature)


def _insert(
    context: Context, txn: WriterTransaction, signed: SignedAnswer, answer: Answer
) -> Acknowledged:
    digest = signed.digest.hex()
    ack = SignedAnswerAck.sign(AnswerAck(digest, txn.now), context.token_key)
    txn.connection.execute(
        insert(tables.answer).values(
            manifest_digest=answer.manifest,
            answer=answer.answer,
            agency=answer.agency,
            reason=answer.reason,
            digest=digest,
            body=signed.answer_bytes,
            signature=signed.signature,
            ack=ack.ack_bytes,
            ack_signature=ack.signature,
            recorded_at=txn.now,
        )
    )
    return Acknowledged(ack.ack_bytes, ack.signature)

"""AnswerReferral: a signed accept, decline or withdraw, after consent has it (PROTOCOL step 10)."""

from __future__ import annotations

from dataclasses import dataclass

from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.answer import ACCEPT, DECLINE, WITHDRAW, Answer, SignedAnswer, SignedAnswerAck
from safehand_store.engine import begin_read
from sqlalchemy import Connection, insert, select

from safehand_referral_service import fetch, identity_keys, referral_store, states
from safehand_referral_service.context import Context, Request, once
from safehand_referral_service.referral_store import Referral
from safehand_referral_service.states import Action
from safehand_referral_service.tables import ANSWER

_ACTION = {ACCEPT: Action.ACCEPT, DECLINE: Action.DECLINE, WITHDRAW: Action.WITHDRAW}


@dataclass(frozen=True, slots=True)
class Filing:
    """An answer as its signer and consent signed it."""

    signed: SignedAnswer
    ack: SignedAnswerAck


def answer(context: Context, request: Request, agency: str, filing: Filing) -> Referral:
    """File an answer; the same answer again changes nothing.

    Raises MALFORMED, NOT_ALLOWED (not its signer's, not that side's to say, or no such referral),
    AGENCY_UNKNOWN, SIGNATURE_INVALID, MANIFEST_MISMATCH (for another manifest, or an
    acknowledgement of another answer), REFERRAL_CLOSED, STATE_CONFLICT, REQUEST_ID_REUSED.
    """
    said = _verified(context, agency, filing)

    def work(connection: Connection) -> dict[str, Json]:
        _file(context, connection, agency, said, filing)
        return {"referral": said.referral}

    once(context, request, work)
    return fetch.state(context, agency, said.referral)


def _verified(context: Context, agency: str, filing: Filing) -> Answer:
    said = filing.signed.answer
    if said.agency != agency:
        raise SafehandError(Reason.NOT_ALLOWED)
    with begin_read(context.engine) as connection:
        referral_store.require(connection, said.referral, agency)
        # When it was said counts, not now: consent's acknowledgement is what lets it in, and that
        # was checked under the keys of the day.
        identity_keys.verified(connection, agency, said.at, filing.signed.verify)
    if _verify_ack(context, filing.ack) != filing.signed.digest.hex():
        raise SafehandError(Reason.MANIFEST_MISMATCH, "consent acknowledged another answer")
    return said


def _verify_ack(context: Context, ack: SignedAnswerAck) -> str:
    """The digest of the answer that consent says it has, under any token key that it lists."""
    refused = SafehandError(Reason.SIGNATURE_INVALID)
    while True:
        changes = context.token_keys.changes
        for key in list(context.token_keys.values()):
            try:
                return ack.verify(key).answer
            except SafehandError as error:
                refused = error
        context.token_keys.refresh()
        if context.token_keys.changes == changes:
            raise refused


def _file(
    context: Context, connection: Connection, agency: str, said: Answer, filing: Filing
) -> None:
    found, side = referral_store.require(connection, said.referral, agency)
    if not referral_store.is_manifest_of(connection, found, said.manifest):
        raise SafehandError(Reason.MANIFEST_MISMATCH, "the answer is for another manifest")
    digest, now = filing.signed.digest.hex(), context.clock.wall()
    if connection.execute(select(ANSWER.c.digest).where(ANSWER.c.digest == digest)).first():
        return
    row = states.decide(found.state, _ACTION[said.answer], side)
    referral_store.move(connection, found, row, now, reason_code=said.reason)
    connection.execute(
        insert(ANSWER).values(
            digest=digest,
            referral=said.referral,
            answer=said.answer,
            answer_bytes=filing.signed.answer_bytes,
            signature=filing.signed.signature,
            ack=filing.ack.ack_bytes,
            ack_signature=filing.ack.signature,
            filed_at=now,
        )
    )

"""Asking, answering and narrowing, as tests do it: good requests, changed where a test wants."""

from __future__ import annotations

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from safehand.consent.v1 import asks_pb2, narrow_pb2

from tests.consent.world import NOTICE, World

WORKER = "worker-7"
YES, NO, LATER = asks_pb2.DECISION_YES, asks_pb2.DECISION_NO, asks_pb2.DECISION_LATER
OPEN = asks_pb2.QUESTION_STATE_OPEN
GIVEN = asks_pb2.QUESTION_STATE_GIVEN
REFUSED = asks_pb2.QUESTION_STATE_REFUSED
LAPSED = asks_pb2.QUESTION_STATE_LAPSED


def ask(
    world: World, reference: str = "her-at-haven", caller: str = "haven", **changed: Any
) -> asks_pb2.AgencyAsk:
    """haven asks for NAME and CONTACT, to legal, for housing, 60 days."""
    values: dict[str, Any] = {
        "request_id": world.request_id(),
        "subject_ref": reference,
        "releasing_agency": "haven",
        "recipient_agency": "legal",
        "purpose": "housing",
        "categories": ["CONTACT", "NAME"],
        "days": 60,
        "notice_sha256": NOTICE,
        "language": "en",
        "worker_ref": WORKER,
    }
    values.update(changed)
    found: asks_pb2.AgencyAsk = (
        world.consent(caller).AskConsent(asks_pb2.AskConsentRequest(**values)).ask
    )
    return found


def asks(world: World, caller: str = "haven", **changed: Any) -> list[asks_pb2.AgencyAsk]:
    return list(world.consent(caller).ListAsks(asks_pb2.ListAsksRequest(**changed)).asks)


def questions(
    world: World, session: bytes, state: asks_pb2.QuestionState.ValueType = OPEN
) -> list[asks_pb2.Question]:
    """One page."""
    request = asks_pb2.ListQuestionsRequest(session=session, state=state)
    return list(world.portal.ListQuestions(request).questions)


def request(
    world: World,
    session: bytes,
    ask_id: str,
    decision: asks_pb2.Decision.ValueType,
    **changed: Any,
) -> asks_pb2.AnswerQuestionRequest:
    """A good answer: yes to NAME until the default end, no, or later without a day."""
    values: dict[str, Any] = {
        "request_id": world.request_id(),
        "session": session,
        "ask": ask_id,
        "decision": decision,
    }
    if decision != LATER:
        values["shown"] = asks_pb2.Shown(
            notice_sha256=NOTICE, language="es", given_how="heard", present="alone"
        )
    if decision == YES:
        values["given"] = given()
    values.update(changed)
    return asks_pb2.AnswerQuestionRequest(**values)


def given(*categories: str, **changed: Any) -> asks_pb2.Given:
    for name in ("expires_at", "erase_by"):
        if isinstance(changed.get(name), int):
            changed[name] = Timestamp(seconds=changed[name])
    return asks_pb2.Given(categories=categories or ("NAME",), **changed)


def answer(
    world: World,
    session: bytes,
    ask_id: str,
    decision: asks_pb2.Decision.ValueType,
    **changed: Any,
) -> asks_pb2.AnswerQuestionResponse:
    """Her answer. The secrets behind it are remembered for the final fsck."""
    sent = request(world, session, ask_id, decision, **changed)
    done: asks_pb2.AnswerQuestionResponse = world.portal.AnswerQuestion(sent)
    if decision == NO:
        world.secrets[ask_id] = refusal(world, session, ask_id).secret
    if decision == YES:
        grant = done.grant.grant
        world.secrets[grant] = world.receipt(session, grant).secret
    return done


def refusal(world: World, session: bytes, ask_id: str) -> asks_pb2.GetRefusalReceiptResponse:
    wanted = asks_pb2.GetRefusalReceiptRequest(session=session, ask=ask_id)
    done: asks_pb2.GetRefusalReceiptResponse = world.portal.GetRefusalReceipt(wanted)
    return done


def narrow(
    world: World,
    session: bytes,
    grant: str,
    *left: str,
    expires_at: int | None = None,
    request_id: str = "",
) -> narrow_pb2.NarrowGrantResponse:
    """Everything but ``left`` is taken out."""
    sent = narrow_pb2.NarrowGrantRequest(
        request_id=request_id or world.request_id(), session=session, grant=grant, categories=left
    )
    if expires_at is not None:
        sent.expires_at.CopyFrom(Timestamp(seconds=expires_at))
    done: narrow_pb2.NarrowGrantResponse = world.portal.NarrowGrant(sent)
    return done

"""Between rows and messages: how a question looks to her, and how to whoever asked."""

from __future__ import annotations

from typing import Final

from safehand.consent.v1 import asks_pb2
from sqlalchemy import Connection

from safehand_consent_service import ask_row, listings
from safehand_consent_service.ask_row import Ask
from safehand_consent_service.asks import Wanted
from safehand_consent_service.tables_asks import GIVEN, OPEN, REFUSED
from safehand_consent_service.wire import timestamp

_HERS: Final = {
    OPEN: asks_pb2.QUESTION_STATE_OPEN,
    GIVEN: asks_pb2.QUESTION_STATE_GIVEN,
    REFUSED: asks_pb2.QUESTION_STATE_REFUSED,
}


def wanted_from(message: asks_pb2.AskConsentRequest) -> Wanted:
    """What a request asks for."""
    return Wanted(
        reference=message.subject_ref,
        worker_ref=message.worker_ref,
        releasing=message.releasing_agency,
        recipient=message.recipient_agency,
        purpose=message.purpose,
        categories=tuple(message.categories),
        days=message.days,
        notice=message.notice_sha256,
        language=message.language,
    )


def agency_ask(row: Ask, now: int) -> asks_pb2.AgencyAsk:
    """A question as its asker sees it: from its own request, the clock, and a yes alone."""
    if row.state == GIVEN:
        state = asks_pb2.ASK_STATE_GIVEN
    elif now < row.ends_at:
        state = asks_pb2.ASK_STATE_OPEN
    else:
        state = asks_pb2.ASK_STATE_ENDED
    return asks_pb2.AgencyAsk(
        ask=row.ask_id,
        subject_ref=row.subject_ref,
        releasing_agency=row.releasing,
        recipient_agency=row.recipient,
        purpose=row.purpose,
        categories=ask_row.categories(row),
        days=row.days,
        state=state,
        asked_at=timestamp(row.asked_at),
        ends_at=timestamp(row.ends_at),
        # A recipient learns of a grant by a referral under it, and not before.
        grant=(row.grant_id or "") if row.asker == row.releasing else "",
    )


def question(connection: Connection, row: Ask, now: int) -> asks_pb2.Question:
    """A question as she sees it."""
    state = _HERS[row.state]
    if row.state == OPEN and not ask_row.is_open(row, now):
        state = asks_pb2.QUESTION_STATE_LAPSED
    message = asks_pb2.Question(
        ask=row.ask_id,
        asker=row.asker,
        asker_name=listings.name_of(connection, row.asker),
        worker_ref=row.worker_ref,
        releasing_agency=row.releasing,
        releasing_name=listings.name_of(connection, row.releasing),
        recipient_agency=row.recipient,
        recipient_name=listings.name_of(connection, row.recipient),
        purpose=row.purpose,
        categories=ask_row.categories(row),
        days=row.days,
        notice_sha256=row.notice,
        language=row.language,
        state=state,
        asked_at=timestamp(row.asked_at),
        ends_at=timestamp(row.ends_at),
        put_off=bool(row.put_off),
        grant=row.grant_id or "",
    )
    if row.answered_at is not None:
        message.answered_at.CopyFrom(timestamp(row.answered_at))
    if row.later_at is not None:
        message.later_at.CopyFrom(timestamp(row.later_at))
    return message

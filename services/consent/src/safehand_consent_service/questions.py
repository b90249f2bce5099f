"""She answers what she was asked: yes to all or part, no, or later.

A yes is a grant like every other, and never more than was asked for. A no is a REFUSE entry with a
receipt, and changes nothing anywhere else. A later changes nothing but her own list. The question
is answered once, at one point of the ledger's order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from safehand.consent.v1 import asks_pb2
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CARD
from safehand_formats.kinds import Kind, grant_tag
from safehand_ledger import receipt, stored
from safehand_ledger.receipt import Receipt
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read
from safehand_store.prepared import Prepared
from sqlalchemy import ColumnElement, Connection, bindparam, or_, select, update

from safehand_consent_service import ask_row, drafts, grant_state, grants, sessions, slip_codes
from safehand_consent_service.ask_row import Ask, Position
from safehand_consent_service.context import Context, Request, earlier, remember, request_of
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.grants import DEFAULT_TERM_S, Origin, Terms
from safehand_consent_service.tables_asks import GIVEN, OPEN, REFUSED
from safehand_consent_service.tables_asks import ask as ask_table

DAY_S: Final = 24 * 3600
_NONE: Final = -1
"""No such leaf, in an idempotency row."""

_T: Final = ask_table.c
_WANTED: Final = update(ask_table).where(_T.ask_id == bindparam("wanted"))
_GIVE: Final = Prepared(
    _WANTED.values(state=GIVEN, grant_id=bindparam("grant"), answered_at=bindparam("now"))
)
_REFUSE: Final = Prepared(
    _WANTED.values(state=REFUSED, refuse_index=bindparam("index"), answered_at=bindparam("now"))
)
_PUT_OFF: Final = Prepared(_WANTED.values(put_off=1, later_at=bindparam("until")))


@dataclass(frozen=True, slots=True)
class Answered:
    """The question's row as it is now; the receipt of GRANT or REFUSE and the grant, if any."""

    row: Ask
    receipt: Receipt | None
    grant: Grant | None


@dataclass(frozen=True, slots=True)
class RefusalReceipt:
    """``secret``: 32 bytes, the question's own. ``receipt``: of its REFUSE, opened."""

    secret: bytes
    receipt: Receipt


def answer(
    context: Context,
    message: asks_pb2.AnswerQuestionRequest,
    *,
    days: int = 0,
    asked: Request | None = None,
) -> Answered:
    """Take her answer. ``days``: how long from now, in place of a date (0: as ``message`` says).
    ``asked``: what she sent, where that was another message than this.

    Raises SESSION_INVALID, NOT_FOUND (not hers, or not there), STATE_CONFLICT (answered, or its
    time is over), MALFORMED, SCOPE_EXCEEDED (a category that was not asked for), EXPIRY_INVALID
    (later than asked for), and what ``grants.record`` raises.
    """
    _require_form(message)

    def operation(txn: WriterTransaction) -> tuple[Ask, Grant | None, int]:
        subject_id = sessions.require(txn.connection, message.session, txn.now)
        row = require_hers(txn.connection, message.ask, subject_id)
        request = asked or request_of(context.cards, context.cards.caller(subject_id), message)
        found = earlier(txn.connection, request)
        if found is None:
            if not ask_row.is_open(row, txn.now):
                raise SafehandError(Reason.STATE_CONFLICT, "answered already, or its time is over")
            found = _take(context, txn, row, subject_id, message, days)
            remember(txn, request, found)
            row = require_hers(txn.connection, message.ask, subject_id)
        index = cast(int, found["index"])
        if index != _NONE:
            txn.cite(index)
        grant = None
        if message.decision == asks_pb2.DECISION_YES:
            grant = grant_state.require_hers(txn.connection, row.grant_id or "", subject_id)
        return row, grant, index

    done = context.writer.submit(operation)
    context.wake()
    row, grant, index = done.value
    return Answered(row, done.receipts.get(index), grant)


def require_hers(connection: Connection, ask_id: str, subject_id: str) -> Ask:
    """The row of a question to her; NOT_FOUND for anybody else's, as for none at all."""
    row = ask_row.find(connection, ask_id)
    if row is None or row.subject_id != subject_id:
        raise SafehandError(Reason.NOT_FOUND)
    return row


def of_subject(
    connection: Connection,
    subject_id: str,
    state: asks_pb2.QuestionState.ValueType,
    now: int,
    behind: Position | None,
    limit: int,
) -> list[Ask]:
    """Questions to her in ``state``, newest first: at most ``limit`` behind a position."""
    statement = select(ask_table).where(_T.subject_id == subject_id, _in_state(state, now))
    if behind is not None:
        older = (_T.asked_at == behind.asked_at) & (_T.ask_id < behind.ask_id)
        statement = statement.where(or_(_T.asked_at < behind.asked_at, older))
    ordered = statement.order_by(_T.asked_at.desc(), _T.ask_id.desc()).limit(limit)
    return [Ask._make(row) for row in connection.execute(ordered)]


def refusal_receipt(context: Context, subject_id: str, ask_id: str) -> RefusalReceipt:
    """The proof that she said no; raises NOT_FOUND where she did not, or it is not hers."""
    with begin_read(context.engine) as connection:
        row = require_hers(connection, ask_id, subject_id)
        if row.refuse_index is None:
            raise SafehandError(Reason.NOT_FOUND)
        head = stored.require_head(connection)
        made = receipt.from_stored(connection, row.refuse_index, head.size, head.note)
    return RefusalReceipt(row.secret, made)


# --- what each answer does -----------------------------------------------------------------------


def _take(
    context: Context,
    txn: WriterTransaction,
    row: Ask,
    subject_id: str,
    message: asks_pb2.AnswerQuestionRequest,
    days: int,
) -> dict[str, Json]:
    if message.decision == asks_pb2.DECISION_YES:
        terms = _terms(row, message.shown, message.given, days, txn.now)
        grant = grants.record(context, txn, subject_id, terms, Origin(ask=row.ask_id))
        _GIVE.run(txn.connection, wanted=row.ask_id, grant=grant.grant_id, now=txn.now)
        drafts.drop(txn.hot, row.ask_id)
        return {"index": grant.grant_index}
    if message.decision == asks_pb2.DECISION_NO:
        index = _refuse(txn, row, message.shown)
        _REFUSE.run(txn.connection, wanted=row.ask_id, index=index, now=txn.now)
        drafts.drop(txn.hot, row.ask_id)
        return {"index": index}
    until = message.later_at.seconds if message.HasField("later_at") else None
    if until is not None and not txn.now < until < row.ends_at:
        raise _malformed("later_at", "the day is not before the question's end")
    _PUT_OFF.run(txn.connection, wanted=row.ask_id, until=until)
    return {"index": _NONE}


def _terms(row: Ask, shown: asks_pb2.Shown, given: asks_pb2.Given, days: int, now: int) -> Terms:
    """What she agrees to: parties and purpose are the question's, and nothing goes beyond it."""
    if not set(given.categories) <= set(ask_row.categories(row)) | {CARD}:
        raise SafehandError(Reason.SCOPE_EXCEEDED, "more than was asked for")
    latest = now + row.days * DAY_S
    expires_at = min(now + DEFAULT_TERM_S, latest)
    if given.HasField("expires_at"):
        expires_at = given.expires_at.seconds
    if days:
        expires_at = now + days * DAY_S
    if expires_at > latest:
        raise SafehandError(Reason.EXPIRY_INVALID, "the end is later than was asked for")
    return Terms(
        releasing=row.releasing,
        recipient=row.recipient,
        purpose=row.purpose,
        categories=tuple(given.categories),
        notice=shown.notice_sha256,
        language=shown.language,
        given_how=shown.given_how,
        present=shown.present,
        expires_at=expires_at,
        erase_by=given.erase_by.seconds if given.HasField("erase_by") else None,
        comprehension=given.comprehension or None,
    )


def _refuse(txn: WriterTransaction, row: Ask, shown: asks_pb2.Shown) -> int:
    body: dict[str, Json] = {
        "kind": Kind.REFUSE.name,
        "ask": row.ask_id,
        "releasing": row.releasing,
        "recipient": row.recipient,
        "purpose": row.purpose,
        "categories": list(ask_row.categories(row)),
        "notice": shown.notice_sha256,
        "language": shown.language,
        "given_how": shown.given_how,
        "present": shown.present,
        "at": txn.now,
    }
    index = txn.append(Kind.REFUSE, grant_tag(Kind.REFUSE, row.secret, 0), body)
    slip_codes.note(txn, index, Kind.REFUSE)
    return index


# --- pieces --------------------------------------------------------------------------------------


def _require_form(message: asks_pb2.AnswerQuestionRequest) -> None:
    """Each answer comes with what belongs to it and nothing else."""
    yes = message.decision == asks_pb2.DECISION_YES
    later = message.decision == asks_pb2.DECISION_LATER
    if message.HasField("shown") == later:
        raise _malformed("shown", "with yes and no, and never with later")
    if message.HasField("given") != yes:
        raise _malformed("given", "with yes, and with nothing else")
    if message.HasField("later_at") and not later:
        raise _malformed("later_at", "with later, and with nothing else")


def _in_state(state: asks_pb2.QuestionState.ValueType, now: int) -> ColumnElement[bool]:
    if state == asks_pb2.QUESTION_STATE_GIVEN:
        return _T.state == GIVEN
    if state == asks_pb2.QUESTION_STATE_REFUSED:
        return _T.state == REFUSED
    if state == asks_pb2.QUESTION_STATE_LAPSED:
        return (_T.state == OPEN) & (_T.ends_at <= now)
    return (_T.state == OPEN) & (_T.ends_at > now)


def _malformed(field: str, detail: str) -> SafehandError:
    return SafehandError(Reason.MALFORMED, detail, metadata={"field": field})

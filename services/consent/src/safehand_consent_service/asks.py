"""An agency asks her for a consent. What it may learn: that it asked, and a yes.

A question that reaches nobody (the agency has no such reference, or the releasing agency does not
know her) is filed, limited and listed like any other, and shown to nobody. A no, a later and a
silence look alike, and only when the question's time is over: so no refusal can be held against
her, and asking is no way to find out who knows her.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

from safehand_core import canonical, ids
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CARD, CATEGORIES, PURPOSES
from safehand_formats.kinds import SECRET_BYTES
from safehand_ledger.transaction import WriterTransaction
from safehand_rpc.identity import Principal
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select

from safehand_consent_service import agencies, ask_row, grant_state, protocols, subjects
from safehand_consent_service.ask_row import Ask, Position
from safehand_consent_service.context import Context, Request, earlier, remember
from safehand_consent_service.tables import subject_ref
from safehand_consent_service.tables_asks import GIVEN, OPEN
from safehand_consent_service.tables_asks import ask as ask_table

DAY_S: Final = 24 * 3600
ASK_S: Final = 14 * DAY_S
"""How long a question stays open, seconds: she may sign in once a fortnight; a paper would not lie
on the table longer."""
AGAIN_S: Final = 30 * DAY_S
"""No nagging: what did not end in a yes that still holds may be asked again only so long after it
was asked."""
MOST: Final = 5
"""Questions of one agency to one person within ``AGAIN_S``: a plan names a handful of services."""
MOST_A_DAY: Final = 500
"""Questions of one agency to anybody within a day: far above what a large service asks, and what
references that nobody has can fill of a disk."""
LISTED_S: Final = 90 * DAY_S
"""How long its asker finds a question on its list, whatever became of it; what nobody answered is
forgotten then."""

_NOBODY: Final = ""
"""No subject has this id: looked up where there is none, so that both ways do the same."""

_T: Final = ask_table.c
_INSERT: Final = Prepared(insert(ask_table))
_WHOSE: Final = Prepared(
    select(subject_ref.c.subject_id).where(
        subject_ref.c.agency == bindparam("agency"),
        subject_ref.c.subject_ref == bindparam("reference"),
    )
)
_RECENT: Final = Prepared(
    select(_T.recipient, _T.purpose, _T.state, _T.asked_at, _T.grant_id)
    .where(
        _T.asker == bindparam("by"),
        _T.subject_ref == bindparam("reference"),
        _T.asked_at > bindparam("since"),
    )
    .order_by(_T.asked_at)
)
_COUNT: Any = func.count()
_TODAY: Final = Prepared(
    select(_COUNT.label("count"), func.min(_T.asked_at).label("oldest")).where(
        _T.asker == bindparam("by"), _T.asked_at > bindparam("since")
    )
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an agency asks for, well formed.

    Raises MALFORMED for a word that is not on its list, or the same agency twice.
    """

    reference: str
    worker_ref: str
    releasing: str
    recipient: str
    purpose: str
    categories: tuple[str, ...]
    days: int
    notice: str
    language: str

    def __post_init__(self) -> None:
        if self.releasing == self.recipient:
            raise _malformed("recipient_agency", "an agency cannot be its own recipient")
        if self.purpose not in PURPOSES:
            raise _malformed("purpose", "the purpose is not on the list")
        if not set(self.categories) <= CATEGORIES.keys():
            raise _malformed("categories", "a category is not on the list")

    def all_categories(self) -> list[str]:
        """Sorted, with CARD, which every consent contains."""
        return sorted({*self.categories, CARD})


def ask(context: Context, principal: Principal, wanted: Wanted, request: Request) -> Ask:
    """File the question; returns its row, with the time of the answer.

    Raises NOT_ALLOWED (the caller is neither of the two), AGENCY_UNKNOWN, PROTOCOL_MISSING,
    QUOTA_EXCEEDED with the time until it may be asked. None of it depends on her.
    """
    if principal.kind != "agency" or principal.name not in (wanted.releasing, wanted.recipient):
        raise SafehandError(Reason.NOT_ALLOWED)

    def operation(txn: WriterTransaction) -> Ask:
        found = earlier(txn.connection, request)
        if found is not None:
            return _require(txn.connection, cast(str, found["ask"]))
        row = _file(context, txn, principal.name, wanted)
        remember(txn, request, {"ask": row.ask_id})
        return row

    return context.writer.submit(operation).value


def _file(context: Context, txn: WriterTransaction, asker: str, wanted: Wanted) -> Ask:
    for agency in (wanted.releasing, wanted.recipient):
        agencies.require(txn.connection, agency)
    categories = wanted.all_categories()
    protocols.require_live(
        txn.connection,
        wanted.releasing,
        wanted.recipient,
        wanted.purpose,
        # Every protocol carries the card: it is what a referral consists of at the least.
        [category for category in categories if category != CARD],
        txn.now,
    )
    _require_quota(txn.connection, asker, wanted, txn.now)
    row = Ask(
        ask_id=ids.new_id(context.entropy),
        asker=asker,
        subject_ref=wanted.reference,
        subject_id=_reached(txn.connection, asker, wanted),
        worker_ref=wanted.worker_ref,
        releasing=wanted.releasing,
        recipient=wanted.recipient,
        purpose=wanted.purpose,
        categories=canonical.encode(list(categories)).decode(),
        days=wanted.days,
        notice=wanted.notice,
        language=wanted.language,
        secret=context.entropy.bytes(SECRET_BYTES),
        asked_at=txn.now,
        ends_at=txn.now + ASK_S,
        state=OPEN,
        put_off=0,
        later_at=None,
        answered_at=None,
        grant_id=None,
        refuse_index=None,
    )
    _INSERT.run(txn.connection, **row._asdict())
    return row


def _reached(connection: Connection, asker: str, wanted: Wanted) -> str | None:
    """Whom the question reaches, or None; the same two look-ups either way."""
    subject_id = _WHOSE.scalar(connection, agency=asker, reference=wanted.reference)
    if not subjects.knows(connection, wanted.releasing, subject_id or _NOBODY):
        return None
    return cast("str | None", subject_id)


def _require_quota(connection: Connection, asker: str, wanted: Wanted, now: int) -> None:
    """Raise QUOTA_EXCEEDED by what the asker knows itself: when it asked, and what it may send."""
    recent = _RECENT.all(connection, by=asker, reference=wanted.reference, since=now - AGAIN_S)
    today = _TODAY.first(connection, by=asker, since=now - DAY_S)
    waits = [
        row.asked_at + AGAIN_S
        for row in recent
        if (row.recipient, row.purpose) == (wanted.recipient, wanted.purpose)
        and not (asker == wanted.releasing and _holds(connection, row, now))
    ]
    if len(recent) >= MOST:
        waits.append(recent[-MOST].asked_at + AGAIN_S)
    if today.count >= MOST_A_DAY:
        waits.append(today.oldest + DAY_S)
    if waits:
        raise SafehandError(Reason.QUOTA_EXCEEDED, retry_after_s=float(max(waits) - now))


def _holds(connection: Connection, asked: Any, now: int) -> bool:
    """Whether what was asked ended in a yes under which sharing is on.

    A yes that she took back is a no. The releasing agency hears of the end of a grant, so its wait
    tells it nothing; a recipient does not, so for it no yes is one (``events_out``).
    """
    if asked.state != GIVEN:
        return False
    grant = grant_state.find(connection, asked.grant_id)
    return grant is not None and grant_state.is_live(grant, now)


def of_agency(
    connection: Connection,
    asker: str,
    reference: str | None,
    now: int,
    behind: Position | None,
    limit: int,
) -> list[Ask]:
    """What ``asker`` asked lately, newest first: at most ``limit`` behind a position."""
    statement = select(ask_table).where(_T.asker == asker, _T.asked_at > now - LISTED_S)
    if reference is not None:
        statement = statement.where(_T.subject_ref == reference)
    if behind is not None:
        older = (_T.asked_at == behind.asked_at) & (_T.ask_id < behind.ask_id)
        statement = statement.where(or_(_T.asked_at < behind.asked_at, older))
    ordered = statement.order_by(_T.asked_at.desc(), _T.ask_id.desc()).limit(limit)
    return [Ask._make(row) for row in connection.execute(ordered)]


def prune(connection: Connection, now: int) -> int:
    """Forget questions that nobody answered and no list shows; returns how many."""
    old = delete(ask_table).where(_T.state == OPEN, _T.asked_at <= now - LISTED_S)
    return connection.execute(old).rowcount


def _require(connection: Connection, ask_id: str) -> Ask:
    row = ask_row.find(connection, ask_id)
    if row is None:
        raise SafehandError(Reason.NOT_FOUND)
    return row


def _malformed(field: str, detail: str) -> SafehandError:
    return SafehandError(Reason.MALFORMED, detail, metadata={"field": field})

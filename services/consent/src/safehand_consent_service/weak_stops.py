"""A stop that somebody else makes for her: weak proof is enough to stop, and to nothing else.

By a worker of an agency that gave or holds a grant, or by a representative with a code of hers.
It stops at once, destroys nothing for 72 hours, and says nothing: the answer is the same whether
there is such a person, a grant, or a right code, and so is the work up to the leaves themselves:
the same look-ups, one pass of the gates, one operation of the writer in the stop lane with one
note and one request id, its head in the anchor. What a stop then does (leaves, events to both
ends) those hear who are its ends; the caller's answer is silent.

All of her grants stop in one transaction: they are few, and half a stop is none. Grants are those
that were open when the wish came; one that she gives meanwhile is her later word.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, cast

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read
from sqlalchemy import Connection, or_, select

from safehand_consent_service import (
    agencies,
    grant_state,
    representatives,
    stop_leaves,
    stop_notes,
    stop_quotas,
    stops,
)
from safehand_consent_service.cards import require_card
from safehand_consent_service.context import Context, Request, earlier, remember
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.stop_leaves import Heard
from safehand_consent_service.stop_notes import About
from safehand_consent_service.tables import ACTIVE, STOPPED, subject, subject_ref
from safehand_consent_service.tables import grant as consent_grant

WINDOW_S: Final = 72 * 3600
"""How long a stop by somebody else can be undone, seconds (DESIGN 3.4): a weekend, in which she can
be reached and asked."""
_NOBODY: Final = ""
"""No subject has this id: an unknown one takes the same queries."""

SUBJECT_REF: Final = "subject_ref"
CARD_NUMBER: Final = "card_number"
GRANT: Final = "grant"
CODE: Final = "representative_code"


@dataclass(frozen=True, slots=True)
class Wish:
    """A wish as it came.

    Attributes:
        request: for repeats.
        whom: how it names her: one of the four words above.
        value: the name itself; secret where it is a card number or a code.
        heard: the worker that took it down; None for a representative at the portal.
        why: ``words.STOP_WHY``, or None.
    """

    request: Request
    whom: str
    value: str
    heard: Heard | None
    why: str | None = None

    @property
    def agency(self) -> str | None:
        return None if self.heard is None else self.heard.agency


@dataclass(frozen=True, slots=True)
class _Target:
    """Whom a wish is about, as far as there is such a one, and whose stop it is."""

    subject_id: str | None
    representative_id: str | None
    made_by: str
    source: str


@dataclass(frozen=True, slots=True)
class _Done:
    """``stops``: the STOP leaf that holds each grant now (None: it is live)."""

    at: int
    stops: Mapping[str, int | None]
    refused_for: int | None = None


def record(context: Context, wish: Wish) -> int:
    """Take the wish down, and stop what it stops. Returns when, seconds since the epoch.

    Raises MALFORMED (a check digit), AGENCY_UNKNOWN, REQUEST_ID_REUSED, or QUOTA_EXCEEDED when
    this was asked too often: what was never stopped today is stopped even then.
    """
    if wish.whom in (CARD_NUMBER, CODE):
        require_card(wish.value, wish.whom)
    # A code is one way of naming her, whoever shows it.
    by = "" if wish.whom == CODE else wish.agency or ""
    named = context.cards.named(by, wish.whom, wish.value)
    with begin_read(context.engine) as connection:
        if wish.agency is not None:
            agencies.require(connection, wish.agency)
        target = _target(context, connection, wish)
        open_grants = _open(connection, wish, target, context.now)
        # What was answered stops nothing once more, so no gate goes up for it: a repeat is counted
        # nowhere, and its gates would be a stop that she is shown nowhere.
        answered = earlier(connection, wish.request) is not None
        wait = stop_quotas.over(connection, wish.agency, named, context.now)
        too_often = wait is not None and not answered
        if too_often and not _never_today(connection, open_grants, target, context.now):
            raise _too_often(cast(int, wait))

    # All of them, also where some were stopped today: by the time the writer asks, they may count.
    gated = [] if answered else [row.grant_id for row in open_grants]
    raised = context.gates.raise_all(gated)
    try:
        done = context.writer.submit(
            lambda txn: _write(context, txn, wish, named, gated, answered=answered), stop=True
        ).value
    except BaseException:
        with ExitStack() as each:
            # Every one of them, also where one cannot be read.
            for one in raised:
                each.callback(stops.settle, context, one.grant, one)
        raise
    for one in raised:
        index = done.stops[one.grant]
        if index is None:
            one.drop()
        else:
            one.keep(index)
    context.wake()
    for grant_id, index in done.stops.items():
        if index is not None:
            context.hooks.tell_stop_answered(grant_id)
    if done.refused_for is not None:
        raise _too_often(done.refused_for)
    return done.at


def _write(
    context: Context,
    txn: WriterTransaction,
    wish: Wish,
    named: bytes,
    gated: list[str],
    *,
    answered: bool,
) -> _Done:
    """The one operation: everything is asked again at this point of the order.

    For what was ``answered`` before it only sees to it that the answer is in the anchor.
    """
    found = earlier(txn.connection, wish.request)
    if found is not None:
        return _Done(cast(int, found["at"]), _held(txn.connection, gated))
    if answered:
        raise SafehandError(Reason.UNAVAILABLE, "the answer was forgotten just now")
    target = _target(context, txn.connection, wish)
    rows = [row for row in _open(txn.connection, wish, target, txn.now) if row.grant_id in gated]
    wait = stop_quotas.over(txn.connection, wish.agency, named, txn.now)
    if wait is not None:
        rows = _never_today(txn.connection, rows, target, txn.now)
    about = [About(row.grant_id, _stop(txn, row, wish, target)) for row in rows]
    changed = any(one.leaf_index is not None for one in about)
    if wait is not None and not changed:
        raise _too_often(wait)
    stop_notes.write(
        txn,
        stop_notes.Note(
            subject_id=_shown_to(txn, wish, target, changed=changed),
            action=stop_notes.STOP,
            made_by=target.made_by,
            source=target.source,
            about=about,
            agency=wish.agency,
            worker_ref=wish.heard.worker_ref if wish.heard else None,
            channel=wish.heard.channel if wish.heard else None,
            why=wish.why,
            representative_id=target.representative_id,
            # Beyond the quota it is not counted: when the next one may come must not tell whether
            # this one stopped anything.
            named=None if wait is not None else named,
        ),
    )
    if wait is None:
        remember(txn, wish.request, {"at": txn.now})
    return _Done(txn.now, _held(txn.connection, gated), wait)


def _stop(txn: WriterTransaction, row: Grant, wish: Wish, target: _Target) -> int | None:
    """Stop one grant; None where it is stopped already: that stop's window stays (rule 4)."""
    if not grant_state.is_live(row, txn.now):
        return None
    stopped = stop_leaves.stop(
        txn, row, by=target.made_by, window_s=WINDOW_S, why=wish.why, heard=wish.heard
    )
    return stopped.stop_index


def _target(context: Context, connection: Connection, wish: Wish) -> _Target:
    """Whom it is about. One query whichever way, found or not."""
    if wish.whom == CODE:
        held = representatives.find(connection, context.cards.code_hmac(wish.value))
        return _Target(
            None if held is None else held.subject_id,
            None if held is None else held.representative_id,
            stop_leaves.REPRESENTATIVE,
            "representative/" + ("" if held is None else held.representative_id),
        )
    if wish.whom == CARD_NUMBER:
        hmac = context.cards.card_hmac(wish.value)
        statement = select(subject.c.subject_id).where(subject.c.card_hmac == hmac)
    elif wish.whom == SUBJECT_REF:
        statement = select(subject_ref.c.subject_id).where(
            subject_ref.c.agency == wish.agency, subject_ref.c.subject_ref == wish.value
        )
    else:
        statement = select(consent_grant.c.subject_id).where(consent_grant.c.grant_id == wish.value)
    found = connection.execute(statement).scalar()
    return _Target(
        None if found is None else str(found),
        None,
        stop_leaves.WORKER,
        f"agency/{wish.agency}",
    )


def _open(connection: Connection, wish: Wish, target: _Target, now: int) -> list[Grant]:
    """Her grants that it may stop and that are not over, in the order of gates and leaves."""
    table = consent_grant.c
    statement = select(consent_grant).where(
        table.subject_id == (target.subject_id or _NOBODY), table.state.in_((ACTIVE, STOPPED))
    )
    if wish.whom != CODE:
        statement = statement.where(
            or_(table.releasing == wish.agency, table.recipient == wish.agency)
        )
    if wish.whom == GRANT:
        statement = statement.where(table.grant_id == wish.value)
    rows = connection.execute(statement.order_by(table.grant_id))
    return [row for row in map(Grant._make, rows) if not grant_state.is_over(row, now)]


def _never_today(
    connection: Connection, rows: list[Grant], target: _Target, now: int
) -> list[Grant]:
    """The live ones that this source did not stop within the day."""
    return [
        row
        for row in rows
        if grant_state.is_live(row, now)
        and stop_quotas.is_first(connection, row.grant_id, target.source, now)
    ]


def _shown_to(txn: WriterTransaction, wish: Wish, target: _Target, *, changed: bool) -> str | None:
    """Who is shown the note: she, unless it changed nothing and she has enough of its kind.

    What changed nothing is looked up alike whether it is about anybody.
    """
    if changed:
        return target.subject_id
    return stop_quotas.shown_to(
        txn.connection, target.subject_id, wish.agency, target.representative_id, txn.now
    )


def _held(connection: Connection, grant_ids: list[str]) -> dict[str, int | None]:
    held: dict[str, int | None] = {}
    for grant_id in grant_ids:
        row = grant_state.find(connection, grant_id)
        held[grant_id] = None if row is None else row.stop_index
    return held


def _too_often(wait_s: int) -> SafehandError:
    # The same words whatever it did.
    return SafehandError(
        Reason.QUOTA_EXCEEDED,
        "asked too often today; a first stop was made even so",
        retry_after_s=wait_s,
    )

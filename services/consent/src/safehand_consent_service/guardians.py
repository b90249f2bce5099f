"""A guardian: signs beside her, sees the terms he is asked about, and nothing else; never alone.

Whoever is barred stays barred: a card that was barred signs in nowhere, and can never be filed
again. What he signed before stays signed, because she said yes to it too; she can stop it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

from safehand_core import ids
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, insert, null, select, update

from safehand_consent_service import (
    cosign,
    events_out,
    grant_leaves,
    grant_state,
    guardian_sessions,
    listings,
    stop_leaves,
    subjects_of,
    throttle,
)
from safehand_consent_service.cards import require_card
from safehand_consent_service.context import Context, Request, earlier, remember
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.tables import ACTIVE, STOPPED, subject
from safehand_consent_service.tables import grant as consent_grant
from safehand_consent_service.tables_recorded import cosigned, guardian

GUARDIANS: Final = 2
"""Guardians that may sign for one person at a time: two parents, or one and a legal guardian."""
GUARDIANS_EVER: Final = 20
"""Guardians of one person, barred ones among them: nobody fills her list."""
WAITING_MAX: Final = 100
"""Grants that one answer to a guardian lists."""
SELF: Final = "self"
"""Who barred a guardian, where it was she."""

_T = guardian.c
_BY_CARD: Final = Prepared(
    select(_T.guardian_id, _T.subject_id, _T.excluded_at).where(_T.card_hmac == bindparam("card"))
)
_OF: Final = Prepared(
    select(_T.guardian_id, _T.registered_by, _T.registered_at, _T.excluded_by, _T.excluded_at)
    .where(_T.subject_id == bindparam("her"))
    .order_by(_T.registered_at, _T.guardian_id)
)
_INSERT: Final = Prepared(insert(guardian))
_EXCLUDE: Final = Prepared(
    update(guardian)
    .where(_T.guardian_id == bindparam("wanted"), _T.excluded_at.is_(None))
    .values(excluded_by=bindparam("by"), excluded_at=bindparam("now"))
)
_HER_CARD: Final = Prepared(
    select(subject.c.subject_id).where(
        subject.c.card_hmac == bindparam("card"), subject.c.subject_id == bindparam("her")
    )
)
_COSIGNED: Final = Prepared(insert(cosigned))
_SIGN: Final = Prepared(
    update(consent_grant)
    .where(consent_grant.c.grant_id == bindparam("wanted"))
    .values(cosign_by=null())
)


@dataclass(frozen=True, slots=True)
class Filing:
    """What an agency files: for whom, by its own reference, and the guardian's card and PIN."""

    agency: str
    subject_ref: str
    card_number: str
    pin: str


@dataclass(frozen=True, slots=True)
class Listed:
    """One guardian, as she sees him."""

    guardian_id: str
    registered_by: str
    registered_at: int
    excluded_by: str | None
    excluded_at: int | None


@dataclass(frozen=True, slots=True)
class Rule:
    """One agency's word that a guardian must sign too, as she sees it."""

    agency: str
    agency_name: str
    alone_purposes: list[str]
    since: int


# --- who is one ----------------------------------------------------------------------------------


def register(context: Context, wanted: Filing, request: Request) -> str:
    """File a guardian's card; returns his id. The same again answers the same id.

    Raises MALFORMED (check digit, or her own card), NOT_FOUND (no such reference of this agency's),
    SIGN_IN_FAILED or THROTTLED (the card is on file and the PIN is not its), ALREADY_EXISTS (it is
    another person's guardian's), NOT_ALLOWED (barred), QUOTA_EXCEEDED, REQUEST_ID_REUSED.
    """
    require_card(wanted.card_number)
    cards = context.cards
    card_hmac = cards.guardian_hmac(wanted.card_number)
    tries = cards.guardian_tries(wanted.agency, wanted.card_number)
    with begin_read(context.engine) as connection:
        her = subjects_of.require(connection, wanted.agency, wanted.subject_ref)
        if (found := earlier(connection, request)) is not None:
            return cast(str, found["guardian"])
        known = _BY_CARD.first(connection, card=card_hmac)
    if known is None:
        # Slow on purpose, so outside of the writer's transaction.
        pin_hash = cards.pin_hash(wanted.pin)
    else:
        guardian_sessions.check_pin(context, card_hmac, wanted.pin, tries)
        pin_hash = ""
    own_card = cards.card_hmac(wanted.card_number)
    guardian_id = ids.new_id(context.entropy)

    def operation(txn: WriterTransaction) -> str:
        if (found := earlier(txn.connection, request)) is not None:
            return cast(str, found["guardian"])
        if _HER_CARD.first(txn.connection, card=own_card, her=her) is not None:
            raise SafehandError(
                Reason.MALFORMED,
                "a guardian has a card of his own",
                metadata={"field": "card_number"},
            )
        row = _BY_CARD.first(txn.connection, card=card_hmac)
        if (row is None) != (known is None):
            raise SafehandError(Reason.UNAVAILABLE, "the card was filed a moment ago")
        if row is None:
            _require_room(txn.connection, her)
            _INSERT.run(
                txn.connection,
                guardian_id=guardian_id,
                subject_id=her,
                card_hmac=card_hmac,
                pin_hash=pin_hash,
                registered_by=wanted.agency,
                registered_at=txn.now,
                excluded_by=None,
                excluded_at=None,
            )
            made = guardian_id
        else:
            throttle.forgive(txn.connection, tries)
            made = _same(row, her)
        remember(txn, request, {"guardian": made})
        return made

    return context.writer.submit(operation).value


def exclude(context: Context, agency: str, reference: str, which: str, request: Request) -> None:
    """Bar a guardian of somebody whom the agency knows, or (``which`` empty) all of hers; at once.

    The answer is the same whether there was one. Raises NOT_FOUND (no such reference of this
    agency's), REQUEST_ID_REUSED.
    """

    def operation(txn: WriterTransaction) -> None:
        her = subjects_of.require(txn.connection, agency, reference)
        if earlier(txn.connection, request) is not None:
            return
        for row in _OF.all(txn.connection, her=her):
            if which in ("", row.guardian_id):
                _bar(txn, row.guardian_id, agency)
        remember(txn, request, {})

    # Like a stop it does not wait behind what else a start holds back.
    context.writer.submit(operation, housekeeping=True)


def dismiss(context: Context, subject_id: str, which: str, request: Request) -> None:
    """Bar one of her own guardians, by her own word. Raises NOT_FOUND, REQUEST_ID_REUSED."""

    def operation(txn: WriterTransaction) -> None:
        if earlier(txn.connection, request) is not None:
            return
        if which not in {row.guardian_id for row in _OF.all(txn.connection, her=subject_id)}:
            raise SafehandError(Reason.NOT_FOUND)
        _bar(txn, which, SELF)
        remember(txn, request, {})

    context.writer.submit(operation, housekeeping=True)


def of_hers(connection: Connection, subject_id: str) -> list[Listed]:
    """Everybody who is or was a guardian of hers, oldest first."""
    return [Listed(*row) for row in _OF.all(connection, her=subject_id)]


def rules_for(connection: Connection, subject_id: str) -> list[Rule]:
    """Who says that somebody must sign too, by agency."""
    return [
        Rule(agency, listings.name_of(connection, agency), alone, since)
        for agency, alone, since in cosign.rules(connection, subject_id)
    ]


def _bar(txn: WriterTransaction, guardian_id: str, by: str) -> None:
    _EXCLUDE.run(txn.connection, wanted=guardian_id, by=by, now=txn.now)
    guardian_sessions.end_all(txn.connection, guardian_id)


def _same(row: Any, her: str) -> str:
    """The id of a card on file, if it may be filed again."""
    if row.subject_id != her:
        raise SafehandError(Reason.ALREADY_EXISTS, "it is the card of another person's guardian")
    if row.excluded_at is not None:
        raise SafehandError(Reason.NOT_ALLOWED, "this guardian was barred, for ever")
    return cast(str, row.guardian_id)


def _require_room(connection: Connection, her: str) -> None:
    rows = _OF.all(connection, her=her)
    active = [row for row in rows if row.excluded_at is None]
    if len(active) >= GUARDIANS or len(rows) >= GUARDIANS_EVER:
        raise SafehandError(Reason.QUOTA_EXCEEDED, "a person has at most two guardians")


# --- what he does --------------------------------------------------------------------------------


def waiting(context: Context, session: bytes) -> list[Grant]:
    """What waits for the signature of whoever signed in, oldest first; raises SESSION_INVALID."""
    now = context.now
    with begin_read(context.engine) as connection:
        who = guardian_sessions.require(connection, session, now)
        rows = connection.execute(
            select(consent_grant)
            .where(
                consent_grant.c.subject_id == who.subject_id,
                consent_grant.c.state.in_((ACTIVE, STOPPED)),
                consent_grant.c.cosign_by.is_not(None),
            )
            .order_by(consent_grant.c.grant_index)
        )
        grants = [Grant._make(row) for row in rows]
    return [row for row in grants if _waits(row, now)][:WAITING_MAX]


def sign(context: Context, session: bytes, grant_id: str, request: Request) -> None:
    """The guardian's signature: CONFIRM by guardian.

    It turns nothing on that is stopped. Raises SESSION_INVALID, NOT_FOUND for everything that does
    not wait for him: another person's, stopped by her, over, signed already, or none at all.
    REQUEST_ID_REUSED.
    """

    def operation(txn: WriterTransaction) -> None:
        # Whether he is barred is asked first, at this point of the order.
        who = guardian_sessions.require(txn.connection, session, txn.now)
        if earlier(txn.connection, request) is not None:
            return
        row = grant_state.find(txn.connection, grant_id)
        if (
            row is None
            or row.subject_id != who.subject_id
            or row.cosign_by is None
            or not _waits(row, txn.now)
        ):
            raise SafehandError(Reason.NOT_FOUND)
        index = grant_leaves.append(txn, row, Kind.CONFIRM, {"by": "guardian"})
        _SIGN.run(txn.connection, wanted=grant_id)
        _COSIGNED.run(
            txn.connection,
            grant_id=grant_id,
            guardian_id=who.guardian_id,
            at=txn.now,
            leaf_index=index,
        )
        events_out.confirmed(txn, row, txn.now)
        remember(txn, request, {})

    context.writer.submit(operation)
    context.wake()


def _waits(row: Grant, now: int) -> bool:
    """Whether what lacks his signature can still have it.

    Also while somebody else's stop holds it: else that stop would destroy it, by letting his time
    run out, before its own window is over (rule 4).
    """
    return grant_state.is_live(row, now) or stop_leaves.is_weakly_stopped(row, now)


def whose(context: Context, session: bytes) -> str:
    """The guardian of a live session; raises SESSION_INVALID."""
    with begin_read(context.engine) as connection:
        return guardian_sessions.require(connection, session, context.now).guardian_id

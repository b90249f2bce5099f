"""A card on file, and which agencies know whose it is, each by a random reference of its own.

Nobody is ever matched by an attribute: a second agency is linked because she gave it her card
and her PIN. The agency learns nothing about her but that the two belong together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from safehand_core import ids
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, Row, bindparam, insert, select, update

from safehand_consent_service import agencies, cosign, throttle
from safehand_consent_service.cards import require_card
from safehand_consent_service.context import Context, Request, earlier, remember
from safehand_consent_service.pins import Pins
from safehand_consent_service.tables import subject, subject_ref

_KNOWS: Final = Prepared(
    select(subject_ref.c.subject_ref).where(
        subject_ref.c.agency == bindparam("agency"),
        subject_ref.c.subject_id == bindparam("subject"),
    )
)


@dataclass(frozen=True, slots=True)
class Registration:
    """What an agency files: its own reference, and the card and PIN that she holds.

    ``cosign``: a guardian must sign too, but for ``alone_purposes``; it only ever adds to what the
    agency said before (``cosign``).
    """

    agency: str
    subject_ref: str
    card_number: str
    pin: str
    cosign: bool = False
    alone_purposes: tuple[str, ...] = ()


def register(context: Context, pins: Pins, wanted: Registration, request: Request) -> None:
    """File a new card, or link a card on file to the agency; the same again succeeds.

    Raises MALFORMED (check digit; a reference made of the card number; ``alone_purposes`` that are
    none, or without ``cosign``), AGENCY_UNKNOWN,
    REQUEST_ID_REUSED, ALREADY_EXISTS (the agency has the card or the reference in another
    combination), SIGN_IN_FAILED or THROTTLED (the card is on file and the PIN is not its).
    """
    require_card(wanted.card_number)
    cosign.require_purposes(cosign=wanted.cosign, alone_purposes=wanted.alone_purposes)
    if wanted.card_number in wanted.subject_ref.replace("-", ""):
        # The reference is stored as it is; her number is stored nowhere.
        raise SafehandError(
            Reason.MALFORMED,
            "a reference is not made of the card number",
            metadata={"field": "subject_ref"},
        )
    card_hmac = context.cards.card_hmac(wanted.card_number)
    tries = context.cards.agency_tries(wanted.agency, wanted.card_number)
    with begin_read(context.engine) as connection:
        agencies.require(connection, wanted.agency)
        if earlier(connection, request) is not None:
            return
        known = _by_card(connection, card_hmac)
        is_linked = known is not None and knows(connection, wanted.agency, known.subject_id)
    if known is None:
        subject_id = ids.new_id(context.entropy)
        # Slow on purpose, so outside of the writer's transaction.
        pin_hash = context.cards.pin_hash(wanted.pin)
    else:
        subject_id = _prove(pins, card_hmac, tries, wanted.pin, is_linked=is_linked)
        pin_hash = ""

    def operation(txn: WriterTransaction) -> None:
        if earlier(txn.connection, request) is not None:
            return
        row = _by_card(txn.connection, card_hmac)
        if (row is None) != (known is None):
            # Somebody filed the card meanwhile: this PIN was not checked against it.
            raise SafehandError(Reason.UNAVAILABLE, "the card was filed a moment ago")
        if row is None:
            txn.connection.execute(
                insert(subject).values(
                    subject_id=subject_id,
                    card_hmac=card_hmac,
                    pin_hash=pin_hash,
                    must_change_pin=1,
                    created_at=txn.now,
                )
            )
        else:
            throttle.forgive(txn.connection, tries)
        is_new = _link(txn, wanted, subject_id)
        if is_new and row is not None:
            # Another agency's client has seen the PIN.
            txn.connection.execute(
                update(subject).where(subject.c.subject_id == subject_id).values(must_change_pin=1)
            )
        if wanted.cosign:
            cosign.strengthen(txn, subject_id, wanted.agency, wanted.alone_purposes)
        remember(txn, request, {})

    context.writer.submit(operation)


def _prove(pins: Pins, card_hmac: bytes, tries: bytes, pin: str, *, is_linked: bool) -> str:
    """Whose card it is, if the PIN is right; every try counts."""
    try:
        return pins.check_for_agency(card_hmac, pin, tries)
    except SafehandError as error:
        if error.reason is Reason.SIGN_IN_FAILED and is_linked:
            # The agency filed this card itself: it is told that it sent other data.
            raise SafehandError(Reason.ALREADY_EXISTS) from None
        raise


def knows(connection: Connection, agency: str, subject_id: str) -> bool:
    """Whether the agency has a reference for her."""
    return _KNOWS.first(connection, agency=agency, subject=subject_id) is not None


def _by_card(connection: Connection, card_hmac: bytes) -> Row[Any] | None:
    return connection.execute(
        select(subject.c.subject_id).where(subject.c.card_hmac == card_hmac)
    ).first()


def _link(txn: WriterTransaction, wanted: Registration, subject_id: str) -> bool:
    """Insert the agency's reference; says whether it is new. ALREADY_EXISTS for any other pair."""
    rows = txn.connection.execute(
        select(subject_ref.c.subject_ref, subject_ref.c.subject_id).where(
            subject_ref.c.agency == wanted.agency,
            (subject_ref.c.subject_ref == wanted.subject_ref)
            | (subject_ref.c.subject_id == subject_id),
        )
    ).all()
    pair = (wanted.subject_ref, subject_id)
    if not rows:
        txn.connection.execute(
            insert(subject_ref).values(
                agency=wanted.agency,
                subject_ref=wanted.subject_ref,
                subject_id=subject_id,
                created_at=txn.now,
            )
        )
        return True
    if [tuple(row) for row in rows] != [pair]:
        raise SafehandError(Reason.ALREADY_EXISTS)
    return False

"""Whether a PIN is hers: throttled, counted, and the same to whoever tries a card that is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_ledger.transaction import WriterTransaction
from safehand_ledger.writer import LedgerWriter
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, select, update

from safehand_consent_service import throttle, worker_numbers
from safehand_consent_service.cards import Cards
from safehand_consent_service.tables import subject

R = TypeVar("R")

_BY_CARD: Final = Prepared(
    select(
        subject.c.subject_id, subject.c.pin_hash, subject.c.wrong_tries, subject.c.wrong_last_at
    ).where(subject.c.card_hmac == bindparam("card"))
)
_COUNT_WRONG: Final = Prepared(
    update(subject)
    .where(subject.c.card_hmac == bindparam("card"))
    .values(wrong_tries=subject.c.wrong_tries + 1, wrong_last_at=bindparam("now"))
)
_NOW_AT: Final = Prepared(
    select(
        subject.c.pin_hash, subject.c.wrong_tries, subject.c.wrong_last_at, subject.c.signed_in_at
    ).where(subject.c.subject_id == bindparam("subject"))
)
_SET_WRONG: Final = Prepared(
    update(subject)
    .where(subject.c.subject_id == bindparam("subject"))
    .values(wrong_tries=bindparam("tries"), wrong_last_at=bindparam("last_at"))
)


@dataclass(frozen=True, slots=True)
class Proven:
    """A right PIN, and what was counted before it was tried; ``number``: that it was tried with
    (``Cards.number_hmac``), None where it took a turn."""

    subject_id: str
    card_hmac: bytes
    pin_hash: str
    wrong_tries: int
    wrong_last_at: int | None
    number: bytes | None


@dataclass(frozen=True, slots=True)
class Wrong:
    """Wrong PINs at her card since she signed in, without the right one that was counted as a try;
    ``signed_in_at``: that sign-in, None before the first."""

    tries: int
    last_at: int | None
    signed_in_at: int | None


class Pins:
    """Checks PINs outside of transactions: a try is written first, then the slow work is done."""

    def __init__(self, writer: LedgerWriter, cards: Cards) -> None:
        self._writer = writer
        self._cards = cards

    def check(
        self, card_hmac: bytes, pin: str, place: bytes, number: bytes | None = None
    ) -> Proven:
        """Her own try from ``place`` (``Cards.place``, ``Cards.seat_place``), or with a number from
        her worker (``Cards.number_hmac``): where that is live it is a try of the number's own, and
        nobody's turn.

        It is counted as a wrong one until ``accept``, in the write that takes it, so that a card
        that is none costs the same. Raises SIGN_IN_FAILED (no such card, or a wrong PIN, after the
        same work) or THROTTLED.
        """

        def operation(txn: WriterTransaction) -> Any:
            lifted = number is not None and worker_numbers.spend(
                txn.hot, card_hmac, number, txn.now
            )
            if not lifted:
                throttled = throttle.take_turn(txn.hot, card_hmac, place, txn.now)
                if throttled is not None:
                    return throttled, False
            row = _BY_CARD.first(txn.hot, card=card_hmac)
            _COUNT_WRONG.run(txn.hot, card=card_hmac, now=txn.now)
            return row, lifted

        found, lifted = self.write(operation)
        if isinstance(found, SafehandError):
            raise found
        if not self._cards.pin_matches(found.pin_hash if found else None, pin) or found is None:
            raise SafehandError(Reason.SIGN_IN_FAILED)
        return Proven(
            found.subject_id,
            card_hmac,
            found.pin_hash,
            found.wrong_tries,
            found.wrong_last_at,
            number if lifted else None,
        )

    def check_for_agency(self, card_hmac: bytes, pin: str, bucket: bytes) -> str:
        """As ``check`` for a card that an agency links, out of tries of its own
        (``Cards.agency_tries``); returns whose card it is. A wrong PIN is counted for her to see.
        """
        self.write(lambda txn: throttle.take(txn.hot, bucket, txn.now))

        def wrong(txn: WriterTransaction) -> None:
            _COUNT_WRONG.run(txn.hot, card=card_hmac, now=txn.now)

        found = self.write(lambda txn: _BY_CARD.first(txn.hot, card=card_hmac))
        if not self._cards.pin_matches(found.pin_hash if found else None, pin) or found is None:
            self.write(wrong)
            raise SafehandError(Reason.SIGN_IN_FAILED)
        subject_id: str = found.subject_id
        return subject_id

    def accept(self, connection: Connection, proven: Proven) -> Wrong:
        """The PIN was right: in the caller's write transaction all tries are given back, the one
        that was counted is taken off, and any number from her worker ends. Raises SIGN_IN_FAILED if
        she has another PIN meanwhile, or the number that it was tried with has ended."""
        row = _NOW_AT.first(connection, subject=proven.subject_id)
        if row.pin_hash != proven.pin_hash:
            raise SafehandError(Reason.SIGN_IN_FAILED)
        ended = worker_numbers.end(connection, proven.card_hmac)
        if proven.number is not None and ended != proven.number:
            raise SafehandError(Reason.SIGN_IN_FAILED)
        throttle.forgive(connection, proven.card_hmac)
        tries = max(0, row.wrong_tries - 1)
        # Another try may have come between; then the newest stands, which may be this one.
        last_at = proven.wrong_last_at if tries <= proven.wrong_tries else row.wrong_last_at
        wrong = Wrong(tries, last_at if tries else None, row.signed_in_at)
        _SET_WRONG.run(
            connection, subject=proven.subject_id, tries=wrong.tries, last_at=wrong.last_at
        )
        return wrong

    def write(self, operation: Callable[[WriterTransaction], R]) -> R:
        """Like housekeeping not held back after a start: a stop needs a session first."""
        return self._writer.submit(operation, housekeeping=True).value

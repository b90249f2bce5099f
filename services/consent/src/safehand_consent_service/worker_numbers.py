"""A number that her worker read out to her: tries of its own at her card, for a few minutes.

Whoever guesses at her card from where she is cannot be told from her by anything that her phone
shows; a number that he was not told can. It adds tries to the card and takes none: he can neither
use it nor delay her while it lives. It opens nothing without the card and the PIN.

A card has one at most; a new one takes its place. It is kept as a keyed hash alone
(``Cards.number_hmac``), so a row says nothing about the digits.
"""

from __future__ import annotations

from typing import Final

from safehand_store.prepared import Prepared, Written
from sqlalchemy import Connection, bindparam, delete, update

from safehand_consent_service.tables_stops import worker_number

LIFE_S: Final = 15 * 60
"""Seconds for which it does something: the longest that somebody else's guessing may cost her. She
types it while her worker is still on the phone."""
TRIES: Final = 3
"""PINs that it may be tried with: for a trembling hand, and for nobody who guesses at a million."""

_N: Final = worker_number.c
_PUT: Final = Written(
    "INSERT INTO worker_number (card_hmac, number_hmac, expires_at, tries_left) "
    "VALUES (?, ?, ?, ?) ON CONFLICT (card_hmac) DO UPDATE SET "
    "number_hmac = excluded.number_hmac, expires_at = excluded.expires_at, "
    "tries_left = excluded.tries_left"
)
_SPEND: Final = Prepared(
    update(worker_number)
    .where(
        _N.card_hmac == bindparam("card"),
        _N.number_hmac == bindparam("number"),
        _N.expires_at > bindparam("now"),
        _N.tries_left > 0,
    )
    .values(tries_left=_N.tries_left - 1)
)
_END: Final = Prepared(
    delete(worker_number).where(_N.card_hmac == bindparam("card")).returning(_N.number_hmac)
)


def put(connection: Connection, card_hmac: bytes, number: bytes, now: int) -> int:
    """Give a card a number (``Cards.number_hmac``), in the place of any other; returns its end."""
    expires_at = now + LIFE_S
    _PUT.execute(connection, card_hmac, number, expires_at, TRIES)
    return expires_at


def spend(connection: Connection, card_hmac: bytes, number: bytes, now: int) -> bool:
    """Take one of its tries; False, and nothing is changed, where it is not the card's live one.

    One statement whatever it is, and for a card that is none.
    """
    return _SPEND.run(connection, card=card_hmac, number=number, now=now) == 1


def end(connection: Connection, card_hmac: bytes) -> bytes | None:
    """Take the card's number away; returns which it was."""
    row = _END.first(connection, card=card_hmac)
    return None if row is None else bytes(row.number_hmac)


def prune(connection: Connection, now: int) -> int:
    """Forget numbers that are over; returns how many."""
    return connection.execute(delete(worker_number).where(_N.expires_at <= now)).rowcount

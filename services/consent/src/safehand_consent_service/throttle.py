"""How often a card number may be tried: a bucket per card, never a lock-out.

What an agency tries when it links a card has a bucket of its own (``Cards.agency_tries``): it can
use up nobody's tries but its own.

Five tries at once, then one more every three minutes. Six digits then hold for years against
somebody who has the card, and she is never shut out for longer than three minutes. A try is
taken before the PIN is looked at, so that tries at the same time count like tries in a row.
Card numbers that do not exist are throttled the same way, so a refusal tells nothing.
"""

from __future__ import annotations

from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store.prepared import Written
from sqlalchemy import Connection, delete, select

from safehand_consent_service.tables import throttle as throttle_table

TRIES: Final = 5
"""Tries that a card has at once: enough for a trembling hand."""
EARN_BACK_S: Final = 180
"""Seconds until one more try: three minutes."""

_COUNT: Final = Written(
    "INSERT INTO throttle (card_hmac, tries, last_at) VALUES (?, ?, ?) "
    "ON CONFLICT (card_hmac) DO UPDATE SET tries = excluded.tries, last_at = excluded.last_at"
)


def take(connection: Connection, card_hmac: bytes, now: int) -> None:
    """Count one try in the caller's write transaction, which must commit before the PIN is read.

    Raises THROTTLED with the time until the next try; then nothing is changed.
    """
    row = connection.execute(
        select(throttle_table.c.tries, throttle_table.c.last_at).where(
            throttle_table.c.card_hmac == card_hmac
        )
    ).first()
    tries, last_at = _earned_back(row.tries, row.last_at, now) if row else (0, now)
    if tries >= TRIES:
        raise SafehandError(Reason.THROTTLED, retry_after_s=last_at + EARN_BACK_S - now)
    _COUNT.execute(connection, card_hmac, tries + 1, last_at)


def forgive(connection: Connection, card_hmac: bytes) -> None:
    """The PIN was right: all tries are given back."""
    connection.execute(delete(throttle_table).where(throttle_table.c.card_hmac == card_hmac))


def prune(connection: Connection, now: int) -> int:
    """Forget cards that have all their tries again; returns how many."""
    return connection.execute(
        delete(throttle_table).where(
            throttle_table.c.last_at + throttle_table.c.tries * EARN_BACK_S <= now
        )
    ).rowcount


def _earned_back(tries: int, last_at: int, now: int) -> tuple[int, int]:
    earned = max(0, (now - last_at) // EARN_BACK_S)
    if earned >= tries:
        return 0, now
    return tries - earned, last_at + earned * EARN_BACK_S

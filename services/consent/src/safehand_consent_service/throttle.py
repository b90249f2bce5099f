"""How often a card number may be tried: a bucket per card, never a lock-out, and turns.

What an agency tries when it links a card has a bucket of its own (``Cards.agency_tries``): it can
use up nobody's tries but its own.

Five tries at once, then one more every three minutes. Six digits then hold for years against
somebody who has the card, however many networks he tries from. A try is taken before the PIN is
looked at, so that tries at the same time count like tries in a row. Card numbers that do not exist
are throttled the same way, so a refusal tells nothing.

Tries are shared out by turns, so that whoever guesses without end from one place does not keep her
out (``take_turn``): who took the last try leaves one for others from the moment that somebody else
was refused, for as long as that one is not used. Somebody who tries from one place, at whatever
times he likes, therefore delays each try of hers from another place by three minutes at most, also
while she mistypes. A place is the network that she signs in from; a session that asks for the PIN
again is a place of its own. Two limits: on the very network that he guesses from, she takes her
chance with him; and who guesses from several networks at once leaves each earned try to whoever
of all those comes first. A stop through a worker asks nothing of this.
"""

from __future__ import annotations

from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store.prepared import Prepared, Written
from sqlalchemy import Connection, bindparam, delete, select, update

from safehand_consent_service.tables import throttle as throttle_table

TRIES: Final = 5
"""Tries that a card has at once: enough for a trembling hand."""
EARN_BACK_S: Final = 180
"""Seconds until one more try: three minutes."""
KEPT_FOR_OTHERS: Final = 1
"""Tries that who took the last one leaves while somebody else waits."""
PLACE_BYTES: Final = 32
PLACES_WAITING: Final = 2
"""Places that are remembered as waiting: she and one who guesses. More would change nothing, since
a try that is kept is for everybody but who took the last."""

_FIND: Final = Prepared(
    select(
        throttle_table.c.tries,
        throttle_table.c.last_at,
        throttle_table.c.taken_by,
        throttle_table.c.waiting,
    ).where(throttle_table.c.card_hmac == bindparam("card"))
)
_COUNT: Final = Written(
    "INSERT INTO throttle (card_hmac, tries, last_at, taken_by, waiting) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (card_hmac) DO UPDATE SET tries = excluded.tries, last_at = excluded.last_at, "
    "taken_by = excluded.taken_by, waiting = excluded.waiting"
)
_WAIT: Final = Prepared(
    update(throttle_table)
    .where(throttle_table.c.card_hmac == bindparam("card"))
    .values(waiting=bindparam("places"))
)


def take(connection: Connection, card_hmac: bytes, now: int) -> None:
    """Count one try in the caller's write transaction, which must commit before the PIN is read.

    Raises THROTTLED with the time until the next try; then nothing is changed.
    """
    row = _FIND.first(connection, card=card_hmac)
    tries, last_at = _earned_back(row.tries, row.last_at, now) if row else (0, now)
    if tries >= TRIES:
        raise _throttled(last_at, now)
    _COUNT.execute(connection, card_hmac, tries + 1, last_at, None, b"")


def take_turn(
    connection: Connection, card_hmac: bytes, place: bytes, now: int
) -> SafehandError | None:
    """As ``take``, shared out by turns. ``place``: 32 bytes, from where it is tried.

    Returns THROTTLED instead of raising it where the refusal is to be remembered: the transaction
    must commit, and the error be raised behind it.
    """
    row = _FIND.first(connection, card=card_hmac)
    tries, last_at = _earned_back(row.tries, row.last_at, now) if row else (0, now)
    taken_by, waiting = (row.taken_by, _places(row.waiting)) if row and tries else (None, [])
    kept = KEPT_FOR_OTHERS if place == taken_by and set(waiting) - {place} else 0
    if TRIES - tries > kept:
        waiting = [one for one in waiting if one != place]
        _COUNT.execute(connection, card_hmac, tries + 1, last_at, place, b"".join(waiting))
        return None
    error = _throttled(last_at, now)
    if place in waiting or len(waiting) >= PLACES_WAITING:
        raise error
    _WAIT.run(connection, card=card_hmac, places=b"".join([*waiting, place]))
    return error


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


def _places(waiting: bytes) -> list[bytes]:
    starts = range(0, len(waiting), PLACE_BYTES)
    return [waiting[start : start + PLACE_BYTES] for start in starts]


def _throttled(last_at: int, now: int) -> SafehandError:
    return SafehandError(Reason.THROTTLED, retry_after_s=last_at + EARN_BACK_S - now)

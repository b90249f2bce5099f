"""How often a card number may be tried: a bucket per card, never a lock-out, and a line for it.

What an agency tries when it links a card has a bucket of its own (``Cards.agency_tries``): it can
use up nobody's tries but its own.

Five tries at once, then one more every three minutes. Six digits then hold for years against
somebody who has the card, however many networks he tries from. A try is taken before the PIN is
looked at, so that tries at the same time count like tries in a row: whoever takes one does it in
the ledger's one writer, by a time that never runs backwards. Card numbers that do not exist are
throttled the same way, so a refusal tells nothing.

Whoever guesses without end must not keep her out, so tries are shared out by turns (``take_turn``).
A place is a browser in a network; a session that asks for the PIN again is a network of its own.
Who is refused stands in a line, and who stands at its n-th place may try where n tries are left.
So, always:

1. A try is taken only where the bucket has one. The line never adds to the bucket.
2. Whose turn has come (one of the first so many as there are tries) is overtaken by nobody, until
   he has used it or three minutes are over behind the time that he was told.
3. Others stand behind them round by round: the first place of each network, then the second of
   each, and so on; in a round the network that tried last is behind the others, and in a network
   the browser that tried last. Beyond that: first come, first served.
4. So the time that is told is true, whatever others do, but for who tried last and for the second
   browser of a network: of these each goes behind newcomers until somebody else has tried.
5. The line has eight places. Where it is full the last one yields, by the order of 3: the browsers
   of one network to another network.

Somebody who guesses from one other network, at whatever times, in however many browsers, using
his turns or letting them lapse, thus delays each try of hers by three minutes at most; from k other
networks, up to four, by k times three minutes. One with one other browser in her own network counts
for her as a network does; beside others she then waits for two rounds of all. Two limits: in her
network and with the words of her browser he is at her place, where each turn is whoever's comes
first; and whoever fills the line, with ever new browsers in her network or from more networks than
four, leaves each place in it that becomes free to whoever asks first.
A stop through a worker asks nothing of this.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store.prepared import Prepared, Written
from sqlalchemy import Connection, and_, bindparam, delete, or_, select

from safehand_consent_service.tables import throttle as throttle_table

TRIES: Final = 5
"""Tries that a card has at once: enough for a trembling hand."""
EARN_BACK_S: Final = 180
"""Seconds until one more try: three minutes."""
TURN_S: Final = EARN_BACK_S
"""Seconds for which a turn is kept behind the time that was told: then the next try is earned."""
PLACES_WAITING: Final = 8
"""Places in the line: she, and more than one who guesses alone will have."""
LAST_TURN_S: Final = (PLACES_WAITING - TRIES) * EARN_BACK_S
"""Seconds from when all tries are back to when the turn of the last in the line comes at most."""
NETWORK_BYTES: Final = 16
"""Of the 32 bytes of a place, those that tell its network; the others tell the browser in it."""

_TURN: Final = struct.Struct(">32sq")
_FIND: Final = Prepared(
    select(
        throttle_table.c.tries,
        throttle_table.c.last_at,
        throttle_table.c.taken_by,
        throttle_table.c.waiting,
    ).where(throttle_table.c.card_hmac == bindparam("card"))
)
_STORE: Final = Written(
    "INSERT INTO throttle (card_hmac, tries, last_at, taken_by, waiting) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (card_hmac) DO UPDATE SET tries = excluded.tries, last_at = excluded.last_at, "
    "taken_by = excluded.taken_by, waiting = excluded.waiting"
)


class Turn(NamedTuple):
    """Who waits (``place``, 32 bytes), and when his turn comes at the latest."""

    place: bytes
    at: int

    @property
    def network(self) -> bytes:
        """The same for all who come from there."""
        return self.place[:NETWORK_BYTES]


def take(connection: Connection, card_hmac: bytes, now: int) -> None:
    """Count one try in the caller's write transaction, which must commit before the PIN is read.

    Raises THROTTLED with the time until the next try; then nothing is changed.
    """
    row = _FIND.first(connection, card=card_hmac)
    tries, last_at = _earned_back(row.tries, row.last_at, now) if row else (0, now)
    if tries >= TRIES:
        raise _throttled(last_at + EARN_BACK_S - now)
    _STORE.execute(connection, card_hmac, tries + 1, last_at, None, b"")


def take_turn(
    connection: Connection, card_hmac: bytes, place: bytes, now: int
) -> SafehandError | None:
    """As ``take``, shared out by turns. ``place``: 32 bytes, from where it is tried.

    Returns THROTTLED instead of raising it where the refusal is to be remembered: the transaction
    must commit, and the error be raised behind it. It says when the turn of ``place`` comes at the
    latest; where it got no place in the line, when the next try is earned.
    """
    row = _FIND.first(connection, card=card_hmac)
    tries, last_at = _earned_back(row.tries, row.last_at, now) if row else (0, now)
    found = _live(row.waiting, now) if row else []
    taken_by = row.taken_by if row else None
    left = TRIES - tries
    line = _in_order(found, place, taken_by, left, now)
    index = [turn.place for turn in line].index(place)
    if index < left:
        del line[index]
        line = _timed(line, left - 1, last_at)
        _STORE.execute(connection, card_hmac, tries + 1, last_at, place, _encoded(line))
        return None
    line = _timed(line, left, last_at)[:PLACES_WAITING]
    mine = line[index].at if index < len(line) else last_at + EARN_BACK_S
    error = _throttled(mine - now)
    if line == found:
        raise error
    _STORE.execute(connection, card_hmac, tries, last_at, taken_by, _encoded(line))
    return error


def forgive(connection: Connection, card_hmac: bytes) -> None:
    """The PIN was right: all tries are given back, and nobody waits any more."""
    connection.execute(delete(throttle_table).where(throttle_table.c.card_hmac == card_hmac))


def prune(connection: Connection, now: int) -> int:
    """Forget cards that have all their tries again and keep none; returns how many."""
    full_at = throttle_table.c.last_at + throttle_table.c.tries * EARN_BACK_S
    nobody_waits = throttle_table.c.waiting == b""
    lapsed_at = full_at + LAST_TURN_S + TURN_S
    return connection.execute(
        delete(throttle_table).where(or_(and_(nobody_waits, full_at <= now), lapsed_at <= now))
    ).rowcount


def _earned_back(tries: int, last_at: int, now: int) -> tuple[int, int]:
    earned = max(0, (now - last_at) // EARN_BACK_S)
    if earned >= tries:
        return 0, now
    return tries - earned, last_at + earned * EARN_BACK_S


def _live(waiting: bytes, now: int) -> list[Turn]:
    """The line without whose turn has lapsed. What was not written by ``_encoded`` is no line."""
    if len(waiting) % _TURN.size:
        return []
    return [turn for turn in map(Turn._make, _TURN.iter_unpack(waiting)) if turn.at + TURN_S > now]


def _in_order(
    line: Sequence[Turn], place: bytes, taken_by: bytes | None, left: int, now: int
) -> list[Turn]:
    """The line with ``place`` in it: whose turn has come stay where they are, the others stand as
    the docstring of this module says. Sorting is stable: first come, first served."""
    known = any(turn.place == place for turn in line)
    line = [*line] if known else [*line, Turn(place, now)]
    rounds = Counter(turn.network for turn in line[:left])
    tried_last = taken_by[:NETWORK_BYTES] if taken_by else None
    ranked = []
    for turn in sorted(line[left:], key=lambda turn: turn.place == taken_by):
        rounds[turn.network] += 1
        ranked.append(((rounds[turn.network], turn.network == tried_last), turn))
    ranked.sort(key=lambda rank: rank[0])
    return [*line[:left], *(turn for _, turn in ranked)]


def _timed(line: Sequence[Turn], left: int, last_at: int) -> list[Turn]:
    """Every turn comes when enough tries are earned for it and all before it, or as was told."""
    return [
        turn
        if index < left
        else Turn(turn.place, max(turn.at, last_at + (index + 1 - left) * EARN_BACK_S))
        for index, turn in enumerate(line)
    ]


def _encoded(line: Sequence[Turn]) -> bytes:
    return b"".join(_TURN.pack(*turn) for turn in line)


def _throttled(seconds: int) -> SafehandError:
    return SafehandError(Reason.THROTTLED, retry_after_s=seconds)

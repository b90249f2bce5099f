"""Her session: card and PIN in, 32 random bytes out, kept only as their hash.

A wrong card and a wrong PIN are the same to whoever tries: the same answer after the same work.
A session that is covered opens nothing until the PIN is given again (``seats``).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

from safehand_core.entropy import Entropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_ledger.transaction import WriterTransaction
from safehand_ledger.writer import LedgerWriter
from safehand_store.engine import begin_read
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, Engine, and_, bindparam, delete, insert, select, update

from safehand_consent_service.cards import Cards
from safehand_consent_service.pins import Pins
from safehand_consent_service.tables import grant, subject
from safehand_consent_service.tables import session as session_table

SESSION_BYTES: Final = 32
IDLE_S: Final = 10 * 60
"""A session ends this long after she did something: long enough to read and decide, short enough
for a phone that others hold."""
COVER_S: Final = 2 * 3600
"""A session asks for the PIN this long after it was opened, whatever she does (WCAG 2.2, 2.2.1:
without limit until then)."""


_IS_LIVE: Final = (
    session_table.c.session_hash == bindparam("hash"),
    session_table.c.expires_at > bindparam("now"),
)
_LIVE: Final = Prepared(
    select(session_table.c.subject_id, session_table.c.covered_at).where(*_IS_LIVE)
)


_OWNER: Final = Prepared(
    select(session_table.c.subject_id, session_table.c.covered_at, grant.c.grant_id)
    .outerjoin(
        grant,
        and_(
            grant.c.grant_id == bindparam("wanted"),
            grant.c.subject_id == session_table.c.subject_id,
        ),
    )
    .where(*_IS_LIVE)
)
_INSERT: Final = Prepared(insert(session_table))
_SIGNED_IN: Final = Prepared(
    update(subject)
    .where(subject.c.subject_id == bindparam("subject"))
    .values(wrong_tries=0, wrong_last_at=None, signed_in_at=bindparam("now"))
)


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """``secret``: whoever holds these 32 bytes is her, until ``expires_at``."""

    secret: bytes
    expires_at: int


@dataclass(frozen=True, slots=True)
class Opening:
    """How she signs in. ``network``: an opaque word for her network (its first half) and for her
    browser in it, empty where nobody can tell;
    ``shared_device``: somebody else uses it too; ``language``: BCP 47, or empty;
    ``worker_number``: that her worker read out to her, or empty."""

    network: bytes = b""
    shared_device: bool = False
    language: str = ""
    worker_number: str = field(default="", repr=False)


class Sessions:
    """Opens and closes sessions, by the ledger's time, which never runs backwards."""

    def __init__(
        self, engine: Engine, writer: LedgerWriter, cards: Cards, entropy: Entropy
    ) -> None:
        self._engine = engine
        self._writer = writer
        self._cards = cards
        self._entropy = entropy
        self.pins = Pins(writer, cards)

    def open(self, card_number: str, pin: str, how: Opening) -> OpenedSession:
        """Sign her in. Raises SIGN_IN_FAILED or THROTTLED."""
        card_hmac = self._cards.card_hmac(card_number)
        place = self._cards.place(card_hmac, how.network)
        given = how.worker_number
        number = self._cards.number_hmac(card_hmac, given) if given else None
        proven = self.pins.check(card_hmac, pin, place, number)
        secret = self._entropy.bytes(SESSION_BYTES)

        def operation(txn: WriterTransaction) -> OpenedSession:
            wrong = self.pins.accept(txn.hot, proven)
            _SIGNED_IN.run(txn.hot, subject=proven.subject_id, now=txn.now)
            opened = OpenedSession(secret, txn.now + IDLE_S)
            _INSERT.run(
                txn.hot,
                session_hash=hashed(secret),
                subject_id=proven.subject_id,
                expires_at=opened.expires_at,
                covered_at=txn.now + COVER_S,
                language=how.language,
                shared_device=int(how.shared_device),
                previous_sign_in=wrong.signed_in_at,
                wrong_tries=wrong.tries,
                wrong_last_at=wrong.last_at,
            )
            return opened

        return self.pins.write(operation)

    def close(self, secret: bytes) -> None:
        """End a session; one that is over already is no error."""
        gone = delete(session_table).where(session_table.c.session_hash == hashed(secret))
        self.pins.write(lambda txn: txn.hot.execute(gone).rowcount)

    def whose(self, secret: bytes) -> str:
        """The subject of a live session; raises SESSION_INVALID or SESSION_COVERED."""
        with begin_read(self._engine) as connection:
            return require(connection, secret, self._writer.now)


def require(connection: Connection, secret: bytes, now: int) -> str:
    """The subject of a live session, in the caller's transaction.

    Raises SESSION_INVALID or SESSION_COVERED.
    """
    row = require_open(_LIVE.first(connection, hash=hashed(secret), now=now), now)
    subject_id: str = row.subject_id
    return subject_id


def require_owner(connection: Connection, secret: bytes, grant_id: str, now: int) -> str:
    """As ``require``, for a session of her whose grant it is, in one statement.

    Raises SESSION_INVALID, SESSION_COVERED; NOT_FOUND for anybody else's grant, as for none at all.
    """
    row = require_open(_OWNER.first(connection, hash=hashed(secret), wanted=grant_id, now=now), now)
    if row.grant_id is None:
        raise SafehandError(Reason.NOT_FOUND)
    subject_id: str = row.subject_id
    return subject_id


def require_open(row: Any, now: int) -> Any:
    """The row of a live session, unless there is none or it is covered."""
    if row is None:
        raise SafehandError(Reason.SESSION_INVALID)
    if row.covered_at <= now:
        raise SafehandError(Reason.SESSION_COVERED)
    return row


def prune(connection: Connection, now: int) -> int:
    """Forget sessions that are over; returns how many."""
    return connection.execute(
        delete(session_table).where(session_table.c.expires_at <= now)
    ).rowcount


def hashed(secret: bytes) -> bytes:
    """What is stored of a session. Its secret has 256 random bits: a plain hash suffices."""
    return hashlib.sha256(secret).digest()

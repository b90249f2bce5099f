"""Her session: card and PIN in, 32 random bytes out, kept only as their hash.

A wrong card and a wrong PIN are the same to whoever tries: the same answer after the same work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from safehand_core.entropy import Entropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_ledger.transaction import WriterTransaction
from safehand_ledger.writer import LedgerWriter
from safehand_store.engine import begin_read
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, Engine, and_, bindparam, delete, insert, select

from safehand_consent_service import throttle
from safehand_consent_service.cards import Cards
from safehand_consent_service.tables import grant, subject
from safehand_consent_service.tables import session as session_table

R = TypeVar("R")

SESSION_BYTES: Final = 32
SESSION_S: Final = 15 * 60
"""A session ends this long after it was opened, whatever it is used for: long enough to read and
decide, short enough for a phone that others hold. It is never extended, so reading costs no
write and the end that she is told is the end."""


_IS_LIVE: Final = (
    session_table.c.session_hash == bindparam("hash"),
    session_table.c.expires_at > bindparam("now"),
)
_LIVE: Final = Prepared(select(session_table.c.subject_id).where(*_IS_LIVE))


_OWNER: Final = Prepared(
    select(session_table.c.subject_id, grant.c.grant_id)
    .outerjoin(
        grant,
        and_(
            grant.c.grant_id == bindparam("wanted"),
            grant.c.subject_id == session_table.c.subject_id,
        ),
    )
    .where(*_IS_LIVE)
)


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """``secret``: whoever holds these 32 bytes is her, until ``expires_at``."""

    secret: bytes
    expires_at: int


class Sessions:
    """Opens and closes sessions, by the ledger's time, which never runs backwards."""

    def __init__(
        self, engine: Engine, writer: LedgerWriter, cards: Cards, entropy: Entropy
    ) -> None:
        self._engine = engine
        self._writer = writer
        self._cards = cards
        self._entropy = entropy

    def open(self, card_number: str, pin: str) -> OpenedSession:
        """Sign her in. Raises SIGN_IN_FAILED or THROTTLED."""
        card_hmac = self._cards.card_hmac(card_number)
        subject_id = self.check_pin(card_hmac, pin)
        secret = self._entropy.bytes(SESSION_BYTES)

        def operation(txn: WriterTransaction) -> OpenedSession:
            opened = OpenedSession(secret, txn.now + SESSION_S)
            throttle.forgive(txn.connection, card_hmac)
            txn.connection.execute(
                insert(session_table).values(
                    session_hash=_hash(opened.secret),
                    subject_id=subject_id,
                    expires_at=opened.expires_at,
                )
            )
            return opened

        return self._write(operation)

    def check_pin(self, card_hmac: bytes, pin: str, bucket: bytes | None = None) -> str:
        """Whose card it is, if the PIN is hers; one try is counted, and stays so.

        ``bucket``: whose tries they are, if not her own (``Cards.agency_tries``).
        Raises SIGN_IN_FAILED (no such card, or a wrong PIN, after the same work) or THROTTLED.
        """
        self._write(lambda txn: throttle.take(txn.connection, bucket or card_hmac, txn.now))
        with begin_read(self._engine) as connection:
            row = connection.execute(
                select(subject.c.subject_id, subject.c.pin_hash).where(
                    subject.c.card_hmac == card_hmac
                )
            ).first()
        if not self._cards.pin_matches(row.pin_hash if row else None, pin) or row is None:
            raise SafehandError(Reason.SIGN_IN_FAILED)
        subject_id: str = row.subject_id
        return subject_id

    def close(self, secret: bytes) -> None:
        """End a session; one that is over already is no error."""
        gone = delete(session_table).where(session_table.c.session_hash == _hash(secret))
        self._write(lambda txn: txn.connection.execute(gone).rowcount)

    def whose(self, secret: bytes) -> str:
        """The subject of a live session; raises SESSION_INVALID."""
        with begin_read(self._engine) as connection:
            return require(connection, secret, self._writer.now)

    def _write(self, operation: Callable[[WriterTransaction], R]) -> R:
        # Like housekeeping not held back after a start: a stop needs a session first.
        return self._writer.submit(operation, housekeeping=True).value


def require(connection: Connection, secret: bytes, now: int) -> str:
    """The subject of a live session, in the caller's transaction; raises SESSION_INVALID."""
    row = _LIVE.first(connection, hash=_hash(secret), now=now)
    if row is None:
        raise SafehandError(Reason.SESSION_INVALID)
    subject_id: str = row.subject_id
    return subject_id


def require_owner(connection: Connection, secret: bytes, grant_id: str, now: int) -> str:
    """As ``require``, for a session of her whose grant it is, in one statement.

    Raises SESSION_INVALID; NOT_FOUND for anybody else's grant, as for none at all.
    """
    row = _OWNER.first(connection, hash=_hash(secret), wanted=grant_id, now=now)
    if row is None:
        raise SafehandError(Reason.SESSION_INVALID)
    if row.grant_id is None:
        raise SafehandError(Reason.NOT_FOUND)
    subject_id: str = row.subject_id
    return subject_id


def prune(connection: Connection, now: int) -> int:
    """Forget sessions that are over; returns how many."""
    return connection.execute(
        delete(session_table).where(session_table.c.expires_at <= now)
    ).rowcount


def _hash(secret: bytes) -> bytes:
    # The secret has 256 random bits: a plain hash suffices.
    return hashlib.sha256(secret).digest()

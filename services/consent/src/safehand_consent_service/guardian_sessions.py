"""A guardian's session: a card and PIN of his own in, 32 random bytes out, kept only as their hash.

It is no session of hers and opens nothing of hers: another table, other buckets for tries, another
key for the card. Whoever is barred has none: the bar is asked in the very query that finds one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, delete, insert, select

from safehand_consent_service import throttle
from safehand_consent_service.context import Context
from safehand_consent_service.sessions import SESSION_BYTES, OpenedSession
from safehand_consent_service.tables_recorded import guardian, guardian_session

R = TypeVar("R")

SESSION_S: Final = 15 * 60
"""A guardian's session ends this long after it was opened, whatever it is used for."""

_BY_CARD: Final = Prepared(
    select(
        guardian.c.guardian_id, guardian.c.subject_id, guardian.c.pin_hash, guardian.c.excluded_at
    ).where(guardian.c.card_hmac == bindparam("card"))
)
_LIVE: Final = Prepared(
    select(guardian.c.guardian_id, guardian.c.subject_id)
    .join(guardian_session, guardian_session.c.guardian_id == guardian.c.guardian_id)
    .where(
        guardian_session.c.session_hash == bindparam("hash"),
        guardian_session.c.expires_at > bindparam("now"),
        guardian.c.excluded_at.is_(None),
    )
)
_INSERT: Final = Prepared(insert(guardian_session))


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A guardian and the one person whose guardian he is."""

    guardian_id: str
    subject_id: str


@dataclass(frozen=True, slots=True)
class OnFile:
    """A guardian whose card and PIN were shown, barred or not."""

    guardian_id: str
    subject_id: str
    excluded: bool


def open_session(context: Context, card_number: str, pin: str) -> OpenedSession:
    """Sign a guardian in. Raises SIGN_IN_FAILED (no such card, a wrong PIN, barred: the same answer
    after the same work) or THROTTLED."""
    card_hmac = context.cards.guardian_hmac(card_number)
    found = check_pin(context, card_hmac, pin, card_hmac)
    if found.excluded:
        raise SafehandError(Reason.SIGN_IN_FAILED)
    secret = context.entropy.bytes(SESSION_BYTES)

    def operation(txn: WriterTransaction) -> OpenedSession:
        opened = OpenedSession(secret, txn.now + SESSION_S)
        throttle.forgive(txn.connection, card_hmac)
        _INSERT.run(
            txn.connection,
            session_hash=_hash(secret),
            guardian_id=found.guardian_id,
            expires_at=opened.expires_at,
        )
        return opened

    return _write(context, operation)


def check_pin(context: Context, card_hmac: bytes, pin: str, bucket: bytes) -> OnFile:
    """Whose card it is, if the PIN is his; one try of ``bucket`` is counted, and stays so.

    Raises SIGN_IN_FAILED or THROTTLED, as for her own card (``Pins.check``).
    """
    _write(context, lambda txn: throttle.take(txn.connection, bucket, txn.now))
    with begin_read(context.engine) as connection:
        row = _BY_CARD.first(connection, card=card_hmac)
    if not context.cards.pin_matches(row.pin_hash if row else None, pin) or row is None:
        raise SafehandError(Reason.SIGN_IN_FAILED)
    return OnFile(row.guardian_id, row.subject_id, row.excluded_at is not None)


def close_session(context: Context, secret: bytes) -> None:
    """End a session; one that is over already is no error."""
    gone = delete(guardian_session).where(guardian_session.c.session_hash == _hash(secret))
    _write(context, lambda txn: txn.connection.execute(gone).rowcount)


def require(connection: Connection, secret: bytes, now: int) -> SignedIn:
    """Who signed in, in the caller's transaction; SESSION_INVALID, also for who is barred."""
    row = _LIVE.first(connection, hash=_hash(secret), now=now)
    if row is None:
        raise SafehandError(Reason.SESSION_INVALID)
    return SignedIn(row.guardian_id, row.subject_id)


def end_all(connection: Connection, guardian_id: str) -> None:
    """End every session of a guardian, in the caller's transaction."""
    connection.execute(
        delete(guardian_session).where(guardian_session.c.guardian_id == guardian_id)
    )


def prune(connection: Connection, now: int) -> int:
    """Forget sessions that are over; returns how many."""
    return connection.execute(
        delete(guardian_session).where(guardian_session.c.expires_at <= now)
    ).rowcount


def _write(context: Context, operation: Callable[[WriterTransaction], R]) -> R:
    return context.writer.submit(operation, housekeeping=True).value


def _hash(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()

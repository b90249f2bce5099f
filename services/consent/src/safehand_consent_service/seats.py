"""Her session as her pages use it: kept alive while she does something, covered, locked, rotated.

Every call of PortalService begins with ``take``, and every stop with ``take_to_stop``. The other
services' sessions are the same sessions; only here are they kept alive, and only here must a PIN
that somebody else has seen be changed first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from safehand.consent.v1 import portal_pb2
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from safehand_consent_service import wire
from safehand_consent_service.context import Context
from safehand_consent_service.pins import Pins, Proven
from safehand_consent_service.sessions import (
    COVER_S,
    IDLE_S,
    SESSION_BYTES,
    hashed,
    require_open,
)
from safehand_consent_service.tables import session, subject

KEEP_EVERY_S: Final = 60
"""At most one write a minute keeps a session alive: it may end up to that much sooner than ten
minutes after her last press, and her pages are told when."""

_SEAT: Final = Prepared(
    select(
        session.c.subject_id,
        session.c.expires_at,
        session.c.covered_at,
        session.c.language,
        session.c.shared_device,
        session.c.previous_sign_in,
        session.c.wrong_tries,
        session.c.wrong_last_at,
        subject.c.must_change_pin,
        subject.c.card_hmac,
    )
    .join(subject, subject.c.subject_id == session.c.subject_id)
    .where(session.c.session_hash == bindparam("hash"), session.c.expires_at > bindparam("now"))
)
_IS_OPEN: Final = (
    session.c.session_hash == bindparam("hash"),
    session.c.expires_at > bindparam("now"),
    session.c.covered_at > bindparam("now"),
)
_KEEP: Final = Prepared(update(session).where(*_IS_OPEN).values(expires_at=bindparam("until")))
_SPEAK: Final = Prepared(
    update(session)
    .where(*_IS_OPEN)
    .values(expires_at=bindparam("until"), language=bindparam("chosen"))
)
_COVER: Final = Prepared(
    update(session)
    .where(*_IS_OPEN)
    .values(expires_at=bindparam("until"), covered_at=bindparam("covered"))
)
_END: Final = Prepared(
    delete(session).where(
        session.c.session_hash == bindparam("hash"), session.c.expires_at > bindparam("now")
    )
)
_END_ALL: Final = Prepared(delete(session).where(session.c.subject_id == bindparam("subject")))
_INSERT: Final = Prepared(insert(session))
_NEW_PIN: Final = Prepared(
    update(subject)
    .where(subject.c.subject_id == bindparam("subject"))
    .values(pin_hash=bindparam("new_hash"), must_change_pin=0)
)


@dataclass(frozen=True, slots=True)
class Seat:
    """How a session stands; times are seconds since the epoch.

    ``secret``: its 32 bytes. ``expires_at``: when it ends unless she does something.
    ``covered_at``: from when on it asks for the PIN. ``language``: BCP 47, or empty.
    ``previous_sign_in``: the sign-in before this one, None at the first. ``wrong_tries``: wrong
    PINs between the two; ``wrong_last_at``: the last of them, or None.
    """

    secret: bytes
    subject_id: str
    expires_at: int
    covered_at: int
    language: str
    shared_device: bool
    must_change_pin: bool
    previous_sign_in: int | None
    wrong_tries: int
    wrong_last_at: int | None


class Seats:
    """Finds her session for one call of PortalService, and keeps it alive."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pins = Pins(context.writer, context.cards)

    def take(self, secret: bytes) -> Seat:
        """The session, kept alive: for ten minutes more, to the minute.

        Raises SESSION_INVALID, SESSION_COVERED, PIN_CHANGE_REQUIRED, in this order.
        """
        seat = self._open(secret)
        if seat.must_change_pin:
            raise SafehandError(Reason.PIN_CHANGE_REQUIRED)
        if seat.expires_at - self._context.now > IDLE_S - KEEP_EVERY_S:
            return seat
        return self._kept(seat)

    def take_to_stop(self, secret: bytes) -> Seat:
        """As ``take``, for a stop, which waits for no write of ours but in the last minute, and
        which she can do although somebody else has seen her PIN.

        Raises SESSION_INVALID, SESSION_COVERED, in this order.
        """
        seat = self._open(secret)
        # So that she can read what came of it. What asks next keeps the session alive.
        return self._kept(seat) if seat.expires_at - self._context.now <= KEEP_EVERY_S else seat

    def check_pin(self, seat: Seat, pin: str) -> None:
        """For what asks for the PIN again. A try is counted; the right PIN gives all back.

        It writes, so call it outside of transactions. Raises SIGN_IN_FAILED or THROTTLED.
        """
        proven = self._prove(seat.subject_id, seat.secret, pin)
        self._pins.write(lambda txn: self._pins.accept(txn.hot, proven))

    def speak(self, secret: bytes, language: str) -> Seat:
        """Keep a language (BCP 47) with the session. Raises SESSION_INVALID, SESSION_COVERED."""
        self._open(secret)

        def operation(txn: WriterTransaction) -> Seat:
            _SPEAK.run(
                txn.hot,
                hash=hashed(secret),
                now=txn.now,
                until=txn.now + IDLE_S,
                chosen=language,
            )
            return _seat(secret, _row(txn.hot, secret, txn.now), txn.now)

        return self._pins.write(operation)

    def lock(self, secret: bytes) -> None:
        """Cover a session; one that is over or covered stays as it is."""

        def operation(txn: WriterTransaction) -> None:
            _COVER.run(
                txn.hot,
                hash=hashed(secret),
                now=txn.now,
                until=txn.now + IDLE_S,
                covered=txn.now,
            )

        self._pins.write(operation)

    def unlock(self, secret: bytes, pin: str) -> Seat:
        """A new session in the place of this one, covered or not, for her who knows the PIN.

        Raises SESSION_INVALID, SIGN_IN_FAILED, THROTTLED.
        """
        with begin_read(self._context.engine) as connection:
            row = _row(connection, secret, self._context.now)
        proven = self._prove(row.subject_id, secret, pin)
        fresh = self._context.entropy.bytes(SESSION_BYTES)

        def operation(txn: WriterTransaction) -> Seat:
            found = _row(txn.hot, secret, txn.now)
            self._pins.accept(txn.hot, proven)
            _END.run(txn.hot, hash=hashed(secret), now=txn.now)
            return _renew(txn, found, fresh)

        return self._pins.write(operation)

    def change_pin(self, secret: bytes, pin: str, new_pin: str) -> Seat:
        """Take a new PIN, end every session of hers and open a new one, in one transaction.

        Raises SESSION_INVALID, SESSION_COVERED, MALFORMED (the new one is the old one; no try is
        counted), SIGN_IN_FAILED, THROTTLED.
        """
        seat = self._open(secret)
        if new_pin == pin:
            raise SafehandError(
                Reason.MALFORMED, "the new PIN is the old one", metadata={"field": "new_pin"}
            )
        proven = self._prove(seat.subject_id, secret, pin)
        # Slow on purpose, so outside of the writer's transaction.
        pin_hash = self._context.cards.pin_hash(new_pin)
        fresh = self._context.entropy.bytes(SESSION_BYTES)

        def operation(txn: WriterTransaction) -> Seat:
            found = require_open(_row(txn.hot, secret, txn.now), txn.now)
            self._pins.accept(txn.hot, proven)
            _NEW_PIN.run(txn.hot, subject=proven.subject_id, new_hash=pin_hash)
            _END_ALL.run(txn.hot, subject=proven.subject_id)
            return _renew(txn, found, fresh)

        return self._pins.write(operation)

    # --- inside -------------------------------------------------------------------------------

    def _open(self, secret: bytes) -> Seat:
        now = self._context.now
        with begin_read(self._context.engine) as connection:
            return _seat(secret, _row(connection, secret, now), now)

    def _kept(self, seat: Seat) -> Seat:
        def operation(txn: WriterTransaction) -> Seat:
            until = txn.now + IDLE_S
            _KEEP.run(txn.hot, hash=hashed(seat.secret), now=txn.now, until=until)
            return _seat(seat.secret, _row(txn.hot, seat.secret, txn.now), txn.now)

        try:
            return self._pins.write(operation)
        except SafehandError as error:
            if error.reason in (Reason.UNAVAILABLE, Reason.OVERLOADED):
                # What cannot be written now is still there to be read, and a stop is to be tried.
                return seat
            raise

    def _prove(self, subject_id: str, secret: bytes, pin: str) -> Proven:
        cards = self._context.cards
        with begin_read(self._context.engine) as connection:
            card_hmac = connection.execute(
                select(subject.c.card_hmac).where(subject.c.subject_id == subject_id)
            ).scalar_one()
        return self._pins.check(card_hmac, pin, cards.seat_place(card_hmac, secret))


def wire_seat(seat: Seat) -> portal_pb2.Seat:
    """The session as every answer carries it."""
    return portal_pb2.Seat(
        expires_at=wire.timestamp(seat.expires_at),
        covered_at=wire.timestamp(seat.covered_at),
        language=seat.language,
        shared_device=seat.shared_device,
        must_change_pin=seat.must_change_pin,
    )


def _row(connection: Connection, secret: bytes, now: int) -> Any:
    """A session that is not over, covered or not; raises SESSION_INVALID."""
    row = _SEAT.first(connection, hash=hashed(secret), now=now)
    if row is None:
        raise SafehandError(Reason.SESSION_INVALID)
    return row


def _seat(secret: bytes, row: Any, now: int) -> Seat:
    """Raises SESSION_COVERED."""
    require_open(row, now)
    return Seat(
        secret=secret,
        subject_id=row.subject_id,
        expires_at=row.expires_at,
        covered_at=row.covered_at,
        language=row.language,
        shared_device=bool(row.shared_device),
        must_change_pin=bool(row.must_change_pin),
        previous_sign_in=row.previous_sign_in,
        wrong_tries=row.wrong_tries,
        wrong_last_at=row.wrong_last_at,
    )


def _renew(txn: WriterTransaction, old: Any, secret: bytes) -> Seat:
    """A new session with everything of an old one but its times."""
    _INSERT.run(
        txn.hot,
        session_hash=hashed(secret),
        subject_id=old.subject_id,
        expires_at=txn.now + IDLE_S,
        covered_at=txn.now + COVER_S,
        language=old.language,
        shared_device=old.shared_device,
        previous_sign_in=old.previous_sign_in,
        wrong_tries=old.wrong_tries,
        wrong_last_at=old.wrong_last_at,
    )
    return _seat(secret, _row(txn.hot, secret, txn.now), txn.now)

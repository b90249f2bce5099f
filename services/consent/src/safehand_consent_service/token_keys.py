"""Consent's token keys: one signs, the next is published before it does, old ones still verify.

The table ``token_key`` says which key signs from when, in the ledger's time; the private halves
lie in the keystore, ``token`` (the first) and ``token.<sequence>``. A key's life:

- it is published ``lead_s`` before it signs, so that the referral service knows it by then;
- it signs tokens and acknowledgements until the next one does; then its private half is destroyed;
- it verifies ``verify_s`` longer: a token lives five minutes, and an acknowledgement is signed
  afresh whenever it is asked for, so that nobody ever has to present an old one.

Functions that take ``connection`` run inside the writer's transaction.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand_core.errors import SafehandError
from safehand_core.keystore import Keystore
from safehand_core.reasons import Reason
from safehand_formats import signing
from safehand_formats.token import MAX_LIFETIME_S, token_key_id
from safehand_store.engine import begin_read
from sqlalchemy import Connection, Engine, insert, select, update

from safehand_consent_service import tables

TOKEN_KEY: Final = "token"  # noqa: S105  a name
"""The first key's name in the keystore."""
DAY_S: Final = 24 * 3600
LIFE_S: Final = 30 * DAY_S
"""Seconds for which a token key signs."""
LEAD_S: Final = 3600
"""Seconds between its publication and its first signature: a token's life, the referral service's
poll of a minute, and most of an hour in which that service may be away. It also asks at once when
it meets a key that it does not know."""
VERIFY_S: Final = MAX_LIFETIME_S + 3600
"""Seconds after its last signature in which it verifies: a token's life, and an hour for an
acknowledgement on its way."""

_T: Final = tables.token_key


@dataclass(frozen=True, slots=True)
class Schedule:
    """When keys change, in seconds of the ledger's time. Raises ValueError where they overtake."""

    life_s: int = LIFE_S
    lead_s: int = LEAD_S
    verify_s: int = VERIFY_S

    def __post_init__(self) -> None:
        if not 0 <= self.lead_s < self.life_s:
            raise ValueError("a key is published within the life of the one before")


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One public key (32 bytes). Times: seconds since the epoch; ``ends_at`` None: not set yet."""

    sequence: int
    public: bytes
    signs_from: int
    ends_at: int | None

    @property
    def kid(self) -> str:
        return token_key_id(self.public)


class TokenKeys:
    """The keys of this process. Call ``start`` once before anything else; safe for threads."""

    def __init__(
        self, keystore: Keystore, engine: Engine, schedule: Schedule | None = None
    ) -> None:
        self._keystore = keystore
        self._engine = engine
        self._schedule = schedule or Schedule()
        self._lock = threading.Lock()
        self._signers: tuple[tuple[int, Ed25519PrivateKey], ...] = ()

    # --- outside the writer ----------------------------------------------------------------

    def signer(self, now: int) -> Ed25519PrivateKey:
        """The key that signs at ``now``; raises INTERNAL before ``load``."""
        for signs_from, private in reversed(self._signers):
            if signs_from <= now:
                return private
        raise SafehandError(Reason.INTERNAL, "no token key signs yet")

    def listed(self, now: int) -> list[TokenKey]:
        """Every key that verifies at ``now`` or later, in the order in which they sign."""
        with begin_read(self._engine) as connection:
            return [key for key in _all(connection) if key.ends_at is None or key.ends_at > now]

    def load(self, now: int) -> None:
        """Take over what the table says, and destroy private halves that sign no more."""
        with self._lock:
            with begin_read(self._engine) as connection:
                keys = _all(connection)
            current = _current(keys, now)
            ahead = [key for key in keys if key.sequence >= current.sequence and _useful(key, now)]
            self._signers = tuple(
                (key.signs_from, self._keystore.ed25519(_name(key.sequence), create=False))
                for key in ahead
            )
            names = set(self._keystore.list())
            for key in keys:
                if key not in ahead and _name(key.sequence) in names:
                    self._keystore.destroy(_name(key.sequence))

    # --- inside the writer's transaction ---------------------------------------------------

    def advance(self, connection: Connection, now: int) -> bool:
        """Make the first key, or the next one where it is due; says whether it made one.

        A key whose private half is not in the keystore is replaced at once: the keystore was
        restored without it. Call ``load`` after the commit.
        """
        keys = _all(connection)
        if not keys:
            self._add(connection, 0, now, now)
            return True
        current = _current(keys, now)
        names = set(self._keystore.list())
        if not {_name(current.sequence), _name(keys[-1].sequence)} <= names:
            self._replace(connection, keys, now, signs_from=now)
            return True
        due = now >= current.signs_from + self._schedule.life_s - self._schedule.lead_s
        if keys[-1] != current or not due:
            return False
        self._replace(connection, keys, now, signs_from=now + self._schedule.lead_s)
        return True

    def rotate(self, connection: Connection, now: int, *, stolen: bool) -> TokenKey:
        """The next key before its time. ``stolen``: it signs now, and no other verifies any more.

        Where the next one is published already, it is the answer. Call ``load`` after the commit.
        """
        keys = _all(connection)
        if stolen:
            fresh = self._replace(connection, keys, now, signs_from=now)
            connection.execute(update(_T).where(_T.c.sequence < fresh.sequence).values(ends_at=now))
            return fresh
        if keys[-1].signs_from > now:
            return keys[-1]
        return self._replace(connection, keys, now, signs_from=now + self._schedule.lead_s)

    def newest(self, connection: Connection) -> TokenKey:
        """The key that was made last."""
        return _all(connection)[-1]

    # --- pieces ----------------------------------------------------------------------------

    def _replace(
        self, connection: Connection, keys: list[TokenKey], now: int, *, signs_from: int
    ) -> TokenKey:
        ends_at = signs_from + self._schedule.verify_s
        connection.execute(update(_T).where(_T.c.ends_at.is_(None)).values(ends_at=ends_at))
        return self._add(connection, keys[-1].sequence + 1, now, signs_from)

    def _add(self, connection: Connection, sequence: int, now: int, signs_from: int) -> TokenKey:
        # The private half is durable before the row is: a crash between leaves a key to use.
        public = signing.public_bytes(self._keystore.ed25519(_name(sequence)))
        connection.execute(
            insert(_T).values(
                sequence=sequence, public=public, made_at=now, signs_from=signs_from, ends_at=None
            )
        )
        return TokenKey(sequence, public, signs_from, None)


def _name(sequence: int) -> str:
    return TOKEN_KEY if sequence == 0 else f"{TOKEN_KEY}.{sequence}"


def _all(connection: Connection) -> list[TokenKey]:
    statement = select(_T.c.sequence, _T.c.public, _T.c.signs_from, _T.c.ends_at).order_by(
        _T.c.sequence
    )
    return [TokenKey(*row) for row in connection.execute(statement)]


def _current(keys: list[TokenKey], now: int) -> TokenKey:
    """The key that signs at ``now``; the first one where none does yet."""
    signing_now = [key for key in keys if key.signs_from <= now]
    return signing_now[-1] if signing_now else keys[0]


def _useful(key: TokenKey, now: int) -> bool:
    return key.ends_at is None or key.ends_at > now

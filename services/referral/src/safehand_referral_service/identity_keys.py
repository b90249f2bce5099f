"""The identity keys that the registry has of an agency: each with its time, several at once.

What the registry says of a key makes nobody trust it: peers verify what they are told under keys
that they pinned. What it refuses is refused here: a referral, an answer, a recipient key and a
protocol pass only under a key that holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import signing
from safehand_formats.succession import OVERLAP_MAX_S, SignedSuccession
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, insert, or_, select, update

from safehand_referral_service.tables import AGENCY, AGENCY_KEY

OVERLAP_S: Final = 14 * 24 * 3600
"""Seconds for which the old key holds beside the new one, as at consent."""

V = TypeVar("V")

_K: Final = AGENCY_KEY.c
_KEYS: Final = Prepared(
    select(_K.identity_key, _K.not_before, _K.retired_at, _K.revoked_at)
    .where(_K.agency == bindparam("wanted"))
    .order_by(_K.not_before.desc(), _K.identity_key)
)


@dataclass(frozen=True, slots=True)
class IdentityKey:
    """A key that an agency has or had, 32 bytes. Times: seconds since the epoch."""

    public: bytes
    not_before: int
    retired_at: int | None
    revoked_at: int | None

    def held_at(self, at: int) -> bool:
        """Whether what was signed at ``at`` counts. Under a revoked key nothing does."""
        return self.revoked_at is None and (self.retired_at is None or at < self.retired_at)


@dataclass(frozen=True, slots=True)
class NextKey:
    """A wish: the agency's next key. ``signed``: what the old one said, where it is not lost."""

    agency: str
    old_fingerprint: str
    public: bytes
    overlap_s: int = OVERLAP_S
    signed: SignedSuccession | None = None


def of(connection: Connection, agency: str) -> list[IdentityKey]:
    """Every key of an agency, the newest first; empty where the registry does not list it."""
    return [IdentityKey(*row) for row in _KEYS.all(connection, wanted=agency)]


def verified(connection: Connection, agency: str, at: int, verify: Callable[[bytes], V]) -> V:
    """What ``verify`` returns under a key that held at ``at``, seconds since the epoch.

    ``verify`` raises SIGNATURE_INVALID for a key that did not sign. Raises AGENCY_UNKNOWN,
    SIGNATURE_INVALID, and whatever else ``verify`` raises.
    """
    return verified_under(of(connection, agency), at, verify)


def verified_under(keys: list[IdentityKey], at: int, verify: Callable[[bytes], V]) -> V:
    """As ``verified``, with the keys that were read before."""
    if not keys:
        raise SafehandError(Reason.AGENCY_UNKNOWN, "the registry does not list the agency")
    refusal = SafehandError(Reason.SIGNATURE_INVALID, "no key of the agency held then")
    for key in keys:
        if not key.held_at(at):
            continue
        try:
            return verify(key.public)
        except SafehandError as error:
            if error.reason is not Reason.SIGNATURE_INVALID:
                raise
            refusal = error
    raise refusal


def add(connection: Connection, agency: str, public: bytes, now: int) -> None:
    """List a key. Raises MALFORMED for what is no usable key, ALREADY_EXISTS for one that any
    agency ever had: a signature must convict one agency only."""
    try:
        signing.load_public(public)
    except SafehandError as error:
        raise SafehandError(
            Reason.MALFORMED, error.detail, metadata={"field": "identity_key"}
        ) from error
    known = select(_K.agency).where(_K.identity_key == public)
    if connection.execute(known).first() is not None:
        raise SafehandError(Reason.ALREADY_EXISTS, "an agency is or was listed with that key")
    connection.execute(
        insert(AGENCY_KEY).values(
            identity_key=public, agency=agency, not_before=now, retired_at=None, revoked_at=None
        )
    )


def rotate(connection: Connection, wanted: NextKey, now: int) -> None:
    """List the agency's next key; the same again changes nothing.

    With a succession the old key ends when that says. Raises AGENCY_UNKNOWN, SIGNATURE_INVALID
    (``old_fingerprint`` is not the newest key's, or the two keys did not sign), ALREADY_EXISTS,
    MALFORMED.
    """
    keys = of(connection, wanted.agency)
    if not keys:
        raise SafehandError(Reason.AGENCY_UNKNOWN, "the registry does not list the agency")
    newest = keys[0]
    named = [key for key in keys if signing.identity_key_id(key.public) == wanted.old_fingerprint]
    if newest.public == wanted.public and named and named[0] is not newest:
        return
    if not named or named[0] is not newest:
        raise SafehandError(Reason.SIGNATURE_INVALID, "another key is listed than the one named")
    overlap_s = wanted.overlap_s
    if wanted.signed is not None:
        said = wanted.signed.verify(wanted.agency, newest.public)
        if said.new != wanted.public or not newest.held_at(now):
            raise SafehandError(Reason.SIGNATURE_INVALID, "another key was signed for, or by none")
        overlap_s = max(0, said.old_until - now)
    if not 0 <= overlap_s <= OVERLAP_MAX_S:
        raise SafehandError(
            Reason.MALFORMED, "an overlap is at most 90 days", metadata={"field": "overlap"}
        )
    ends_at = now + overlap_s
    # Of three keys within one overlap the oldest does not gain time.
    connection.execute(
        update(AGENCY_KEY)
        .where(_K.agency == wanted.agency, or_(_K.retired_at.is_(None), _K.retired_at > ends_at))
        .values(retired_at=ends_at)
    )
    # Two keys of one second would have no order: the newest must be the newest.
    add(connection, wanted.agency, wanted.public, max(now, newest.not_before + 1))
    connection.execute(
        update(AGENCY).where(AGENCY.c.agency == wanted.agency).values(identity_key=wanted.public)
    )


def revoke(connection: Connection, agency: str, fingerprint: str, now: int) -> bytes:
    """Refuse a key from now on; returns it (32 bytes). Again it changes nothing.

    Raises AGENCY_UNKNOWN, KEY_UNKNOWN.
    """
    keys = of(connection, agency)
    if not keys:
        raise SafehandError(Reason.AGENCY_UNKNOWN, "the registry does not list the agency")
    for key in keys:
        if signing.identity_key_id(key.public) == fingerprint:
            connection.execute(
                update(AGENCY_KEY)
                .where(_K.identity_key == key.public, _K.revoked_at.is_(None))
                .values(revoked_at=now)
            )
            return key.public
    raise SafehandError(Reason.KEY_UNKNOWN, "the agency never had that key here")

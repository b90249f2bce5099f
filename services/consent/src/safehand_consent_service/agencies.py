"""Agencies and their identity keys, pinned at enrolment by consent's own operator (DESIGN 3.6).

Every signature that consent believes verifies under a key in these tables. Nothing else, no
registry and no certificate, tells consent whose key is whose.

An agency has one newest key, and for an overlap the one before it too. What is asked now must be
signed by a key that is believed now. What is on file (a manifest, a key record with its entry) was
checked when it came, and stays verifiable under the key of that day, unless that key was revoked:
then nobody knows who signed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import signing
from safehand_formats.succession import OVERLAP_MAX_S, SignedSuccession
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, insert, or_, select, update

from safehand_consent_service import tables

DAY_S: Final = 24 * 3600
OVERLAP_S: Final = 14 * DAY_S
"""Seconds for which an agency's old identity key holds beside the new one: long enough to sign new
protocols with every partner."""

__all__ = ["OVERLAP_MAX_S", "OVERLAP_S"]

V = TypeVar("V")

_T: Final = tables.agency.c
_K: Final = tables.agency_key.c
_BY_ID: Final = Prepared(
    select(_T.agency, _T.identity_key, _T.display_name).where(_T.agency == bindparam("wanted"))
)
_EVER: Final = (
    select(_K.identity_key)
    .where(_K.agency == bindparam("wanted"), _K.revoked_at.is_(None))
    .order_by(_K.not_before.desc(), _K.identity_key)
)
_KEYS_EVER: Final = Prepared(_EVER)
_KEYS_NOW: Final = Prepared(
    _EVER.where(
        _K.not_before <= bindparam("now"),
        or_(_K.not_after.is_(None), _K.not_after > bindparam("now")),
    )
)
_HISTORY: Final = Prepared(
    select(
        _K.identity_key,
        _K.not_before,
        _K.not_after,
        _K.revoked_at,
        _K.follows,
        _K.succession,
        _K.signature_old,
        _K.signature_new,
    )
    .where(_K.agency == bindparam("wanted"))
    .order_by(_K.not_before.desc(), _K.identity_key)
)


@dataclass(frozen=True, slots=True)
class Agency:
    """An enrolled agency; ``identity_key`` is its newest Ed25519 public key, 32 bytes."""

    agency: str
    identity_key: bytes
    display_name: str


def enrol(
    connection: Connection, agency: str, identity_key: bytes, display_name: str, now: int
) -> str:
    """Pin ``identity_key`` (32 bytes) for ``agency``; returns its fingerprint, 64 hex.

    The same key again is no change but for the display name. Raises ALREADY_EXISTS for another
    key (see ``rotate``), or a key that an agency ever had: a signature must convict one agency
    only. Raises MALFORMED for what is no usable Ed25519 key.
    """
    _require_usable(identity_key)
    known = find(connection, agency)
    table = tables.agency
    if known is None:
        _require_new(connection, identity_key)
        connection.execute(
            insert(table).values(
                agency=agency,
                identity_key=identity_key,
                display_name=display_name,
                enrolled_at=now,
            )
        )
        _add_key(connection, agency, identity_key, now)
    elif known.identity_key == identity_key:
        connection.execute(
            update(table).where(table.c.agency == agency).values(display_name=display_name)
        )
    else:
        raise SafehandError(Reason.ALREADY_EXISTS, "another agency or key is pinned already")
    return signing.identity_key_id(identity_key)


def rotate(
    connection: Connection,
    agency: str,
    old_fingerprint: str,
    identity_key: bytes,
    overlap_s: int,
    now: int,
    signed: SignedSuccession | None = None,
) -> int:
    """Pin the agency's next key; returns when the old one ends (seconds since the epoch).

    With what the old key ``signed`` for the new one, protocols go on under the new key, and the
    old one ends when that says (``overlap_s`` counts for nothing). The same again changes nothing.
    Raises AGENCY_UNKNOWN, SIGNATURE_INVALID (``old_fingerprint`` is not the newest key's, or the
    two keys did not sign), ALREADY_EXISTS (a key that an agency ever had), MALFORMED.
    """
    known = require(connection, agency)
    done = _rotated_before(connection, agency, old_fingerprint, known.identity_key)
    if done is not None and known.identity_key == identity_key:
        return done
    if signing.identity_key_id(known.identity_key) != old_fingerprint:
        raise SafehandError(Reason.SIGNATURE_INVALID, "another key is pinned than the one named")
    if signed is not None:
        said = signed.verify(agency, known.identity_key)
        if said.new != identity_key:
            raise SafehandError(Reason.SIGNATURE_INVALID, "another key was signed for")
        if known.identity_key not in keys_now(connection, agency, now):
            raise SafehandError(Reason.SIGNATURE_INVALID, "the key that signed is not believed")
        overlap_s = max(0, said.old_until - now)
    if not 0 <= overlap_s <= OVERLAP_MAX_S:
        raise SafehandError(
            Reason.MALFORMED, "an overlap is at most 90 days", metadata={"field": "overlap"}
        )
    _require_usable(identity_key)
    _require_new(connection, identity_key)
    ends_at = now + overlap_s
    keys = tables.agency_key
    # Of three keys within one overlap the oldest does not gain time.
    connection.execute(
        update(keys)
        .where(keys.c.agency == agency, or_(_K.not_after.is_(None), _K.not_after > ends_at))
        .values(not_after=ends_at)
    )
    _add_key(connection, agency, identity_key, now, signed)
    connection.execute(
        update(tables.agency)
        .where(tables.agency.c.agency == agency)
        .values(identity_key=identity_key)
    )
    return ends_at


def revoke(connection: Connection, agency: str, fingerprint: str, now: int) -> int:
    """Believe nothing under that key any more; returns how many keys of the agency are left.

    Revoking it again changes nothing. Raises AGENCY_UNKNOWN, KEY_UNKNOWN.
    """
    require(connection, agency)
    keys = tables.agency_key
    rows = connection.execute(
        select(keys.c.identity_key, keys.c.revoked_at).where(keys.c.agency == agency)
    ).all()
    for row in rows:
        if signing.identity_key_id(row.identity_key) == fingerprint:
            if row.revoked_at is None:
                connection.execute(
                    update(keys)
                    .where(keys.c.identity_key == row.identity_key)
                    .values(revoked_at=now)
                )
            return len(keys_now(connection, agency, now))
    raise SafehandError(Reason.KEY_UNKNOWN, "the agency never had that key here")


def keys_now(connection: Connection, agency: str, now: int) -> list[bytes]:
    """The keys (32 bytes each) under which the agency is believed at ``now``, newest first."""
    return [row.identity_key for row in _KEYS_NOW.all(connection, wanted=agency, now=now)]


@dataclass(frozen=True, slots=True)
class IdentityKey:
    """A key that an agency has or had (32 bytes). Times: seconds since the epoch.

    ``follows``: the key that signed for it, in ``signed``; None where an operator alone vouched.
    """

    public: bytes
    not_before: int
    not_after: int | None
    revoked_at: int | None
    follows: bytes | None
    signed: SignedSuccession | None


def history(connection: Connection, agency: str) -> list[IdentityKey]:
    """Every key that the agency has and had, the newest first; raises AGENCY_UNKNOWN."""
    rows = _HISTORY.all(connection, wanted=agency)
    if not rows:
        raise SafehandError(Reason.AGENCY_UNKNOWN)
    # Of two keys of one second the one without an end is the newer.
    return [
        IdentityKey(
            row.identity_key,
            row.not_before,
            row.not_after,
            row.revoked_at,
            row.follows,
            None
            if row.succession is None
            else SignedSuccession(row.succession, row.signature_old, row.signature_new),
        )
        for row in sorted(rows, key=lambda row: (row.not_after is not None, -row.not_before))
    ]


def keys_continued(connection: Connection, agency: str, now: int) -> list[bytes]:
    """The keys that are believed at ``now``, and those that they follow by signature.

    What the agency agreed to under one of these, it agrees to still. A revoked key is none of
    them, and nor is what came before it.
    """
    rows = {row.identity_key: row for row in _HISTORY.all(connection, wanted=agency)}
    out: list[bytes] = []
    for key, row in rows.items():
        if row.not_before > now or (row.not_after is not None and row.not_after <= now):
            continue
        found: bytes | None = key
        while found is not None and found not in out and rows[found].revoked_at is None:
            out.append(found)
            found = rows[found].follows
    return out


def verified(connection: Connection, agency: str, now: int, verify: Callable[[bytes], V]) -> V:
    """What ``verify`` returns under a key that is believed at ``now``.

    ``verify`` raises SIGNATURE_INVALID for a key that did not sign. Raises AGENCY_UNKNOWN,
    SIGNATURE_INVALID, and whatever else ``verify`` raises.
    """
    return _under_any(connection, agency, keys_now(connection, agency, now), verify)


def verified_then(connection: Connection, agency: str, verify: Callable[[bytes], V]) -> V:
    """As ``verified``, for what is on file: under any key that was not revoked."""
    keys = [row.identity_key for row in _KEYS_EVER.all(connection, wanted=agency)]
    return _under_any(connection, agency, keys, verify)


def find(connection: Connection, agency: str) -> Agency | None:
    row = _BY_ID.first(connection, wanted=agency)
    return None if row is None else Agency(*row)


def require(connection: Connection, agency: str) -> Agency:
    """The enrolled agency; raises AGENCY_UNKNOWN."""
    found = find(connection, agency)
    if found is None:
        raise SafehandError(Reason.AGENCY_UNKNOWN)
    return found


def _under_any(
    connection: Connection, agency: str, keys: list[bytes], verify: Callable[[bytes], V]
) -> V:
    refusal: SafehandError | None = None
    for key in keys:
        try:
            return verify(key)
        except SafehandError as error:
            if error.reason is not Reason.SIGNATURE_INVALID:
                raise
            refusal = refusal or error
    require(connection, agency)
    raise refusal or SafehandError(Reason.SIGNATURE_INVALID, "no key of the agency is believed")


def _require_usable(identity_key: bytes) -> None:
    try:
        signing.load_public(identity_key)
    except SafehandError as error:
        raise SafehandError(
            Reason.MALFORMED, error.detail, metadata={"field": "identity_key"}
        ) from error


def _require_new(connection: Connection, identity_key: bytes) -> None:
    keys = tables.agency_key
    known = select(keys.c.agency).where(keys.c.identity_key == identity_key)
    if connection.execute(known).first() is not None:
        raise SafehandError(Reason.ALREADY_EXISTS, "another agency or key is pinned already")


def _rotated_before(
    connection: Connection, agency: str, old_fingerprint: str, newest: bytes
) -> int | None:
    """When the named key ends, if it is an older one of the agency's: a repeat asks for it."""
    rows = _HISTORY.all(connection, wanted=agency)
    for row in rows:
        if signing.identity_key_id(row.identity_key) == old_fingerprint:
            return None if row.identity_key == newest else row.not_after
    return None


def _add_key(
    connection: Connection,
    agency: str,
    identity_key: bytes,
    now: int,
    signed: SignedSuccession | None = None,
) -> None:
    values: dict[str, Any] = {
        "identity_key": identity_key,
        "agency": agency,
        "not_before": now,
        "not_after": None,
        "revoked_at": None,
        "follows": None if signed is None else signed.succession.old,
        "succession": None if signed is None else signed.succession_bytes,
        "signature_old": None if signed is None else signed.signature_old,
        "signature_new": None if signed is None else signed.signature_new,
    }
    connection.execute(insert(tables.agency_key).values(**values))

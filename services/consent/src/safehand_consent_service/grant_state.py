"""Where a grant stands: the rules that decide it, and the one way in which it ends.

    active  -- STOP -->   stopped   (not at or after its end)
    stopped -- RESUME --> active    (within the window, not at or after its end)
    stopped -- REVOKE --> revoked   (after the window, or at once when she says so)
    active, stopped -- EXPIRE --> expired   (its end has come, or nobody confirmed it in time)

Revoked and expired never reopen. What is live is decided by ``ledger_now`` inside the writer:
a grant whose end has passed is over although no EXPIRE is written yet.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import lru_cache
from typing import Final, Literal

from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import SENSITIVE
from safehand_formats.kinds import Kind
from safehand_ledger.transaction import WriterTransaction
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, null, update

from safehand_consent_service import events_out, grant_leaves
from safehand_consent_service.category_keys import KekRing
from safehand_consent_service.grant_row import Grant, find
from safehand_consent_service.tables import ACTIVE, EXPIRED, FINAL_STATES, REVOKED
from safehand_consent_service.tables import grant as consent_grant

Cause = Literal["window", "destroy_now", "invalidated"]
EXPIRED_CAUSE: Final = "expired"
UNCONFIRMED_CAUSE: Final = "unconfirmed"
INVALIDATED_CAUSE: Final = "invalidated"
COERCION: Final = "coercion"
LISTS: Final = 1024
"""Lists of categories that are kept decoded: there are few different ones."""

_CLOSE: Final = Prepared(
    update(consent_grant)
    .where(consent_grant.c.grant_id == bindparam("wanted"))
    .values(
        state=bindparam("final"),
        final_at=null(),
        end_index=bindparam("index"),
        end_cause=bindparam("cause"),
    )
)


def require_hers(connection: Connection, grant_id: str, subject_id: str) -> Grant:
    """The row of one of her grants; NOT_FOUND for anybody else's, as for none at all."""
    row = find(connection, grant_id)
    if row is None or row.subject_id != subject_id:
        raise SafehandError(Reason.NOT_FOUND)
    return row


def categories(row: Grant) -> frozenset[str]:
    """The categories of the grant, CARD among them."""
    return _categories(row.categories)


@lru_cache(maxsize=LISTS)
def _categories(stored: str) -> frozenset[str]:
    return frozenset(json.loads(stored))


def ends_at(row: Grant) -> int:
    """When it ends by the clock: its term, or earlier what somebody still has to confirm."""
    return min(at for at in (row.expires_at, row.confirm_by, row.cosign_by) if at is not None)


def is_over(row: Grant, now: int) -> bool:
    """Whether nothing can make it live again: it is final, or its end has come."""
    return row.state in FINAL_STATES or now >= ends_at(row)


def is_live(row: Grant, now: int) -> bool:
    """Whether it is on: neither stopped nor over."""
    return row.state == ACTIVE and now < ends_at(row)


def require_live(row: Grant, now: int) -> None:
    """Raise CONSENT_ENDED unless sharing is on: one reason, whatever ended it."""
    if not is_live(row, now):
        raise SafehandError(Reason.CONSENT_ENDED)


def require_shareable(row: Grant, wanted: Collection[str], now: int) -> None:
    """Raise unless the categories ``wanted`` may go out under it now.

    CONSENT_ENDED where it is not live; CONSENT_UNCONFIRMED where a guardian has yet to sign, or
    where a sensitive category stands on one worker's word alone.
    """
    require_live(row, now)
    if row.cosign_by is not None:
        raise SafehandError(Reason.CONSENT_UNCONFIRMED, "a guardian has yet to sign")
    if row.confirm_by is not None and not row.seconded and not SENSITIVE.isdisjoint(wanted):
        raise SafehandError(Reason.CONSENT_UNCONFIRMED, "a sensitive category on one word")


def due_end(row: Grant, now: int) -> Kind | None:
    """How a grant that is not final ends by the clock, or None while it does not.

    When both deadlines have passed the earlier one counts; at the same second her own stop.
    """
    expired = ends_at(row) <= now
    if row.final_at is None or now < row.final_at:
        return Kind.EXPIRE if expired else None
    return Kind.EXPIRE if expired and ends_at(row) < row.final_at else Kind.REVOKE


def window_cause(row: Grant) -> Cause:
    """Why a stopped grant is revoked once its window is over: a consent under coercion was none."""
    return INVALIDATED_CAUSE if row.stop_why == COERCION else "window"


def revoke(txn: WriterTransaction, keks: KekRing, row: Grant, cause: Cause) -> Grant:
    """Make a stop final; ``row`` is stopped. Returns the grant as it is then.

    It tells nobody: everyone heard of the end when the stop was made.
    """
    index = grant_leaves.append(
        txn, row, Kind.REVOKE, {"cause": cause, "stop_index": row.stop_index or 0}
    )
    return _close(txn, keks, row, REVOKED, index, cause)


def expire(txn: WriterTransaction, keks: KekRing, row: Grant) -> Grant:
    """Note that the grant's time is over. Returns the grant as it is then."""
    end = ends_at(row)
    lapsed = end < row.expires_at
    fields: dict[str, Json] = {"expires_at": end}
    if lapsed:
        fields["cause"] = UNCONFIRMED_CAUSE
    index = grant_leaves.append(txn, row, Kind.EXPIRE, fields)
    if row.state == ACTIVE:
        events_out.ended(txn, row, txn.now)
    cause = UNCONFIRMED_CAUSE if lapsed else EXPIRED_CAUSE
    return _close(txn, keks, row, EXPIRED, index, cause)


def _close(
    txn: WriterTransaction, keks: KekRing, row: Grant, state: str, index: int, cause: str
) -> Grant:
    _CLOSE.run(txn.connection, wanted=row.grant_id, final=state, index=index, cause=cause)
    keks.delete_keys(txn.connection, row.grant_id)
    return row._replace(state=state, final_at=None, end_index=index, end_cause=cause)


__all__ = [
    "Cause",
    "Grant",
    "categories",
    "due_end",
    "ends_at",
    "expire",
    "find",
    "is_live",
    "is_over",
    "require_hers",
    "require_live",
    "require_shareable",
    "revoke",
    "window_cause",
]

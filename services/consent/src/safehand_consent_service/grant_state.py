"""Where a grant stands: the rules that decide it, and the one way in which it ends.

    active  -- STOP -->   stopped   (not at or after its end)
    stopped -- RESUME --> active    (within the window, not at or after its end)
    stopped -- REVOKE --> revoked   (after the window, or at once when she says so)
    active, stopped -- EXPIRE --> expired

Revoked and expired never reopen. What is live is decided by ``ledger_now`` inside the writer:
a grant whose end has passed is over although no EXPIRE is written yet.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_ledger.transaction import WriterTransaction
from sqlalchemy import Connection, Row, select, update

from safehand_consent_service import events_out, grant_leaves
from safehand_consent_service.category_keys import KekRing
from safehand_consent_service.tables import ACTIVE, EXPIRED, FINAL_STATES, REVOKED, STOPPED
from safehand_consent_service.tables import grant as consent_grant

Cause = Literal["window", "destroy_now"]


def find(connection: Connection, grant_id: str) -> Row[Any] | None:
    """The grant's row, or None."""
    return connection.execute(
        select(consent_grant).where(consent_grant.c.grant_id == grant_id)
    ).first()


def require_hers(connection: Connection, grant_id: str, subject_id: str) -> Row[Any]:
    """The row of one of her grants; NOT_FOUND for anybody else's, as for none at all."""
    row = find(connection, grant_id)
    if row is None or row.subject_id != subject_id:
        raise SafehandError(Reason.NOT_FOUND)
    return row


def categories(row: Row[Any]) -> frozenset[str]:
    """The categories of the grant, CARD among them."""
    return frozenset(json.loads(row.categories))


def is_over(row: Row[Any], now: int) -> bool:
    """Whether nothing can make it live again: it is final, or its end has come."""
    return bool(row.state in FINAL_STATES or now >= row.expires_at)


def is_live(row: Row[Any], now: int) -> bool:
    """Whether sharing is on."""
    return bool(row.state == ACTIVE and now < row.expires_at)


def require_live(row: Row[Any], now: int) -> None:
    """Raise CONSENT_ENDED unless sharing is on: one reason, whatever ended it."""
    if not is_live(row, now):
        raise SafehandError(Reason.CONSENT_ENDED)


def due_end(row: Row[Any], now: int) -> Kind | None:
    """How a grant that is not final ends by the clock, or None while it does not.

    When both deadlines have passed the earlier one counts; at the same second her own stop.
    """
    deadlines = [(row.expires_at, 1, Kind.EXPIRE)]
    if row.state == STOPPED:
        deadlines.append((row.final_at, 0, Kind.REVOKE))
    passed = sorted(deadline for deadline in deadlines if deadline[0] <= now)
    return passed[0][2] if passed else None


def revoke(txn: WriterTransaction, keks: KekRing, row: Row[Any], cause: Cause) -> int:
    """Make a stop final; ``row.stop_index`` is its STOP. Returns the index of the REVOKE leaf.

    It tells nobody: everyone heard of the end when the stop was made.
    """
    index = grant_leaves.append(
        txn, row, Kind.REVOKE, {"cause": cause, "stop_index": row.stop_index}
    )
    _close(txn, keks, row, REVOKED, index)
    return index


def expire(txn: WriterTransaction, keks: KekRing, row: Row[Any]) -> int:
    """Note that the grant's time is over. Returns the index of the EXPIRE leaf."""
    index = grant_leaves.append(txn, row, Kind.EXPIRE, {"expires_at": row.expires_at})
    _close(txn, keks, row, EXPIRED, index)
    if row.state == ACTIVE:
        events_out.ended(txn.connection, row, txn.now)
    return index


def _close(txn: WriterTransaction, keks: KekRing, row: Row[Any], state: str, index: int) -> None:
    txn.connection.execute(
        update(consent_grant)
        .where(consent_grant.c.grant_id == row.grant_id)
        .values(state=state, final_at=None, end_index=index)
    )
    keks.delete_keys(txn.connection, row.grant_id)

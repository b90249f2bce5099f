"""STOP and RESUME: the leaf, the grant's row, and the event, whoever made it.

A strong stop is her own. A weak one was made for her by somebody else: it stops as much, and
destroys nothing before its window is over (PROTOCOL rule 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_ledger.transaction import WriterTransaction
from safehand_store.prepared import Prepared
from sqlalchemy import bindparam, null, update

from safehand_consent_service import events_out, grant_leaves, grant_state
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.tables import ACTIVE, STOPPED
from safehand_consent_service.tables import grant as consent_grant

SELF: Final = "self"
WORKER: Final = "worker"
REPRESENTATIVE: Final = "representative"
STAFF: Final = "staff"

_WANTED: Final = update(consent_grant).where(consent_grant.c.grant_id == bindparam("wanted"))
_STOP: Final = Prepared(
    # ``counter``: the row is still the one whose STOP is numbered so.
    _WANTED.where(consent_grant.c.next_stop == bindparam("counter")).values(
        state=STOPPED,
        next_stop=consent_grant.c.next_stop + 1,
        stopped_at=bindparam("now"),
        final_at=bindparam("until"),
        stop_index=bindparam("index"),
        stop_by=bindparam("by"),
        stop_why=bindparam("why"),
    )
)
_RESUME: Final = Prepared(
    _WANTED.values(
        state=ACTIVE,
        stopped_at=null(),
        final_at=null(),
        stop_index=null(),
        stop_by=null(),
        stop_why=null(),
    )
)


@dataclass(frozen=True, slots=True)
class Heard:
    """Who recorded a wish of hers: a worker (opaque reference) of ``agency``, and how it came."""

    agency: str
    worker_ref: str
    channel: str

    def body(self) -> dict[str, Json]:
        return {"agency": self.agency, "worker_ref": self.worker_ref, "channel": self.channel}


def is_weakly_stopped(row: Grant, now: int) -> bool:
    """Whether somebody else's stop holds it, and its window is still open."""
    inside = row.final_at is not None and now < row.final_at
    return inside and row.stop_by != SELF and not grant_state.is_over(row, now)


def stop(
    txn: WriterTransaction,
    row: Grant,
    *,
    by: str,
    window_s: int,
    why: str | None = None,
    heard: Heard | None = None,
) -> Grant:
    """Append STOP to a grant that is live, or weakly stopped when it is her own; the grant then.

    ``window_s``: seconds in which it can be undone. Everybody hears of the end once: a second
    stop tells them nothing.
    """
    final_at = txn.now + window_s
    fields: dict[str, Json] = {
        "by": by,
        "strength": "strong" if by == SELF else "weak",
        "final_at": final_at,
    }
    if heard is not None:
        fields |= heard.body()
    if why is not None:
        fields["why"] = why
    index = grant_leaves.append(txn, row, Kind.STOP, fields, row.next_stop)
    changed = _STOP.run(
        txn.hot,
        wanted=row.grant_id,
        counter=row.next_stop,
        now=txn.now,
        until=final_at,
        index=index,
        by=by,
        why=why,
    )
    if changed != 1:
        raise SafehandError(Reason.INTERNAL, "the grant's row is not what it was")
    if row.state == ACTIVE:
        events_out.ended(txn, row, txn.now)
    return row._replace(
        state=STOPPED,
        stopped_at=txn.now,
        final_at=final_at,
        stop_index=index,
        stop_by=by,
        stop_why=why,
        next_stop=row.next_stop + 1,
    )


def resume(
    txn: WriterTransaction, row: Grant, *, by: str, staff: dict[str, Json] | None = None
) -> tuple[Grant, int]:
    """Append RESUME to a stopped grant; the grant as it is then, and the leaf's index."""
    index = grant_leaves.append(txn, row, Kind.RESUME, {"by": by, **(staff or {})})
    _RESUME.run(txn.hot, wanted=row.grant_id)
    events_out.resumed(txn, row, txn.now)
    now_live = row._replace(
        state=ACTIVE,
        stopped_at=None,
        final_at=None,
        stop_index=None,
        stop_by=None,
        stop_why=None,
    )
    return now_live, index

"""Leaves of a grant: tag and counter from its row, and the row that says whose leaf it is."""

from __future__ import annotations

from typing import Final

from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import COUNTED, Kind, grant_tag
from safehand_ledger.transaction import WriterTransaction
from safehand_store.later import ManyRows
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, select, update

from safehand_consent_service import slip_codes
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.tables import grant, grant_leaf

_NEXT: Final = {
    # Raises the kind's counter and returns what it is then: asked anew for every leaf, because
    # one operation may append the same kind twice.
    kind: Prepared(
        update(grant)
        .where(grant.c.grant_id == bindparam("wanted"))
        .values({column: column + 1})
        .returning(column)
    )
    for kind, column in (
        (Kind.NARROW, grant.c.next_narrow),
        (Kind.STOP, grant.c.next_stop),
        (Kind.RESUME, grant.c.next_resume),
        (Kind.REFER, grant.c.next_refer),
        (Kind.DISCLOSE, grant.c.next_disclose),
        (Kind.CONFIRM, grant.c.next_confirm),
    )
}
if _NEXT.keys() != COUNTED:
    raise AssertionError("every counted kind has a column")

MOST: Final[dict[Kind, int]] = {Kind.REFER: 500, Kind.DISCLOSE: 3000}
"""How many leaves agencies may cause under one grant: her receipt holds them all, 2.2 KB each in a
ledger of ten million, and an answer holds 8 MB. It leaves 1 MB for her own stops, which have no
limit. Sixteen looks a day for as long as a grant can run; a new grant begins anew."""

_ROWS: Final = ManyRows(grant_leaf, ("leaf_index", "grant_id", "kind"))


def append(
    txn: WriterTransaction,
    row: Grant,
    kind: Kind,
    fields: dict[str, Json],
    counter: int | None = None,
) -> int:
    """Append a leaf of ``kind`` to the grant ``row``; returns its index.

    ``fields`` is the body without ``kind``, ``grant``, ``counter`` and ``at``, which are filled in
    here. ``counter``: that of a kind which the caller raises itself, in a statement that fails
    where the row has another. Raises QUOTA_EXCEEDED for more of ``MOST`` than fit her receipt.
    """
    body: dict[str, Json] = {"kind": kind.name, "grant": row.grant_id, "at": txn.now, **fields}
    if kind in COUNTED:
        if counter is None:
            counter = _NEXT[kind].scalar(txn.hot, wanted=row.grant_id) - 1
        require_room(kind, counter)
        body["counter"] = counter
    index = txn.append(kind, grant_tag(kind, row.secret, counter or 0), body)
    note(txn, row.grant_id, index, kind)
    return index


def require_room(kind: Kind, so_far: int) -> None:
    """Raise QUOTA_EXCEEDED where a grant with ``so_far`` leaves of ``kind`` may have no more."""
    if so_far >= MOST.get(kind, so_far + 1):
        raise SafehandError(Reason.QUOTA_EXCEEDED, "under one consent; ask her for a new one")


def note(txn: WriterTransaction, grant_id: str, index: int, kind: Kind) -> None:
    """Write down that the leaf at ``index``, just appended, is the grant's, and its check code."""
    txn.later.add(_ROWS, index, grant_id, int(kind))
    slip_codes.note(txn, index, kind)


def indexes(connection: Connection, grant_id: str) -> list[int]:
    """Every leaf of the grant, in ledger order."""
    return list(
        connection.execute(
            select(grant_leaf.c.leaf_index)
            .where(grant_leaf.c.grant_id == grant_id)
            .order_by(grant_leaf.c.leaf_index)
        ).scalars()
    )

"""Leaves of a grant: tag and counter from its row, and the row that says whose leaf it is."""

from __future__ import annotations

from typing import Any, Final

from safehand_core.canonical import Json
from safehand_formats.kinds import COUNTED, Kind, grant_tag
from safehand_ledger.transaction import WriterTransaction
from sqlalchemy import Connection, Row, insert, select, update

from safehand_consent_service.tables import grant, grant_leaf

_NEXT: Final = {
    Kind.STOP: grant.c.next_stop,
    Kind.RESUME: grant.c.next_resume,
    Kind.REFER: grant.c.next_refer,
    Kind.DISCLOSE: grant.c.next_disclose,
}
assert _NEXT.keys() == COUNTED  # noqa: S101  a kind without a column cannot be appended


def append(txn: WriterTransaction, row: Row[Any], kind: Kind, fields: dict[str, Json]) -> int:
    """Append a leaf of ``kind`` to the grant ``row``; returns its index.

    ``fields`` is the body without ``kind``, ``grant``, ``counter`` and ``at``, which are filled in
    here. ``row`` was read in this transaction: its counters are the ones of this moment.
    """
    body: dict[str, Json] = {"kind": kind.name, "grant": row.grant_id, "at": txn.now, **fields}
    counter = 0
    column = _NEXT.get(kind)
    if column is not None:
        # Asked again: one operation may append the same kind twice.
        counter = txn.connection.execute(
            select(column).where(grant.c.grant_id == row.grant_id)
        ).scalar_one()
        body["counter"] = counter
        txn.connection.execute(
            update(grant).where(grant.c.grant_id == row.grant_id).values({column.name: counter + 1})
        )
    index = txn.append(kind, grant_tag(kind, row.secret, counter), body)
    note(txn.connection, row.grant_id, index, kind)
    return index


def note(connection: Connection, grant_id: str, index: int, kind: Kind) -> None:
    """Write down that the leaf at ``index`` is the grant's."""
    connection.execute(
        insert(grant_leaf).values(leaf_index=index, grant_id=grant_id, kind=int(kind))
    )


def indexes(connection: Connection, grant_id: str) -> list[int]:
    """Every leaf of the grant, in ledger order."""
    return list(
        connection.execute(
            select(grant_leaf.c.leaf_index)
            .where(grant_leaf.c.grant_id == grant_id)
            .order_by(grant_leaf.c.leaf_index)
        ).scalars()
    )

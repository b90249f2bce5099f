"""Reading the ledger's tables: the head, leaves, openings, and proofs from stored subtrees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.bodies import decode_body
from safehand_formats.kinds import Kind
from safehand_formats.merkle import NodeAt
from safehand_formats.opening import Opening
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, select

from safehand_ledger.tables import HEAD_ID, TABLES

_LEAF, _OPENING, _NODE, _HEAD = TABLES.leaf.c, TABLES.opening.c, TABLES.node.c, TABLES.head.c
_SELECT_HEAD: Final = select(_HEAD.size, _HEAD.root, _HEAD.note, _HEAD.ledger_time).where(
    _HEAD.id == HEAD_ID
)
_SELECT_LEAF: Final = select(_LEAF.leaf).where(_LEAF.index == bindparam("at"))
_SELECT_LEAVES: Final = (
    select(_LEAF.index, _LEAF.leaf)
    .where(_LEAF.index >= bindparam("first"))
    .order_by(_LEAF.index)
    .limit(bindparam("count"))
)
_SELECT_OPENING: Final = select(_OPENING.kind, _OPENING.salt, _OPENING.body).where(
    _OPENING.index == bindparam("at")
)
_SELECT_NODE: Final = Prepared(
    select(_NODE.hash).where(_NODE.level == bindparam("level"), _NODE.index == bindparam("at"))
)


@dataclass(frozen=True, slots=True)
class Head:
    """The signed tree head. ``root`` is 32 bytes, ``note`` the signed checkpoint,
    ``ledger_time`` in seconds since the epoch."""

    size: int
    root: bytes
    note: str
    ledger_time: int


def head(connection: Connection) -> Head | None:
    """The head row, or None before the writer's first start."""
    row = connection.execute(_SELECT_HEAD).first()
    return None if row is None else Head(row.size, row.root, row.note, row.ledger_time)


def require_head(connection: Connection) -> Head:
    """The head row; raises UNAVAILABLE before the writer's first start."""
    found = head(connection)
    if found is None:
        raise SafehandError(Reason.UNAVAILABLE, "the ledger has not been started yet")
    return found


def leaf(connection: Connection, index: int) -> bytes:
    """The 104 bytes at ``index``; raises NOT_FOUND."""
    found: bytes | None = connection.execute(_SELECT_LEAF, {"at": index}).scalar_one_or_none()
    if found is None:
        raise SafehandError(Reason.NOT_FOUND, "the ledger has no such entry")
    return found


def leaves(connection: Connection, first: int, count: int) -> list[tuple[int, bytes]]:
    """Up to ``count`` leaves from index ``first`` on, as ``(index, leaf)``."""
    rows = connection.execute(_SELECT_LEAVES, {"first": first, "count": count})
    return [(index, leaf) for index, leaf in rows]


def opening(connection: Connection, index: int) -> Opening | None:
    """The opening of the leaf at ``index``, or None when it was forgotten.

    Raises LEDGER_CORRUPT when what is stored is no body of its kind.
    """
    row = connection.execute(_SELECT_OPENING, {"at": index}).first()
    if row is None:
        return None
    try:
        kind = Kind(row.kind)
        return Opening(index, kind, row.salt, decode_body(kind, row.body))
    except (SafehandError, ValueError) as error:
        raise SafehandError(Reason.LEDGER_CORRUPT, "a stored body is damaged") from error


def nodes(connection: Connection) -> NodeAt:
    """The stored complete subtrees; asking for one that is missing raises LEDGER_CORRUPT.

    A proof asks for up to 63 by their key, each on the driver's connection: 4 us instead of 60,
    and no longer list that the planner would answer by reading the whole table.
    """
    ask = _SELECT_NODE.in_order(connection, "level", "at")

    def node(level: int, index: int) -> bytes:
        row = ask(level, index).fetchone()
        if row is None:
            raise SafehandError(Reason.LEDGER_CORRUPT, "a subtree is missing")
        value: bytes = row[0]
        return value

    return node

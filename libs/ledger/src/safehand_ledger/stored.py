"""Reading the ledger's tables: the head, leaves, openings, and proofs from stored subtrees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import merkle
from safehand_formats.bodies import decode_body
from safehand_formats.kinds import Kind
from safehand_formats.merkle import NodeAt
from safehand_formats.opening import Opening
from sqlalchemy import Connection, bindparam, select, tuple_

from safehand_ledger.tables import HEAD_ID, TABLES

T = TypeVar("T")

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
_SELECT_NODES: Final = select(_NODE.level, _NODE.index, _NODE.hash).where(
    tuple_(_NODE.level, _NODE.index).in_(bindparam("wanted", expanding=True))
)
_NO_HASH: Final = bytes(merkle.HASH_BYTES)


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


def with_nodes(connection: Connection, build: Callable[[NodeAt], T]) -> T:
    """``build`` with the stored subtrees it asks for, all read by one statement.

    It is called twice: first to learn which it wants, then with their hashes. Raises
    LEDGER_CORRUPT when one is missing.
    """
    wanted: dict[tuple[int, int], None] = {}

    def note_down(level: int, index: int) -> bytes:
        wanted[(level, index)] = None
        return _NO_HASH

    def give(level: int, index: int) -> bytes:
        try:
            return found[(level, index)]
        except KeyError as error:
            raise SafehandError(Reason.LEDGER_CORRUPT, "a subtree is missing") from error

    build(note_down)
    found: dict[tuple[int, int], bytes] = {}
    if wanted:
        rows = connection.execute(_SELECT_NODES, {"wanted": list(wanted)})
        found = {(level, index): value for level, index, value in rows}
    return build(give)

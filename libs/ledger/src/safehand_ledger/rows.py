"""The writer's own statements, compiled once and run on the driver's cursor.

SQLAlchemy's execution layer costs about 60 us a statement, and a serial append runs four: as
much as the fsync it waits for (measured serially: 0.8 ms became 0.5 ms). A whole batch takes few
more. Operations of the service use the ordinary connection, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from safehand_store.engine import Driver
from safehand_store.later import ManyRows
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, update

from safehand_ledger.stored import Head
from safehand_ledger.tables import HEAD_ID, TABLES
from safehand_ledger.transaction import Entry

_HEAD = TABLES.head

_LEAF: Final = ManyRows(TABLES.leaf, ("index", "leaf"))
_OPENING: Final = ManyRows(TABLES.opening, ("index", "kind", "salt", "body"))
_NODE: Final = ManyRows(TABLES.node, ("level", "index", "hash"))
_SWAP: Final = Prepared(
    update(_HEAD)
    .where(
        _HEAD.c.id == bindparam("only"),
        _HEAD.c.size == bindparam("old_size"),
        _HEAD.c.root == bindparam("old_root"),
    )
    .values(
        size=bindparam("new_size"),
        root=bindparam("new_root"),
        note=bindparam("new_note"),
        ledger_time=bindparam("new_time"),
    )
)


class HeadMovedError(Exception):
    """The head row is not the one this writer left: another writer was here."""


def insert_entries(
    connection: Connection, entries: Sequence[Entry], nodes: Sequence[tuple[int, int, bytes]]
) -> None:
    """Leaves, openings and the subtrees that they complete, ``(level, index, hash)``."""
    _LEAF.insert(connection, [(e.opening.index, e.leaf) for e in entries])
    _OPENING.insert(
        connection,
        [(e.opening.index, int(e.opening.kind), e.opening.salt, e.body) for e in entries],
    )
    _NODE.insert(connection, nodes)


def swap_head(connection: Connection, old: Head, new: Head) -> None:
    """Compare-and-swap of the head row; raises HeadMovedError when ``old`` is not there."""
    changed = _SWAP.run(
        connection,
        only=HEAD_ID,
        old_size=old.size,
        old_root=old.root,
        new_size=new.size,
        new_root=new.root,
        new_note=new.note,
        new_time=new.ledger_time,
    )
    if changed != 1:
        raise HeadMovedError


@contextmanager
def savepoint(raw: Driver) -> Iterator[None]:
    """What happens inside is undone when it raises, and nothing else.

    Raises the driver's error when the whole transaction is over (a full disk does that to SQLite).
    """
    raw.execute("SAVEPOINT ledger_operation")
    try:
        yield
    except BaseException:
        raw.execute("ROLLBACK TO SAVEPOINT ledger_operation")
        raw.execute("RELEASE SAVEPOINT ledger_operation")
        raise
    raw.execute("RELEASE SAVEPOINT ledger_operation")

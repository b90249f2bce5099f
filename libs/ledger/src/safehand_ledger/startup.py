"""What the writer checks before its first operation. It refuses to start rather than fork."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import merkle
from safehand_formats.checkpoint import Checkpoint, open_checkpoint
from safehand_formats.merkle import EMPTY_ROOT, Frontier
from safehand_formats.note import NoteSigner, NoteVerifier
from safehand_store import guard
from safehand_store.engine import begin_write, database_errors, is_postgres
from sqlalchemy import Connection, Engine, func, insert, select

from safehand_ledger import anchor, stored
from safehand_ledger.stored import Head
from safehand_ledger.tables import HEAD_ID, TABLES

_COUNTS: Final = select(
    select(func.max(TABLES.leaf.c.index)).scalar_subquery(),
    select(func.max(TABLES.opening.c.index)).scalar_subquery(),
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The ledger as it was left; its anchor file exists."""

    head: Head
    frontier: Frontier


def load(engine: Engine, signer: NoteSigner, wall: int, anchor_path: Path) -> Loaded:
    """Load the head and the right edge, and check them.

    A ledger without a head row gets its first one, of size 0, at ``wall`` (seconds since the
    epoch). Raises LEDGER_ROLLED_BACK when the anchor has seen more or something else,
    LEDGER_CORRUPT when the tables do not agree with the signed head.
    """
    try:
        with begin_write(engine) as connection:
            guard.require_append_only(connection, TABLES.leaf)
            guard.require_append_only(connection, TABLES.node)
            head = stored.head(connection) or _first_head(connection, signer, wall)
            frontier = _right_edge(connection, head, signer.verifier)
            anchored = check_anchor(connection, head, anchor_path, signer.verifier)
            # A writer before this one may live on, frozen: what it has open is no anchor any more.
            # On SQLite its lock ended with it, and a start needs no room on the anchor's disk.
            if anchored < 0 or is_postgres(engine):
                anchor.create(anchor_path, head.note)
    except database_errors() as error:
        raise SafehandError(Reason.LEDGER_CORRUPT, "the tables cannot be read") from error
    except OSError as error:
        raise SafehandError(Reason.CONFIG_INVALID, "the anchor file cannot be made") from error
    return Loaded(head, frontier)


def check_anchor(connection: Connection, head: Head, path: Path, verifier: NoteVerifier) -> int:
    """The anchored size, once the ledger is found to be its continuation; -1 for no file.

    A ledger that has entries must have an anchor: an absent one may be a volume that is not
    mounted, and says nothing about what was shown.
    """
    seen = anchor.read(path, verifier)
    if seen is None:
        if head.size:
            raise SafehandError(Reason.LEDGER_ROLLED_BACK, "the anchor file is missing")
        return -1
    if seen.size > head.size:
        raise SafehandError(Reason.LEDGER_ROLLED_BACK, "the anchor has seen more entries")
    root = merkle.root_at(seen.size, stored.nodes(connection))
    if root != seen.root:
        raise SafehandError(Reason.LEDGER_ROLLED_BACK, "the anchor has seen other entries")
    return seen.size


def _first_head(connection: Connection, signer: NoteSigner, wall: int) -> Head:
    if any(value is not None for value in connection.execute(_COUNTS).one()):
        raise SafehandError(Reason.LEDGER_CORRUPT, "there are entries without a head")
    head = Head(0, EMPTY_ROOT, Checkpoint(signer.name, 0, EMPTY_ROOT).sign(signer), wall)
    connection.execute(
        insert(TABLES.head),
        {
            "id": HEAD_ID,
            "size": head.size,
            "root": head.root,
            "note": head.note,
            "ledger_time": head.ledger_time,
        },
    )
    return head


def _right_edge(connection: Connection, head: Head, verifier: NoteVerifier) -> Frontier:
    try:
        checkpoint = open_checkpoint(head.note, verifier)
    except SafehandError as error:
        raise SafehandError(
            Reason.LEDGER_CORRUPT, "the head is not signed by this ledger's key"
        ) from error
    last, last_opening = connection.execute(_COUNTS).one()
    _require(checkpoint.size == head.size and checkpoint.root == head.root, "the head's row")
    _require((-1 if last is None else last) == head.size - 1, "the number of entries")
    _require((-1 if last_opening is None else last_opening) < head.size, "an opening")

    node = stored.nodes(connection)
    hashes = [node(level, index) for level, index in merkle.frontier_nodes(head.size)]
    frontier = Frontier(head.size, hashes)
    _require(frontier.root() == head.root, "the right edge")
    if head.size:
        leaf = stored.leaf(connection, last)
        path = merkle.inclusion_proof(last, head.size, node)
        try:
            merkle.verify_inclusion(merkle.leaf_hash(leaf), last, head.size, path, head.root)
        except SafehandError as error:
            raise SafehandError(Reason.LEDGER_CORRUPT, "the last entry") from error
    return frontier


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise SafehandError(Reason.LEDGER_CORRUPT, what)

"""The ledger's four tables, inside its service's own database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from safehand_store import guard
from safehand_store.columns import Whole
from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

HEAD_ID: Final = 1
"""The head table has one row."""


@dataclass(frozen=True, slots=True)
class LedgerTables:
    """``leaf`` and ``node`` only grow; ``opening`` can be forgotten; ``head`` is one row."""

    leaf: Table
    opening: Table
    node: Table
    head: Table


def define(metadata: MetaData) -> LedgerTables:
    """The tables in ``metadata``, with their append-only triggers.

    - ``ledger_leaf(index, leaf)``: the 104 bytes, index from 0 without gaps.
    - ``ledger_opening(index, kind, salt, body)``: the salt and the canonical bytes of the body.
    - ``ledger_node(level, index, hash)``: every complete subtree; level 0 are the leaf hashes.
    - ``ledger_head(id, size, root, note, ledger_time)``: the signed head, and the largest time
      (seconds since the epoch) that the ledger has acted on.
    """
    leaf = Table(
        "ledger_leaf",
        metadata,
        Column("index", Whole, primary_key=True, autoincrement=False),
        Column("leaf", LargeBinary, CheckConstraint("length(leaf) = 104"), nullable=False),
        sqlite_strict=True,
    )
    opening = Table(
        "ledger_opening",
        metadata,
        Column("index", Whole, primary_key=True, autoincrement=False),
        Column("kind", Whole, nullable=False),
        Column("salt", LargeBinary, CheckConstraint("length(salt) = 32"), nullable=False),
        Column("body", LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    node = Table(
        "ledger_node",
        metadata,
        Column("level", Whole, primary_key=True, autoincrement=False),
        Column("index", Whole, primary_key=True, autoincrement=False),
        Column("hash", LargeBinary, CheckConstraint("length(hash) = 32"), nullable=False),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
    head = Table(
        "ledger_head",
        metadata,
        Column("id", Whole, CheckConstraint("id = 1"), primary_key=True),
        Column("size", Whole, nullable=False),
        Column("root", LargeBinary, nullable=False),
        Column("note", Text, nullable=False),
        Column("ledger_time", Whole, nullable=False),
        sqlite_strict=True,
    )
    guard.append_only(leaf)
    guard.append_only(node)
    return LedgerTables(leaf, opening, node, head)


TABLES: Final = define(MetaData())
"""For statements: the same names in whatever metadata the service defined them."""


def create(connection: Connection) -> None:
    """Create the four tables and their triggers (a service's first migration calls this)."""
    TABLES.leaf.metadata.create_all(connection, checkfirst=False)

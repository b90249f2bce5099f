"""Everything that notify stores: deliveries by agency, and how far it has read each source."""

from __future__ import annotations

from typing import Final

from safehand_bus import dead_letter
from safehand_store import inbox
from sqlalchemy import Column, Integer, MetaData, Table, Text, UniqueConstraint

METADATA: Final = MetaData()

DELIVERY: Final = Table(
    "delivery",
    METADATA,
    Column("agency", Text, primary_key=True),
    Column("cursor", Integer, primary_key=True),
    Column("source", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("type", Integer, nullable=False),
    Column("time", Integer, nullable=False),
    Column("resource", Text, nullable=False),
    UniqueConstraint("source", "sequence", "agency", name="delivery_once"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""One event for one agency, at its place in that agency's own order (from 1, without gaps)."""

DELIVERY_HEAD: Final = Table(
    "delivery_head",
    METADATA,
    Column("agency", Text, primary_key=True),
    Column("cursor", Integer, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""The last cursor of each agency, raised in the transaction of the delivery."""

inbox.define(METADATA)
dead_letter.define(METADATA)

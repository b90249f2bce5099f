"""Everything that notify stores: deliveries by agency, and how far it has read each source."""

from __future__ import annotations

from typing import Final

from safehand_bus import dead_letter
from safehand_store import inbox
from safehand_store.columns import Whole
from sqlalchemy import Column, Index, MetaData, Table, Text, UniqueConstraint

METADATA: Final = MetaData()

DELIVERY: Final = Table(
    "delivery",
    METADATA,
    Column("agency", Text, primary_key=True),
    Column("cursor", Whole, primary_key=True),
    Column("source", Text, nullable=False),
    Column("sequence", Whole, nullable=False),
    Column("type", Whole, nullable=False),
    Column("time", Whole, nullable=False),
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
    Column("cursor", Whole, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""The last cursor of each agency, raised in the transaction of the delivery."""

ACKNOWLEDGED: Final = Table(
    "acknowledged",
    METADATA,
    Column("agency", Text, primary_key=True),
    Column("cursor", Whole, nullable=False),
    Column("at", Whole, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""Up to which cursor an agency says that it has dealt with its deliveries, and since when."""

STOP_WAITING: Final = Table(
    "stop_waiting",
    METADATA,
    Column("agency", Text, primary_key=True),
    Column("cursor", Whole, primary_key=True),
    Column("time", Whole, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""Stops that were delivered and not acknowledged. A row goes with its acknowledgement, so that the
oldest is found without reading history."""
Index("stop_waiting_time", STOP_WAITING.c.time)

inbox.define(METADATA)
dead_letter.define(METADATA)

"""What was on a stream and is no event: noted once, then never asked for again.

The message itself stays on the stream, where an operator can read it by its place. Its bytes are
not copied: nobody knows what they are.
"""

from __future__ import annotations

import hashlib
from typing import Final

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    func,
    insert,
    select,
)

TABLE_NAME: Final = "dead_letter"


def define(metadata: MetaData) -> Table:
    """The table, for a service's own metadata; the functions below use it by its name."""
    return Table(
        TABLE_NAME,
        metadata,
        Column("id", Integer, primary_key=True),
        Column("stream", Text, nullable=False),
        Column("stream_sequence", Integer, nullable=False),
        Column("code", Text, nullable=False),
        Column("size", Integer, nullable=False),
        Column("sha256", LargeBinary, nullable=False),
        sqlite_strict=True,
    )


_T: Final = define(MetaData())


def add(
    connection: Connection, *, stream: str, stream_sequence: int, code: str, data: bytes
) -> None:
    """Note a message that is no event; ``code``: ``BadMessageError.code``."""
    connection.execute(
        insert(_T),
        {
            "stream": stream,
            "stream_sequence": stream_sequence,
            "code": code,
            "size": len(data),
            "sha256": hashlib.sha256(data).digest(),
        },
    )


def count(connection: Connection) -> int:
    """How many there are."""
    return int(connection.execute(select(func.count()).select_from(_T)).scalar_one())

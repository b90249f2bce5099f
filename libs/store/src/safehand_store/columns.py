"""Column types that mean the same on every engine.

What is portable, for whoever adds a table or a query:

- Whole numbers are ``Whole``, never ``Integer``: 64 bits everywhere (times to the year 9999, byte
  counts). Text, ``LargeBinary`` and ``Whole`` are all there is; flags are 0 and 1.
- No NUL character in text: PostgreSQL has none. The RPC layer refuses it before.
- ``length(blob) = 32`` counts bytes on both. Text sorts by code point on both (the database's
  collation is C), so that pages and comparisons agree.
- ``INSERT … ON CONFLICT (key) DO UPDATE`` and ``RETURNING`` are the same SQL on both: write them
  as ``prepared.Written``. No ``INSERT OR …``, ``PRAGMA``, ``rowid``, ``GLOB``; ``LIKE`` only over
  columns that are case folded already.
- An error inside a transaction ends it on PostgreSQL: never catch one and go on, ask before.
- ``func.sum`` over whole numbers is a Decimal on PostgreSQL: wrap it in ``cast(…, Whole)``.
- ``begin_write`` excludes every other ``begin_write`` on the same database, on both engines;
  ``begin_read`` is one snapshot on both.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Integer
from sqlalchemy.types import TypeEngine

Whole: Final[TypeEngine[int]] = BigInteger().with_variant(Integer(), "sqlite")
"""A signed 64-bit number. SQLite's INTEGER is one already, and STRICT tables know no BIGINT."""

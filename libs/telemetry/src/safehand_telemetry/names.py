"""Names of spans and attributes, and the closed lists of their values. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

METHOD: Final = "rpc.method"
STATUS: Final = "rpc.status"
REASON: Final = "safehand.reason"
ROLE: Final = "safehand.role"
TYPE: Final = "messaging.type"
ATTEMPT: Final = "messaging.attempt"
DATABASE: Final = "db.operation"
LANE: Final = "ledger.lane"
SERVICE: Final = "service.name"
PROCESS: Final = "safehand.process"

ROLES: Final = frozenset({"agency", "service", "operator", "oversight", "unknown"})
"""Kinds of callers: never which one. How often one agency asks is itself about people."""

PUBLISH: Final = "publish"
APPLY: Final = "apply"
BUS_WORK: Final = frozenset({PUBLISH, APPLY})
"""A span of the bus is called ``<work> <type>``."""
BUS_TYPE: Final = r"safehand\.v1\.[a-z]{1,20}\.[a-z_]{1,40}"
"""An event's type: a word of our own schema (DESIGN 4)."""

READ: Final = "read"
WRITE: Final = "write"
DATABASE_WORK: Final = frozenset({READ, WRITE})
"""What a database transaction does; never which statement, table or row."""
SQL_READ: Final = "sql read"
SQL_WRITE: Final = "sql write"

STOP_LANE: Final = "stop"
OTHER_LANE: Final = "other"
LANES: Final = frozenset({STOP_LANE, OTHER_LANE})
LEDGER: Final = "ledger append"

PAGES: Final = frozenset(
    {"start", "in", "home", "list", "steps", "seen", "lang", "find", "info", "file", "other"}
)
"""Her pages, by the first word of their path. Leaving is none of them: nobody counts who leaves."""

PAGE: Final = "page"
"""A span of the portal is called ``page <page>``."""

FIXED: Final = frozenset({SQL_READ, SQL_WRITE, LEDGER, *(f"{PAGE} {page}" for page in PAGES)})

_methods: frozenset[str] = frozenset()


def serve(paths: Iterable[str]) -> None:
    """Name the methods that this process serves: no other is ever the name of a span."""
    global _methods
    _methods |= frozenset(paths)


def served() -> frozenset[str]:
    """The methods that ``serve`` named."""
    return _methods

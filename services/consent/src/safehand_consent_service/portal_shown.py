"""What of hers is shown: everything but what she marked, and what hangs on that.

Every page begins here, so that nothing hidden is in a list, a count, a date or the end of a page:
what is marked is left out before anything else is asked. With a sharing go its looks, its steps and
the question that it answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, select

from safehand_consent_service.ask_row import Ask
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.portal_numbers import ASK, GRANT, LOOK, Kind
from safehand_consent_service.tables import agency
from safehand_consent_service.tables import grant as consent_grant
from safehand_consent_service.tables_asks import ask as ask_table
from safehand_consent_service.tables_portal import hidden_item

LOOKED, REFUSED = "l", "r"
"""Where a look is kept: its ledger entry, or a row. Its id is one of these, a dot and a number."""

_HIDDEN: Final = Prepared(
    select(hidden_item.c.kind, hidden_item.c.item_id).where(
        hidden_item.c.subject_id == bindparam("subject")
    )
)
_GRANTS: Final = Prepared(
    select(consent_grant)
    .where(consent_grant.c.subject_id == bindparam("subject"))
    .order_by(consent_grant.c.grant_index.desc())
)
_ASKS: Final = Prepared(
    select(ask_table)
    .where(ask_table.c.subject_id == bindparam("subject"))
    .order_by(ask_table.c.asked_at.desc(), ask_table.c.ask_id.desc())
)
_ALL_IDS: Final = Prepared(
    select(consent_grant.c.grant_id).where(consent_grant.c.subject_id == bindparam("subject"))
)
_HIDDEN_GRANT: Final = (
    select(hidden_item.c.item_id)
    .where(
        hidden_item.c.subject_id == bindparam("subject"),
        hidden_item.c.kind == GRANT,
        hidden_item.c.item_id == consent_grant.c.grant_id,
    )
    .exists()
)
_SHOWN_IDS: Final = Prepared(
    select(consent_grant.c.grant_id).where(
        consent_grant.c.subject_id == bindparam("subject"), ~_HIDDEN_GRANT
    )
)


@dataclass(frozen=True, slots=True)
class Hidden:
    """What she marked: ``(kind, item)``."""

    items: frozenset[tuple[str, str]]

    def has(self, kind: Kind, item: str) -> bool:
        return (kind, item) in self.items

    def looks(self, source: str) -> list[int]:
        """Ledger indexes (``LOOKED``) or row numbers (``REFUSED``) of hidden looks."""
        prefix = source + "."
        return [
            int(item.removeprefix(prefix))
            for kind, item in self.items
            if kind == LOOK and item.startswith(prefix)
        ]


def look_id(source: str, number: int) -> str:
    return f"{source}.{number}"


def hidden(connection: Connection, subject_id: str) -> Hidden:
    """What she marked, in one statement."""
    rows = _HIDDEN.all(connection, subject=subject_id)
    return Hidden(frozenset((row.kind, row.item_id) for row in rows))


def all_grants(connection: Connection, subject_id: str) -> list[Grant]:
    """Every grant of hers, newest first, hidden or not."""
    return [Grant._make(row) for row in _GRANTS.all(connection, subject=subject_id)]


def all_asks(connection: Connection, subject_id: str) -> list[Ask]:
    """Every question to her, newest first, hidden or not."""
    return [Ask._make(row) for row in _ASKS.all(connection, subject=subject_id)]


def grants(connection: Connection, subject_id: str, marked: Hidden) -> list[Grant]:
    """Her grants that are shown, newest first."""
    return [
        row for row in all_grants(connection, subject_id) if not marked.has(GRANT, row.grant_id)
    ]


def grant_ids(connection: Connection, subject_id: str) -> list[str]:
    """The ids of ``grants``, in one statement."""
    return [row.grant_id for row in _SHOWN_IDS.all(connection, subject=subject_id)]


def all_grant_ids(connection: Connection, subject_id: str) -> list[str]:
    """The ids of ``all_grants``, in one statement: her stop waits for it."""
    return [row.grant_id for row in _ALL_IDS.all(connection, subject=subject_id)]


def asks(connection: Connection, subject_id: str, marked: Hidden) -> list[Ask]:
    """Questions to her that are shown, newest first."""
    return [row for row in all_asks(connection, subject_id) if not is_ask_hidden(row, marked)]


def is_ask_hidden(row: Ask, marked: Hidden) -> bool:
    """Whether it is marked, or what she gave as its answer is."""
    given = row.grant_id is not None and marked.has(GRANT, row.grant_id)
    return given or marked.has(ASK, row.ask_id)


def names(connection: Connection, agencies: Iterable[str]) -> dict[str, str]:
    """Agency → its name as she reads it."""
    statement = select(agency.c.agency, agency.c.display_name).where(
        agency.c.agency.in_(sorted(set(agencies)))
    )
    return {row.agency: row.display_name for row in connection.execute(statement)}

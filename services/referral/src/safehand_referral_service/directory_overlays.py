"""What a service may receive: CARD alone unless an operator said more.

This is laid over the directory and outlives every import. Every function works in the caller's
transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from safehand_core import words as vocabulary
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, delete, insert, select

from safehand_referral_service.directory_tables import TABLES

_SERVICE: Final = Prepared(
    select(TABLES.service.c.id).where(TABLES.service.c.id == bindparam("wanted"))
)
_NEEDS: Final = Prepared(
    select(TABLES.service_needs.c.category).where(
        TABLES.service_needs.c.service_id == bindparam("wanted")
    )
)


def get_service_needs(conn: Connection, service_id: str) -> tuple[str, ...]:
    """The categories that the service may receive, in the order of ``words.CATEGORIES``.

    CARD alone unless an operator said more. Raises NOT_FOUND for an unknown service.
    """
    require_service(conn, service_id)
    rows = _NEEDS.all(conn, wanted=service_id)
    return _in_order({vocabulary.CARD, *(row.category for row in rows)})


def service_needs_of(conn: Connection, service_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """For each of ``service_ids`` (known or not) the categories that it may receive."""
    needs = TABLES.service_needs
    chosen: dict[str, set[str]] = {service_id: {vocabulary.CARD} for service_id in service_ids}
    for row in conn.execute(select(needs).where(needs.c.service_id.in_(service_ids))):
        chosen[row.service_id].add(row.category)
    return {service_id: _in_order(categories) for service_id, categories in chosen.items()}


def _in_order(categories: Collection[str]) -> tuple[str, ...]:
    return tuple(category for category in vocabulary.CATEGORIES if category in categories)


def set_service_needs(
    conn: Connection, service_id: str, categories: Iterable[str]
) -> tuple[str, ...]:
    """Replace what the service may receive; CARD is always contained. Returns what holds now.

    Raises NOT_FOUND for an unknown service, MALFORMED for an unknown category.
    """
    require_service(conn, service_id)
    chosen = {vocabulary.CARD, *categories}
    if not chosen <= vocabulary.CATEGORIES.keys():
        raise SafehandError(
            Reason.MALFORMED, "an unknown category", metadata={"field": "categories"}
        )
    needs = TABLES.service_needs
    conn.execute(delete(needs).where(needs.c.service_id == service_id))
    conn.execute(insert(needs), [{"service_id": service_id, "category": c} for c in sorted(chosen)])
    return get_service_needs(conn, service_id)


def require_service(conn: Connection, service_id: str) -> None:
    """Raise NOT_FOUND for a service that the directory does not list."""
    if _SERVICE.scalar(conn, wanted=service_id) is None:
        raise SafehandError(Reason.NOT_FOUND, "no such service")

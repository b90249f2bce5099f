"""What she may choose from, and the lists of grants: hers, and those of a releasing agency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, select

from safehand_consent_service import protocols
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.tables import agency, subject_ref
from safehand_consent_service.tables import grant as consent_grant


@dataclass(frozen=True, slots=True)
class Option:
    """An agency that could receive something from one that knows her, under one protocol."""

    releasing: str
    releasing_name: str
    recipient: str
    recipient_name: str
    purposes: tuple[str, ...]
    categories: tuple[str, ...]


def options(connection: Connection, subject_id: str, now: int) -> list[Option]:
    """By recipient's name. One option per live protocol: two cover no more than each of them."""
    known = connection.execute(
        select(agency.c.agency, agency.c.display_name)
        .join(subject_ref, subject_ref.c.agency == agency.c.agency)
        .where(subject_ref.c.subject_id == subject_id)
    ).all()
    found: set[Option] = set()
    for releasing, releasing_name in known:
        for filed in protocols.live_of(connection, releasing, now):
            recipient = filed.other(releasing)
            found.add(
                Option(
                    releasing=releasing,
                    releasing_name=releasing_name,
                    recipient=recipient,
                    recipient_name=name_of(connection, recipient),
                    purposes=filed.protocol.purposes,
                    categories=filed.protocol.categories,
                )
            )
    return sorted(
        found,
        key=lambda o: (o.recipient_name, o.recipient, o.releasing, o.purposes, o.categories),
    )


def name_of(connection: Connection, agency_id: str) -> str:
    """The agency's name as she reads it; empty where it is not enrolled."""
    statement = select(agency.c.display_name).where(agency.c.agency == agency_id)
    return connection.execute(statement).scalar() or ""


def of_subject(
    connection: Connection, subject_id: str, behind: int | None, limit: int
) -> list[Grant]:
    """Her grants, newest first: at most ``limit`` behind the grant index ``behind``."""
    statement = select(consent_grant).where(consent_grant.c.subject_id == subject_id)
    rows = connection.execute(_page(statement, behind, limit))
    return [Grant._make(row) for row in rows]


def of_agency(
    connection: Connection, releasing: str, reference: str | None, behind: int | None, limit: int
) -> list[tuple[Grant, str]]:
    """Grants that ``releasing`` may send under, with its own ``subject_ref``, newest first."""
    hers = (subject_ref.c.subject_id == consent_grant.c.subject_id) & (
        subject_ref.c.agency == consent_grant.c.releasing
    )
    statement = (
        select(subject_ref.c.subject_ref, consent_grant)
        .join(consent_grant, hers)
        .where(consent_grant.c.releasing == releasing)
    )
    if reference is not None:
        statement = statement.where(subject_ref.c.subject_ref == reference)
    rows = connection.execute(_page(statement, behind, limit))
    return [(Grant._make(row[1:]), row[0]) for row in rows]


def _page(statement: Select[Any], behind: int | None, limit: int) -> Select[Any]:
    if behind is not None:
        statement = statement.where(consent_grant.c.grant_index < behind)
    return statement.order_by(consent_grant.c.grant_index.desc()).limit(limit)

"""What she may choose from, and the lists of grants: hers, and those of a releasing agency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, select

from safehand_consent_service import protocols
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
) -> list[Row[Any]]:
    """Her grants, newest first: at most ``limit`` behind the grant index ``behind``."""
    return _page(
        connection, select(consent_grant), consent_grant.c.subject_id == subject_id, behind, limit
    )


def of_agency(
    connection: Connection, releasing: str, reference: str | None, behind: int | None, limit: int
) -> list[Row[Any]]:
    """Grants that ``releasing`` may send under, with its own ``subject_ref``, newest first."""
    statement = select(consent_grant, subject_ref.c.subject_ref).join(
        subject_ref,
        (subject_ref.c.subject_id == consent_grant.c.subject_id)
        & (subject_ref.c.agency == consent_grant.c.releasing),
    )
    if reference is not None:
        statement = statement.where(subject_ref.c.subject_ref == reference)
    return _page(connection, statement, consent_grant.c.releasing == releasing, behind, limit)


def _page(
    connection: Connection,
    statement: Select[Any],
    whose: ColumnElement[bool],
    behind: int | None,
    limit: int,
) -> list[Row[Any]]:
    statement = statement.where(whose)
    if behind is not None:
        statement = statement.where(consent_grant.c.grant_index < behind)
    rows = connection.execute(statement.order_by(consent_grant.c.grant_index.desc()).limit(limit))
    return list(rows.all())

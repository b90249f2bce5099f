"""Services as the directory shows them. A confidential location never shows where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, Table, select

from safehand_referral_service.directory_overlays import service_needs_of
from safehand_referral_service.directory_places import (
    LocationView,
    PhoneView,
    Places,
    chunks,
    rows_of,
)
from safehand_referral_service.directory_tables import TABLES


@dataclass(frozen=True, slots=True)
class ServiceView:
    """One service.

    Attributes:
        fees: what it costs in its package's own words; "" where that is not stated.
        last_checked: the day on which somebody assured that this is right, YYYY-MM-DD, or "".
        needs: its taxonomy terms, sorted. areas: names of its areas, sorted.
        min_age, max_age: years, inclusive; None: no limit.
        eligibility: situations of which one is enough; empty: none stated.
        phones: of the service and its places; failing those, of its organisation.
        locations: where it is given; failing a statement, the organisation's locations.
        categories: what it may receive (the overlay), CARD at least.
        confidential: whether its places are secret: it is reached by phone alone.
        matched_eligibility: in a search by situation, whether a stated situation matched
            (False: it states none).
    """

    id: str
    source: str
    organization_id: str
    organization_name: str
    name: str
    alternate_name: str
    description: str
    url: str
    email: str
    status: str
    min_age: int | None
    max_age: int | None
    statewide: bool
    fees: str
    last_checked: str
    needs: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()
    eligibility: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    phones: tuple[PhoneView, ...] = ()
    locations: tuple[LocationView, ...] = ()
    categories: tuple[str, ...] = ()
    confidential: bool = False
    matched_eligibility: bool = False

    @property
    def withheld(self) -> bool:
        """Whether free words about it (description, situations, cost) are kept from the public: it
        is secret, or one of its places is, and somebody may have written there where that is."""
        return self.confidential or any(place.confidential for place in self.locations)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Public street addresses, each once, in a stable order."""
        return tuple(dict.fromkeys(x.address for x in self.locations if x.address))

    @property
    def has_public_address(self) -> bool:
        """Whether any of its locations has a street address that may be shown."""
        return bool(self.addresses)


def load(conn: Connection, service_ids: Sequence[str]) -> list[ServiceView]:
    """The services ``service_ids`` that exist, in that order."""
    found: dict[str, ServiceView] = {}
    heads: dict[str, list[ServiceView]] = {}
    service, organization = TABLES.service, TABLES.organization
    for ids in chunks(service_ids):
        rows = conn.execute(
            select(service, organization.c.name.label("organization_name"))
            .join(
                organization,
                (organization.c.source == service.c.source)
                & (organization.c.id == service.c.organization_id),
            )
            .where(service.c.id.in_(ids))
        )
        for row in rows:
            heads.setdefault(row.source, []).append(_head(row))
    for source, views in heads.items():
        found.update((view.id, view) for view in _filled(conn, source, views))
    return [found[service_id] for service_id in service_ids if service_id in found]


def _head(row: Row[Any]) -> ServiceView:
    return ServiceView(
        id=row.id,
        source=row.source,
        organization_id=row.organization_id,
        organization_name=row.organization_name,
        name=row.name,
        alternate_name=row.alternate_name,
        description=row.description,
        url=row.url,
        email=row.email,
        status=row.status,
        min_age=row.min_age,
        max_age=row.max_age,
        statewide=bool(row.statewide),
        fees=row.fees_description,
        last_checked=row.last_checked,
    )


def _filled(conn: Connection, source: str, views: list[ServiceView]) -> list[ServiceView]:
    ids = [view.id for view in views]
    needs = _needs(conn, source, ids)
    areas = _grouped(conn, source, TABLES.service_area, "of_service", "name", ids)
    situations = _grouped(conn, source, TABLES.eligibility, "service_id", "situation", ids)
    languages = _grouped(conn, source, TABLES.language, "service_id", "name", ids)
    categories = service_needs_of(conn, ids)
    places = Places(conn, source, {view.id: view.organization_id for view in views})
    return [
        replace(
            view,
            needs=tuple(sorted(set(needs.get(view.id, ())))),
            areas=tuple(sorted(set(areas.get(view.id, ())))),
            eligibility=tuple(situations.get(view.id, ())),
            languages=tuple(sorted(set(languages.get(view.id, ())))),
            categories=categories[view.id],
            confidential=places.confidential(view.id),
            locations=places.locations(view.id, view.organization_id),
            phones=places.phones(view.id, view.organization_id),
        )
        for view in views
    ]


def _grouped(
    conn: Connection, source: str, table: Table, key: str, value: str, ids: Sequence[str]
) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for row in rows_of(conn, table, source, table.c[key], ids):
        groups.setdefault(row._mapping[key], []).append(row._mapping[value])
    return groups


def _needs(conn: Connection, source: str, ids: Sequence[str]) -> dict[str, list[str]]:
    attribute, term = TABLES.attribute, TABLES.term
    groups: dict[str, list[str]] = {}
    for chunk in chunks(ids):
        rows = conn.execute(
            select(attribute.c.link_id, term.c.name)
            .join(
                term,
                (term.c.source == attribute.c.source) & (term.c.id == attribute.c.taxonomy_term_id),
            )
            .where(
                attribute.c.source == source,
                attribute.c.link_entity == "service",
                attribute.c.link_id.in_(chunk),
            )
        )
        for row in rows:
            groups.setdefault(row.link_id, []).append(row.name)
    return groups

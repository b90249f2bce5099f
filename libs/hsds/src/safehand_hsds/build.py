"""From sound rows to typed records, with a notice for every quirk that was handled."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from safehand_hsds import quirks, words
from safehand_hsds.records import (
    Address,
    AddressLevel,
    Attribute,
    Language,
    Location,
    Organization,
    Package,
    Phone,
    Service,
    ServiceArea,
    ServiceAtLocation,
    Taxonomy,
    Term,
)
from safehand_hsds.report import NoticeCode
from safehand_hsds.schema import LINK_TABLES
from safehand_hsds.states import code_of
from safehand_hsds.tables import Row, Rows

T = TypeVar("T")

STATEWIDE_AREAS = 20
"""A package must name at least so many areas before a service that lists every one of them
counts as state-wide; below it, two listed counties would already be "the whole state"."""
STATEWIDE_NAMES = frozenset(("statewide", "state wide"))


def build(tables: dict[str, Rows]) -> Package:
    """Records of all rows that are taken; adds the notices to the tables."""
    addresses = [_address(tables["addresses"], row) for row in _taken(tables, "addresses")]
    states = sorted({code for a in addresses if (code := code_of(a.state))})
    areas = [
        _record(row, ServiceArea, "id service_id service_at_location_id name")
        for row in _taken(tables, "service_areas")
    ]
    at_locations = [
        _record(row, ServiceAtLocation, "id service_id location_id description")
        for row in _taken(tables, "service_at_locations")
    ]
    by_service = _areas_by_service(areas, at_locations)
    statewide = _statewide(by_service, states)
    levels: dict[str, set[AddressLevel]] = {}
    for address in addresses:
        levels.setdefault(address.location_id, set()).add(address.level)
    return Package(
        organizations=tuple(
            _organization(tables["organizations"], row) for row in _taken(tables, "organizations")
        ),
        locations=tuple(
            _location(row, levels.get(row.id) == {AddressLevel.STATE})
            for row in _taken(tables, "locations")
        ),
        services=tuple(
            _service(tables["services"], row, row.id in by_service, row.id in statewide)
            for row in _taken(tables, "services")
        ),
        service_at_locations=tuple(at_locations),
        addresses=tuple(addresses),
        phones=tuple(_phone(tables["phones"], row) for row in _taken(tables, "phones")),
        service_areas=tuple(areas),
        languages=tuple(
            _record(row, Language, "id service_id location_id phone_id name code note")
            for row in _taken(tables, "languages")
        ),
        taxonomies=tuple(
            _record(row, Taxonomy, "id name description") for row in _taken(tables, "taxonomies")
        ),
        terms=tuple(
            _record(row, Term, "id taxonomy_id parent_id code name description")
            for row in _taken(tables, "taxonomy_terms")
        ),
        attributes=tuple(
            _attribute(tables["attributes"], row) for row in _taken(tables, "attributes")
        ),
        states=tuple(states),
    )


def _taken(tables: dict[str, Rows], name: str) -> list[Row]:
    return tables[name].taken() if name in tables else []


def _record(row: Row, kind: Callable[..., T], names: str) -> T:
    return kind(**{name: row.values.get(name, "") for name in names.split()})


def _text(row: Row, name: str) -> str:
    return row.values.get(name, "")


def _number(row: Row, name: str) -> int | None:
    value = row.values.get(name, "")
    return int(value) if value else None


def _degrees(row: Row, name: str) -> float | None:
    value = row.values.get(name, "")
    return float(value) if value else None


def _areas_by_service(
    areas: Iterable[ServiceArea], at_locations: Iterable[ServiceAtLocation]
) -> dict[str, set[str]]:
    """Service id to the names of its areas, as words joined by blanks."""
    service_of = {link.id: link.service_id for link in at_locations}
    named: dict[str, set[str]] = {}
    for area in areas:
        service = area.service_id or service_of.get(area.service_at_location_id, "")
        named.setdefault(service, set()).add(" ".join(words.split(area.name)))
    return named


def _statewide(by_service: dict[str, set[str]], states: list[str]) -> set[str]:
    """Services that cover a whole state: by an area's name, or by listing every area."""
    every = set().union(*by_service.values()) if by_service else set()
    return {
        service
        for service, named in by_service.items()
        if (len(every) >= STATEWIDE_AREAS and named == every)
        or any(name in STATEWIDE_NAMES or code_of(name) in states for name in named)
    }


def _organization(rows: Rows, row: Row) -> Organization:
    year = _number(row, "year_incorporated")
    if year is not None and quirks.plausible_year(year) is None:
        rows.note(row.line, NoticeCode.YEAR_IMPLAUSIBLE, "year_incorporated")
        year = None
    return Organization(
        id=row.id,
        name=_text(row, "name"),
        alternate_name=_text(row, "alternate_name"),
        description=_text(row, "description"),
        email=_text(row, "email"),
        website=_text(row, "website"),
        legal_status=_text(row, "legal_status"),
        year_incorporated=year,
        parent_organization_id=_text(row, "parent_organization_id"),
    )


def _location(row: Row, state_only: bool) -> Location:
    return Location(
        id=row.id,
        organization_id=_text(row, "organization_id"),
        location_type=_text(row, "location_type"),
        name=_text(row, "name"),
        alternate_name=_text(row, "alternate_name"),
        description=_text(row, "description"),
        url=_text(row, "url"),
        latitude=_degrees(row, "latitude"),
        longitude=_degrees(row, "longitude"),
        address_state_only=state_only,
    )


def _service(rows: Rows, row: Row, has_area: bool, statewide: bool) -> Service:
    low, high = _number(row, "minimum_age"), _number(row, "maximum_age")
    limits = quirks.age_limits(low, high)
    if limits != (low, high):
        rows.note(row.line, NoticeCode.AGE_RANGE_UNBOUNDED)
    eligibility = quirks.situations(_text(row, "eligibility_description"))
    if len(eligibility) > 1:
        rows.note(
            row.line, NoticeCode.ELIGIBILITY_SPLIT, "eligibility_description", len(eligibility)
        )
    if not has_area:
        rows.note(row.line, NoticeCode.SERVICE_WITHOUT_AREA)
    if statewide:
        rows.note(row.line, NoticeCode.SERVICE_STATEWIDE)
    assured = _text(row, "assured_date")
    checked = quirks.day(assured)
    if assured and not checked:
        rows.note(row.line, NoticeCode.DATE_UNCLEAR, "assured_date")
    return Service(
        id=row.id,
        organization_id=_text(row, "organization_id"),
        name=_text(row, "name"),
        alternate_name=_text(row, "alternate_name"),
        description=_text(row, "description"),
        url=_text(row, "url"),
        email=_text(row, "email"),
        status=_text(row, "status"),
        application_process=_text(row, "application_process"),
        fees_description=_text(row, "fees_description"),
        interpretation_services=_text(row, "interpretation_services"),
        last_checked=checked,
        min_age=limits[0],
        max_age=limits[1],
        eligibility=eligibility,
        statewide=statewide,
    )


def _address(rows: Rows, row: Row) -> Address:
    line = ", ".join(filter(None, (_text(row, "address_1"), _text(row, "address_2"))))
    state = _text(row, "state_province")
    text, level, named = quirks.address(line, _text(row, "city"), _text(row, "postal_code"), state)
    if level is AddressLevel.STATE:
        rows.note(row.line, NoticeCode.ADDRESS_STATE_ONLY)
    elif level is AddressLevel.PLACE:
        rows.note(row.line, NoticeCode.ADDRESS_NO_STREET)
    if named and code_of(state) and named != code_of(state):
        rows.note(row.line, NoticeCode.ADDRESS_STATE_CONFLICT)
    return Address(
        id=row.id,
        location_id=_text(row, "location_id"),
        text=text,
        level=level,
        state=state,
        country=_text(row, "country"),
        address_type=_text(row, "address_type"),
    )


def _phone(rows: Rows, row: Row) -> Phone:
    links = ("location_id", "service_id", "organization_id", "service_at_location_id")
    if not any(_text(row, name) for name in links):
        rows.note(row.line, NoticeCode.LINK_NOT_CHECKED, "contact_id")
    return _record(row, Phone, f"id number extension type description {' '.join(links)}")


def _attribute(rows: Rows, row: Row) -> Attribute:
    if _text(row, "link_entity") not in LINK_TABLES:
        rows.note(row.line, NoticeCode.LINK_NOT_CHECKED, "link_id")
    return _record(row, Attribute, "id link_id link_entity taxonomy_term_id link_type value")

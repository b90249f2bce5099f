"""The rows of a package as typed records: what an import stores.

Empty text means that the package says nothing. A record exists only for a row without a
problem all of whose references exist among the records.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class AddressLevel(StrEnum):
    """How much an address says."""

    STREET = "street"
    PLACE = "place"
    """A town or a postal code; shown as a place."""
    STATE = "state"
    """Only a state; never shown as an address."""


@dataclass(frozen=True, slots=True)
class Organization:
    id: str
    name: str
    alternate_name: str
    description: str
    email: str
    website: str
    legal_status: str
    year_incorporated: int | None
    parent_organization_id: str


@dataclass(frozen=True, slots=True)
class Location:
    """``address_state_only``: it has addresses, and none says more than a state."""

    id: str
    organization_id: str
    location_type: str
    name: str
    alternate_name: str
    description: str
    url: str
    latitude: float | None
    longitude: float | None
    address_state_only: bool


@dataclass(frozen=True, slots=True)
class Service:
    """``min_age`` and ``max_age`` in whole years, both inclusive; None: no limit.

    ``eligibility``: the situations of which one is enough; empty: the package states none.
    ``last_checked``: the day on which somebody assured that it is right, YYYY-MM-DD, or "".
    ``statewide``: it covers every area that its package knows, or names the whole state.
    """

    id: str
    organization_id: str
    name: str
    alternate_name: str
    description: str
    url: str
    email: str
    status: str
    application_process: str
    fees_description: str
    interpretation_services: str
    last_checked: str
    min_age: int | None
    max_age: int | None
    eligibility: tuple[str, ...]
    statewide: bool


@dataclass(frozen=True, slots=True)
class ServiceAtLocation:
    id: str
    service_id: str
    location_id: str
    description: str


@dataclass(frozen=True, slots=True)
class Address:
    """``text`` is one line without the state-only filler; "" at level STATE."""

    id: str
    location_id: str
    text: str
    level: AddressLevel
    state: str
    country: str
    address_type: str


@dataclass(frozen=True, slots=True)
class Phone:
    id: str
    number: str
    extension: str
    type: str
    description: str
    location_id: str
    service_id: str
    organization_id: str
    service_at_location_id: str


@dataclass(frozen=True, slots=True)
class ServiceArea:
    id: str
    service_id: str
    service_at_location_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Language:
    id: str
    service_id: str
    location_id: str
    phone_id: str
    name: str
    code: str
    note: str


@dataclass(frozen=True, slots=True)
class Taxonomy:
    id: str
    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Term:
    id: str
    taxonomy_id: str
    parent_id: str
    code: str
    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """A link from something (``link_entity``, ``link_id``) to a term."""

    id: str
    link_id: str
    link_entity: str
    taxonomy_term_id: str
    link_type: str
    value: str


@dataclass(frozen=True, slots=True)
class Package:
    """Everything in a package that is without a problem, each table in file order.

    ``states``: postal codes of the states that its addresses name, sorted.
    """

    organizations: tuple[Organization, ...] = ()
    locations: tuple[Location, ...] = ()
    services: tuple[Service, ...] = ()
    service_at_locations: tuple[ServiceAtLocation, ...] = ()
    addresses: tuple[Address, ...] = ()
    phones: tuple[Phone, ...] = ()
    service_areas: tuple[ServiceArea, ...] = ()
    languages: tuple[Language, ...] = ()
    taxonomies: tuple[Taxonomy, ...] = ()
    terms: tuple[Term, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    states: tuple[str, ...] = field(default=())

"""The tables of an HSDS 3.0 tabular package that safehand reads.

Source: the Human Services Data Specification 3.0, ``schema/*.json`` of
``openreferral/specification`` (``path``, ``required``, ``tabular_required``, ``enum``).
Where published directories commonly lack a column that HSDS requires (city and postal code of
an address, descriptions of terms), its absence is noticed and tolerated: ``EXPECTED``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Need(Enum):
    REQUIRED = "required"
    """The column is there and holds a value in every row."""
    EXPECTED = "expected"
    """HSDS requires it; safehand works without and says so."""
    OPTIONAL = "optional"


class Kind(Enum):
    ID = "id"
    TEXT = "text"
    AGE = "age"
    YEAR = "year"
    LATITUDE = "latitude"
    LONGITUDE = "longitude"
    DIGITS = "digits"
    CODE = "code"
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class Column:
    """``target`` is the table that a REFERENCE names; ``codes`` the values of a CODE."""

    name: str
    kind: Kind = Kind.TEXT
    need: Need = Need.OPTIONAL
    target: str = ""
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """One table.

    Attributes:
        name: its key here; ``file`` and ``aliases`` are its file names.
        required: whether a package without it is refused.
        columns: what is read. ``unused``: columns of HSDS 3.0 that are known and not read.
        one_of: columns of which every row must fill at least one (its link to something).
    """

    name: str
    file: str
    required: bool
    columns: tuple[Column, ...]
    unused: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    def column(self, name: str) -> Column | None:
        return next((c for c in self.columns if c.name == name), None)


SERVICE_STATUS: Final = ("active", "inactive", "defunct", "temporarily closed")
PLACE_TYPE: Final = ("physical", "postal", "virtual")

_R, _E = Need.REQUIRED, Need.EXPECTED


def _id() -> Column:
    return Column("id", Kind.ID, _R)


def _ref(name: str, target: str, need: Need = Need.OPTIONAL) -> Column:
    return Column(name, Kind.REFERENCE, need, target=target)


def _texts(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name) for name in names)


ORGANIZATIONS: Final = Table(
    "organizations",
    "organizations.csv",
    True,
    (
        _id(),
        Column("name", need=_R),
        Column("description", need=_E),
        *_texts("alternate_name", "email", "website", "legal_status"),
        Column("year_incorporated", Kind.YEAR),
        _ref("parent_organization_id", "organizations"),
    ),
    unused=("tax_status", "tax_id", "logo", "uri"),
)
LOCATIONS: Final = Table(
    "locations",
    "locations.csv",
    True,
    (
        _id(),
        Column("location_type", Kind.CODE, _R, codes=PLACE_TYPE),
        _ref("organization_id", "organizations"),
        *_texts("name", "alternate_name", "description", "url"),
        Column("latitude", Kind.LATITUDE),
        Column("longitude", Kind.LONGITUDE),
    ),
    unused=("transportation", "external_identifier", "external_identifier_type"),
)
SERVICES: Final = Table(
    "services",
    "services.csv",
    True,
    (
        _id(),
        _ref("organization_id", "organizations", _R),
        Column("name", need=_R),
        Column("status", Kind.CODE, _R, codes=SERVICE_STATUS),
        *_texts("alternate_name", "description", "url", "email", "eligibility_description"),
        *_texts("application_process", "fees_description", "interpretation_services"),
        Column("assured_date"),
        Column("minimum_age", Kind.AGE),
        Column("maximum_age", Kind.AGE),
    ),
    unused=(
        "program_id",
        "wait_time",
        "fees",
        "accreditations",
        "assurer_email",
        "licenses",
        "alert",
        "last_modified",
    ),
)
SERVICE_AT_LOCATIONS: Final = Table(
    "service_at_locations",
    "service_at_location.csv",
    False,
    (
        _id(),
        _ref("service_id", "services", _R),
        _ref("location_id", "locations", _R),
        Column("description"),
    ),
    aliases=("service_at_locations.csv",),
)
ADDRESSES: Final = Table(
    "addresses",
    "addresses.csv",
    False,
    (
        _id(),
        _ref("location_id", "locations", _R),
        Column("address_1", need=_R),
        Column("state_province", need=_R),
        Column("country", need=_R),
        Column("address_type", Kind.CODE, _R, codes=PLACE_TYPE),
        Column("city", need=_E),
        Column("postal_code", need=_E),
        Column("address_2"),
    ),
    unused=("attention", "region"),
)
PHONES: Final = Table(
    "phones",
    "phones.csv",
    False,
    (
        _id(),
        Column("number", need=_R),
        Column("extension", Kind.DIGITS),
        *_texts("type", "description"),
        _ref("location_id", "locations"),
        _ref("service_id", "services"),
        _ref("organization_id", "organizations"),
        _ref("service_at_location_id", "service_at_locations"),
        Column("contact_id"),
    ),
    one_of=(
        "location_id",
        "service_id",
        "organization_id",
        "service_at_location_id",
        "contact_id",
    ),
)
SERVICE_AREAS: Final = Table(
    "service_areas",
    "service_areas.csv",
    False,
    (
        _id(),
        _ref("service_id", "services"),
        _ref("service_at_location_id", "service_at_locations"),
        Column("name", need=_R),
    ),
    unused=("description", "extent", "extent_type", "uri"),
    one_of=("service_id", "service_at_location_id"),
)
LANGUAGES: Final = Table(
    "languages",
    "languages.csv",
    False,
    (
        _id(),
        _ref("service_id", "services"),
        _ref("location_id", "locations"),
        _ref("phone_id", "phones"),
        *_texts("name", "code", "note"),
    ),
    one_of=("service_id", "location_id", "phone_id"),
)
TAXONOMIES: Final = Table(
    "taxonomies",
    "taxonomies.csv",
    False,
    (_id(), Column("name", need=_R), Column("description", need=_E)),
    unused=("uri", "version"),
)
TERMS: Final = Table(
    "taxonomy_terms",
    "taxonomy_terms.csv",
    False,
    (
        _id(),
        Column("name", need=_R),
        Column("description", need=_E),
        Column("code"),
        _ref("parent_id", "taxonomy_terms"),
        _ref("taxonomy_id", "taxonomies"),
    ),
    unused=("taxonomy", "language", "term_uri"),
)
ATTRIBUTES: Final = Table(
    "attributes",
    "attributes.csv",
    False,
    (
        _id(),
        Column("link_id", need=_R),
        Column("link_entity", need=_R),
        _ref("taxonomy_term_id", "taxonomy_terms", _R),
        *_texts("link_type", "value"),
    ),
    unused=("label",),
)

TABLES: Final = (
    ORGANIZATIONS,
    LOCATIONS,
    SERVICES,
    SERVICE_AT_LOCATIONS,
    ADDRESSES,
    PHONES,
    SERVICE_AREAS,
    LANGUAGES,
    TAXONOMIES,
    TERMS,
    ATTRIBUTES,
)
"""In an order in which every reference points to an earlier table or to its own."""

LINK_TABLES: Final = {
    "organization": "organizations",
    "location": "locations",
    "service": "services",
    "service_at_location": "service_at_locations",
    "address": "addresses",
    "phone": "phones",
    "service_area": "service_areas",
    "language": "languages",
}
"""``attributes.link_entity`` (HSDS object name) to our table: these links are checked."""

LINK_UNREAD: Final = (
    "program",
    "contact",
    "schedule",
    "funding",
    "cost_option",
    "required_document",
    "accessibility",
    "organization_identifier",
    "service_capacity",
    "unit",
    "url",
    "taxonomy",
    "taxonomy_term",
    "metadata",
    "meta_table_description",
)
"""HSDS objects that an attribute may name and that safehand does not read."""

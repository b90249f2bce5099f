"""The service directory's tables: what HSDS packages say, and what operators lay over it.

Package tables are keyed by source and id, hold nothing but what the package said, and are
replaced as a whole by the next import of that source. The overlays (what a service may receive,
which services are confidential, and every place that one ever had) are keyed by HSDS ids alone and
outlive every import: a new package must never make a refuge's address public again.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from safehand_store.columns import Whole
from sqlalchemy import CheckConstraint, Column, Index, MetaData, Table, Text

ADDRESS_LEVELS: Final = ("street", "place", "state")


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables, defined on one ``MetaData``. Columns named ``*_words`` are for searching:
    words, case folded, each with a blank before and after."""

    file_count: Table
    state: Table
    organization: Table
    location: Table
    address: Table
    service: Table
    eligibility: Table
    service_at_location: Table
    phone: Table
    service_area: Table
    language: Table
    taxonomy: Table
    term: Table
    attribute: Table
    service_needs: Table
    confidential_service: Table
    confidential_place: Table

    def of_a_source(self) -> tuple[Table, ...]:
        """The tables that an import replaces: all but the overlays."""
        overlays = (self.service_needs, self.confidential_service, self.confidential_place)
        every: tuple[Table, ...] = tuple(getattr(self, field.name) for field in fields(self))
        return tuple(table for table in every if table not in overlays)


def _text(name: str, *, key: bool = False, index: bool = False) -> Column[str]:
    return Column(name, Text, nullable=False, primary_key=key, index=index)


def _texts(names: str) -> list[Column[str]]:
    return [_text(name) for name in names.split()]


def _flag(name: str) -> Column[int]:
    return Column(
        name, Whole, CheckConstraint(f"{name} IN (0, 1)"), nullable=False, server_default="0"
    )


def define(metadata: MetaData) -> Tables:
    """Define the directory's tables on ``metadata``; STRICT on SQLite."""

    def table(name: str, *columns: Column[str] | Column[int] | CheckConstraint | Index) -> Table:
        return Table(f"directory_{name}", metadata, *columns, sqlite_strict=True)

    def source_and_id() -> tuple[Column[str], Column[str]]:
        return _text("source", key=True), _text("id", key=True)

    def index(table_name: str, *columns: str) -> Index:
        return Index(f"ix_directory_{table_name}_{columns[-1]}", *columns)

    def whole_number(name: str, *, null: bool = False) -> Column[int]:
        return Column(name, Whole, nullable=null)

    return Tables(
        file_count=table(
            "file_count",
            _text("source", key=True),
            _text("file", key=True),
            whole_number("rows_in"),
            whole_number("rows_stored"),
            whole_number("rows_reported"),
            CheckConstraint("rows_in = rows_stored + rows_reported"),
        ),
        state=table("state", _text("source", key=True), _text("code", key=True)),
        organization=table(
            "organization",
            *source_and_id(),
            *_texts("name alternate_name description email website legal_status"),
            *_texts("parent_organization_id"),
            whole_number("year_incorporated", null=True),
        ),
        location=table(
            "location",
            *source_and_id(),
            *_texts("organization_id location_type name alternate_name description url"),
            # Decimal degrees as text, "" when unknown: nothing computes with them here.
            *_texts("latitude longitude"),
            _flag("address_state_only"),
            index("location", "source", "organization_id"),
        ),
        address=table(
            "address",
            *source_and_id(),
            *_texts("location_id text level state country address_type"),
            CheckConstraint("level IN ('street', 'place', 'state')"),
            index("address", "source", "location_id"),
        ),
        service=table(
            "service",
            _text("source", key=True),
            # Unique in the whole directory: a manifest names a service by its id alone.
            Column("id", Text, nullable=False, primary_key=True, unique=True),
            *_texts("organization_id name alternate_name description url email status"),
            *_texts("application_process fees_description interpretation_services"),
            _text("last_checked"),  # YYYY-MM-DD, or ""
            whole_number("min_age", null=True),
            whole_number("max_age", null=True),
            _flag("statewide"),
            *_texts("term_words name_words text_words"),
            index("service", "source", "organization_id"),
        ),
        eligibility=table(
            "eligibility",
            _text("service_id", key=True),
            Column("position", Whole, nullable=False, primary_key=True),
            *_texts("source situation situation_words"),
        ),
        service_at_location=table(
            "service_at_location",
            *source_and_id(),
            *_texts("service_id location_id description"),
            index("service_at_location", "source", "service_id"),
        ),
        phone=table(
            "phone",
            *source_and_id(),
            *_texts("number extension type description"),
            *_texts("location_id service_id organization_id service_at_location_id"),
        ),
        service_area=table(
            "service_area",
            *source_and_id(),
            # of_service: the service, also where the row names it by service_at_location.
            *_texts("service_id service_at_location_id of_service name area_words"),
            index("service_area", "source", "of_service"),
        ),
        language=table(
            "language",
            *source_and_id(),
            *_texts("service_id location_id phone_id name code note language_words"),
        ),
        taxonomy=table("taxonomy", *source_and_id(), *_texts("name description")),
        term=table(
            "term", *source_and_id(), *_texts("taxonomy_id parent_id code name description")
        ),
        attribute=table(
            "attribute",
            *source_and_id(),
            *_texts("link_id link_entity taxonomy_term_id link_type value"),
            index("attribute", "source", "link_id"),
        ),
        service_needs=table(
            "service_needs", _text("service_id", key=True), _text("category", key=True)
        ),
        confidential_service=table(
            "confidential_service",
            _text("service_id", key=True),
            # The one number that is shown for it; "" for those that belong to no place.
            _text("phone"),
        ),
        confidential_place=table(
            "confidential_place",
            _text("service_id", key=True),
            _text("location_id", key=True, index=True),
        ),
    )


TABLES: Final = define(MetaData())
"""For queries: the same names as in the service's own metadata."""

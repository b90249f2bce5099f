"""The directory: packages come in here; the other verbs are gathered from their modules.

Every function works in the caller's transaction and leaves committing to the caller, so an
import that fails half-way leaves the old content.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_hsds import Files, Package, Report, load, read_files, schema, words
from sqlalchemy import Connection, Table, delete, insert, select

from safehand_referral_service.directory_confidential import remember_places, set_confidential
from safehand_referral_service.directory_overlays import (
    get_service_needs,
    service_needs_of,
    set_service_needs,
)
from safehand_referral_service.directory_places import LocationView, PhoneView
from safehand_referral_service.directory_search import Page, get_service, search
from safehand_referral_service.directory_tables import TABLES
from safehand_referral_service.directory_views import ServiceView

__all__ = [
    "Imported",
    "LocationView",
    "PackageInvalid",
    "Page",
    "PhoneView",
    "ServiceView",
    "Stored",
    "get_service",
    "get_service_needs",
    "import_package",
    "search",
    "service_needs_of",
    "set_confidential",
    "set_service_needs",
]

SOURCE_PATTERN: Final = r"[a-z0-9][a-z0-9-]{0,63}"
"""Name of a source, chosen by the operator."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Rows of one file. ``rows_in == rows_stored + rows_reported`` always holds."""

    file: str
    rows_in: int
    rows_stored: int
    rows_reported: int


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import stored, and the report on the package with everything left out."""

    counts: tuple[Stored, ...]
    report: Report


class PackageInvalid(SafehandError):
    """PACKAGE_INVALID with the whole ``report``; its metadata holds counts and the first place."""

    def __init__(self, report: Report) -> None:
        first = report.problems[0]
        super().__init__(
            Reason.PACKAGE_INVALID,
            metadata={
                "problems": str(len(report.problems)),
                "file": first.file,
                "line": str(first.line),
                "code": first.code.value,
            },
        )
        self.report = report


def import_package(
    conn: Connection, package: Path | Files, source: str, *, skip_bad: bool = False
) -> Imported:
    """Replace everything that ``source`` said before by ``package``, a folder or its files.

    Args:
        conn: a connection in a write transaction; the caller commits.
        source: name of the source, 1 to 64 of ``a-z 0-9 -``.
        skip_bad: take the rows without a problem instead of refusing.

    Raises:
        PackageInvalid: the package has problems and ``skip_bad`` is off; nothing is changed.
            With ``skip_bad`` only when a file that every package needs cannot be used at all.
        SafehandError: MALFORMED for the source's name, NOT_FOUND for the folder.
    """
    if not re.fullmatch(SOURCE_PATTERN, source):
        raise SafehandError(
            Reason.MALFORMED, "a field has the wrong shape", metadata={"field": "source"}
        )
    files = load(package) if isinstance(package, Path) else package
    service = TABLES.service
    foreign = conn.scalars(select(service.c.id).where(service.c.source != source))
    result = read_files(files, foreign_services=frozenset(foreign))
    report = result.report
    if report.problems and (not skip_bad or _nothing_to_take(report)):
        raise PackageInvalid(report)
    _replace(conn, source, result.package)
    remember_places(conn)
    counts = tuple(Stored(f.file, f.rows_in, f.rows_ok, f.rows_reported) for f in report.files)
    _insert(conn, TABLES.file_count, source, map(dataclasses.asdict, counts))
    return Imported(counts, report)


def _nothing_to_take(report: Report) -> bool:
    """Whether problems leave nothing of a file that every package needs: to import the rest
    would empty the source, which nobody means by leaving out bad rows."""
    at_fault = {problem.file for problem in report.problems}
    return any(
        table.required and table.file in at_fault and report.count(table.file).rows_ok == 0
        for table in schema.TABLES
    )


def _replace(conn: Connection, source: str, package: Package) -> None:
    for table in TABLES.of_a_source():
        conn.execute(delete(table).where(table.c.source == source))
    _insert(conn, TABLES.state, source, ({"code": code} for code in package.states))
    plain: tuple[tuple[Table, Sequence[Any]], ...] = (
        (TABLES.organization, package.organizations),
        (TABLES.address, package.addresses),
        (TABLES.service_at_location, package.service_at_locations),
        (TABLES.phone, package.phones),
        (TABLES.taxonomy, package.taxonomies),
        (TABLES.term, package.terms),
        (TABLES.attribute, package.attributes),
    )
    for table, records in plain:
        _insert(conn, table, source, (_values(record) for record in records))
    _insert(conn, TABLES.location, source, map(_location, package.locations))
    _insert(conn, TABLES.service, source, _services(package))
    _insert(
        conn,
        TABLES.eligibility,
        source,
        (
            {
                "service_id": service.id,
                "position": position,
                "situation": situation,
                "situation_words": words.padded(situation),
            }
            for service in package.services
            for position, situation in enumerate(service.eligibility)
        ),
    )
    service_of = {link.id: link.service_id for link in package.service_at_locations}
    _insert(
        conn,
        TABLES.service_area,
        source,
        (
            {
                **_values(area),
                "of_service": area.service_id or service_of[area.service_at_location_id],
                "area_words": f" {' '.join(words.area_words(area.name))} ",
            }
            for area in package.service_areas
        ),
    )
    _insert(
        conn,
        TABLES.language,
        source,
        (
            {**_values(spoken), "language_words": words.padded(f"{spoken.name} {spoken.code}")}
            for spoken in package.languages
        ),
    )


def _values(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def _location(record: Any) -> dict[str, Any]:
    values = _values(record)
    for name in ("latitude", "longitude"):
        values[name] = "" if values[name] is None else repr(values[name])
    return {**values, "address_state_only": int(record.address_state_only)}


def _services(package: Package) -> Iterable[dict[str, Any]]:
    term_names = {term.id: term.name for term in package.terms}
    terms: dict[str, list[str]] = {}
    for link in package.attributes:
        if link.link_entity == "service":
            terms.setdefault(link.link_id, []).append(term_names[link.taxonomy_term_id])
    for service in package.services:
        values = _values(service)
        del values["eligibility"]
        yield {
            **values,
            "statewide": int(service.statewide),
            "term_words": "".join(words.padded(name) for name in terms.get(service.id, ())),
            "name_words": words.padded(f"{service.name} {service.alternate_name}"),
            "text_words": words.padded(service.description),
        }


def _insert(conn: Connection, table: Table, source: str, rows: Iterable[Mapping[str, Any]]) -> None:
    values = [{"source": source, **row} for row in rows]
    if values:
        conn.execute(insert(table), values)

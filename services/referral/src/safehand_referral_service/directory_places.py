"""Where services are given and their numbers. A confidential location never tells where it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from safehand_hsds import AddressLevel
from sqlalchemy import Column, Connection, Row, Table, select

from safehand_referral_service import directory_confidential
from safehand_referral_service.directory_tables import TABLES

CONFIDENTIAL_NAME: Final = "confidential location"
"""Stands for the name of a confidential location: names often are addresses."""
IN_CHUNK: Final = 500
"""Ids per query: well below SQLite's limit on variables (32 766)."""


@dataclass(frozen=True, slots=True)
class PhoneView:
    """A public number; ``at`` is the location's name when it belongs to one, else ""."""

    number: str
    extension: str
    description: str
    at: str


@dataclass(frozen=True, slots=True)
class LocationView:
    """``address`` and ``place`` are "" when unknown, only a state, or confidential."""

    id: str
    name: str
    address: str
    place: str
    confidential: bool


def chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """``ids`` in pieces that one query can hold."""
    for start in range(0, len(ids), IN_CHUNK):
        yield ids[start : start + IN_CHUNK]


def rows_of(
    conn: Connection, table: Table, source: str, column: Column[Any], ids: Sequence[str]
) -> list[Row[Any]]:
    """Rows of ``table`` of one source whose ``column`` is one of ``ids``, in a stable order."""
    order = table.c.position if "position" in table.c else table.c.id
    return [
        row
        for chunk in chunks(ids)
        for row in conn.execute(
            select(table).where(table.c.source == source, column.in_(chunk)).order_by(order)
        )
    ]


class Places:
    """Locations and phone numbers of some services of one source, overlay applied.

    ``services`` maps a service id to its organisation's id.
    """

    def __init__(self, conn: Connection, source: str, services: Mapping[str, str]) -> None:
        ids, organizations = sorted(services), sorted(set(services.values()))
        link, location, phone = TABLES.service_at_location, TABLES.location, TABLES.phone
        self._secret = directory_confidential.numbers(conn)
        self._gates = directory_confidential.places(conn) if self._secret else {}
        self._links: dict[str, str] = {}
        self._links_at: dict[tuple[str, str], list[str]] = {}
        self._stated: dict[str, list[str]] = {}
        for row in rows_of(conn, link, source, link.c.service_id, ids):
            self._links[row.id] = row.location_id
            self._links_at.setdefault((row.service_id, row.location_id), []).append(row.id)
            self._stated.setdefault(row.service_id, []).append(row.location_id)
        self._offices: dict[str, list[str]] = {}
        self._views: dict[str, LocationView] = {}
        self._phones: dict[tuple[str, str], list[Row[Any]]] = {}
        self._read_places(
            conn, source, {place for group in self._stated.values() for place in group}
        )
        for column, chosen in (
            (phone.c.service_id, ids),
            (phone.c.service_at_location_id, sorted(self._links)),
            (phone.c.organization_id, organizations),
        ):
            self._read_phones(conn, source, column, chosen)
        # An organisation may have hundreds of offices: they are read only where they are shown.
        lacking = {
            organization
            for service, organization in services.items()
            if not self._stated.get(service) or not self._nearest(service, organization)
        }
        for row in rows_of(conn, location, source, location.c.organization_id, sorted(lacking)):
            self._offices.setdefault(row.organization_id, []).append(row.id)
        offices = {place for group in self._offices.values() for place in group}
        self._read_places(conn, source, offices - set(self._views))

    def _read_places(self, conn: Connection, source: str, places: Iterable[str]) -> None:
        ids = sorted(places)
        self._views.update(self._location_views(conn, source, ids))
        self._read_phones(conn, source, TABLES.phone.c.location_id, ids)

    def _read_phones(
        self, conn: Connection, source: str, column: Column[Any], ids: Sequence[str]
    ) -> None:
        for row in rows_of(conn, TABLES.phone, source, column, ids):
            key = (column.name, row._mapping[column.name])
            self._phones.setdefault(key, []).append(row)

    def _location_views(
        self, conn: Connection, source: str, ids: Sequence[str]
    ) -> dict[str, LocationView]:
        texts: dict[tuple[str, str], str] = {}
        address, location = TABLES.address, TABLES.location
        for row in rows_of(conn, address, source, address.c.location_id, ids):
            texts.setdefault((row.location_id, row.level), row.text)
        views = {}
        for row in rows_of(conn, location, source, location.c.id, ids):
            if row.id in self._gates:
                views[row.id] = LocationView(row.id, CONFIDENTIAL_NAME, "", "", True)
                continue
            street = texts.get((row.id, AddressLevel.STREET.value), "")
            place = texts.get((row.id, AddressLevel.PLACE.value), "")
            views[row.id] = LocationView(row.id, row.name, street, place, False)
        return views

    def locations(self, service: str, organization: str) -> tuple[LocationView, ...]:
        """Where the service is given; failing a statement, its organisation's locations."""
        ids = self._stated.get(service) or self._offices.get(organization) or []
        return tuple(self._views[place] for place in dict.fromkeys(ids))

    def confidential(self, service: str) -> bool:
        """Whether an operator said that the service's places are secret."""
        return service in self._secret

    def phones(self, service: str, organization: str) -> tuple[PhoneView, ...]:
        """The service's numbers and those of its places; failing those, the organisation's;
        failing those, its offices'. Each once.

        A number that belongs to a confidential location is left out, whatever else it is
        linked to: a landline tells where it is. The number that an operator gave stands for it;
        for the confidential service itself it is the only one.
        """
        if self._secret.get(service):
            return (PhoneView(self._secret[service], "", "", ""),)
        nearest = self._nearest(service, organization)
        nearest = nearest or self._at_places(service, self._offices.get(organization, ()))
        shown: dict[tuple[str, str], PhoneView] = {}
        for phone in nearest:
            shown.setdefault((phone.number, phone.extension), phone)
        return tuple(shown.values())

    def _nearest(self, service: str, organization: str) -> list[PhoneView]:
        """As ``phones``, up to the organisation's."""
        own = self._public(self._phones.get(("service_id", service), ()))
        nearest = own + self._at_places(service, self._stated.get(service, ()))
        return nearest or self._public(self._phones.get(("organization_id", organization), ()))

    def _at_places(self, service: str, places: Iterable[str]) -> list[PhoneView]:
        found: list[PhoneView] = []
        for place in dict.fromkeys(places):
            if place in self._gates:
                found += [
                    PhoneView(number, "", "", CONFIDENTIAL_NAME) for number in self._gates[place]
                ]
                continue
            name = self._views[place].name
            for link in self._links_at.get((service, place), ()):
                rows = self._phones.get(("service_at_location_id", link), ())
                found += self._public(rows, name)
            found += self._public(self._phones.get(("location_id", place), ()), name)
        return found

    def _public(self, rows: Iterable[Row[Any]], at: str = "") -> list[PhoneView]:
        return [
            PhoneView(row.number, row.extension, row.description, at)
            for row in rows
            if row.location_id not in self._gates
            and self._links.get(row.service_at_location_id, "") not in self._gates
        ]

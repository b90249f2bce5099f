"""The service directory as this service's use cases see it: search, import, needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_hsds import Report, read_files
from safehand_store.engine import begin_read
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, select

from safehand_referral_service import directory_search, directory_store, registry
from safehand_referral_service.context import Context, Request, once
from safehand_referral_service.directory_tables import TABLES
from safehand_referral_service.directory_views import ServiceView

_ORGANIZATION: Final = Prepared(
    select(TABLES.service.c.organization_id).where(TABLES.service.c.id == bindparam("wanted"))
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A service, and the agency that receives referrals for it; empty when none does."""

    service: ServiceView
    agency: str


@dataclass(frozen=True, slots=True)
class Query:
    """Conditions that must all hold; empty or None for any. ``age`` in years. ``free_first``
    is no condition: it orders what is found."""

    need: str
    area: str
    eligibility: str
    age: int | None
    language: str = ""
    free_first: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """One page; ``next_position`` is None on the last, ``total`` counts all that match."""

    offers: Sequence[Offer]
    next_position: int | None
    total: int


def search(context: Context, query: Query, position: int, limit: int) -> Found:
    """Services that fit, from ``position`` on. Raises MALFORMED for a condition without a word."""
    with begin_read(context.engine) as connection:
        page = directory_search.search(
            connection,
            need=query.need or None,
            area=query.area or None,
            eligibility=query.eligibility or None,
            language=query.language or None,
            age=query.age,
            free_first=query.free_first,
            position=position,
            limit=limit,
        )
        offers = [_offer(connection, service) for service in page.services]
    return Found(offers, page.next_position, page.total)


def get(context: Context, service: str) -> Offer:
    """One service; raises NOT_FOUND."""
    with begin_read(context.engine) as connection:
        return _offer(connection, directory_search.get_service(connection, service))


def set_needs(
    context: Context, request: Request, service: str, categories: Collection[str]
) -> tuple[str, ...]:
    """Replace what a service may receive (CARD always). Raises NOT_FOUND, MALFORMED."""

    def work(connection: Connection) -> dict[str, Json]:
        directory_store.set_service_needs(connection, service, categories)
        return {"service": service}

    once(context, request, work)
    with begin_read(context.engine) as connection:
        return directory_store.get_service_needs(connection, service)


def set_confidential(
    context: Context, request: Request, service: str, *, confidential: bool, phone: str
) -> Offer | None:
    """Keep the places of a service secret, or no longer; what is shown of it then.

    None for one that the directory does not list any more. Raises NOT_FOUND, MALFORMED.
    """

    def work(connection: Connection) -> dict[str, Json]:
        directory_store.set_confidential(
            connection, service, confidential=confidential, phone=phone
        )
        return {"service": service}

    once(context, request, work)
    with begin_read(context.engine) as connection:
        if _ORGANIZATION.scalar(connection, wanted=service) is None:
            return None
        return _offer(connection, directory_search.get_service(connection, service))


def require_needs(
    connection: Connection, service: str, recipient: str, categories: Collection[str]
) -> None:
    """Return if ``recipient`` delivers the service and it may receive all ``categories``.

    Raises NOT_FOUND alike for a service that is not there and for another agency's,
    SERVICE_NEEDS_EXCEEDED.
    """
    organization = _ORGANIZATION.scalar(connection, wanted=service)
    if organization is None or registry.agency_of(connection, organization) != recipient:
        raise SafehandError(Reason.NOT_FOUND, "the recipient delivers no such service")
    if not set(categories) <= set(directory_store.get_service_needs(connection, service)):
        raise SafehandError(Reason.SERVICE_NEEDS_EXCEEDED)


def import_package(
    context: Context,
    request: Request,
    source: str,
    files: Mapping[str, bytes],
    *,
    skip_bad: bool,
) -> Report:
    """Replace what ``source`` said before, in one transaction; says what was taken and what not.

    The files stay in memory. Raises PACKAGE_INVALID, with the number of problems, unless
    ``skip_bad``; then nothing is changed. Raises MALFORMED, REQUEST_ID_REUSED.
    """
    reports: list[Report] = []

    def work(connection: Connection) -> dict[str, Json]:
        done = directory_store.import_package(connection, files, source, skip_bad=skip_bad)
        reports.append(done.report)
        return {"source": source}

    once(context, request, work)
    return reports[0] if reports else _report(context, source, files)


def _report(context: Context, source: str, files: Mapping[str, bytes]) -> Report:
    """What a repeated import said the first time: a function of its files, so it is not stored."""
    table = TABLES.service
    with begin_read(context.engine) as connection:
        others = connection.scalars(select(table.c.id).where(table.c.source != source))
        return read_files(files, foreign_services=frozenset(others)).report


def _offer(connection: Connection, service: ServiceView) -> Offer:
    return Offer(service, registry.agency_of(connection, service.organization_id))

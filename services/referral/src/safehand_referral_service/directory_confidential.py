"""Services whose places are secret: an operator's word, laid over the directory.

It is said of a service, because that is what people know; what is hidden is every place that the
service has or ever had since, from whoever else is given there. Places are remembered by their id,
so that a package which forgets the service and lists its house again gives nothing away. Every
function works in the caller's transaction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from sqlalchemy import CompoundSelect, Connection, delete, exists, insert, select, union

from safehand_referral_service.directory_overlays import require_service
from safehand_referral_service.directory_tables import TABLES

PHONE_PATTERN: Final = r"[0-9+(][0-9 ()./+-]{2,31}"
"""A number as it is shown."""


def set_confidential(
    conn: Connection, service_id: str, *, confidential: bool, phone: str = ""
) -> None:
    """Say whether the places of a service are secret, and the one number that is shown for it.

    It outlives every import, also one in which the service is gone. Raises NOT_FOUND for a service
    that is neither listed nor secret (a mistyped id must not leave an address public unnoticed),
    MALFORMED for a phone number of another shape.
    """
    if phone and not re.fullmatch(PHONE_PATTERN, phone):
        raise SafehandError(
            Reason.MALFORMED, "a field has the wrong shape", metadata={"field": "phone"}
        )
    service, place = TABLES.confidential_service, TABLES.confidential_place
    if service_id not in numbers(conn):
        require_service(conn, service_id)
    conn.execute(delete(service).where(service.c.service_id == service_id))
    if confidential:
        conn.execute(insert(service).values(service_id=service_id, phone=phone))
        remember_places(conn)
    else:
        conn.execute(delete(place).where(place.c.service_id == service_id))


def remember_places(conn: Connection) -> None:
    """Note every place of a secret service that is not noted yet: after each import, too.

    A service without a stated place may be given at each of its organisation's: those are hidden
    then, until a package says where it is.
    """
    secret, place = TABLES.confidential_service, TABLES.confidential_place
    link, service, location = TABLES.service_at_location, TABLES.service, TABLES.location
    stated = select(link.c.service_id, link.c.location_id).join(
        secret, secret.c.service_id == link.c.service_id
    )
    offices = (
        select(service.c.id, location.c.id)
        .join(secret, secret.c.service_id == service.c.id)
        .join(
            location,
            (location.c.source == service.c.source)
            & (location.c.organization_id == service.c.organization_id),
        )
        .where(
            ~exists().where(link.c.source == service.c.source, link.c.service_id == service.c.id)
        )
    )
    now = {(row[0], row[1]) for row in conn.execute(union(stated, offices))}
    known = {(row.service_id, row.location_id) for row in conn.execute(select(place))}
    new = sorted(now - known)
    if new:
        conn.execute(
            insert(place), [{"service_id": one, "location_id": where} for one, where in new]
        )


def withheld() -> CompoundSelect[tuple[str]]:
    """The ids of the services that are secret or are given at a secret place, for ``IN``.

    Their free words may hold the address, so that no search looks into them: who tries one word
    after the other would read them by what is found. The same that ``ServiceView.withheld`` says.
    """
    secret, place = TABLES.confidential_service, TABLES.confidential_place
    link, service, location = TABLES.service_at_location, TABLES.service, TABLES.location
    given = select(link.c.service_id).join(place, place.c.location_id == link.c.location_id)
    offices = (
        select(service.c.id)
        .join(
            location,
            (location.c.source == service.c.source)
            & (location.c.organization_id == service.c.organization_id),
        )
        .join(place, place.c.location_id == location.c.id)
        .where(
            ~exists().where(link.c.source == service.c.source, link.c.service_id == service.c.id)
        )
    )
    return union(select(secret.c.service_id), given, offices)


def numbers(conn: Connection) -> Mapping[str, str]:
    """The secret services, each with the one number that is shown for it, or ""."""
    rows = conn.execute(select(TABLES.confidential_service))
    return {row.service_id: row.phone for row in rows}


def places(conn: Connection) -> Mapping[str, tuple[str, ...]]:
    """The secret places, each with the numbers of the services that make it one; often none."""
    secret, place = TABLES.confidential_service, TABLES.confidential_place
    found: dict[str, set[str]] = {}
    for row in conn.execute(
        select(place.c.location_id, secret.c.phone).join(
            secret, secret.c.service_id == place.c.service_id
        )
    ):
        found.setdefault(row.location_id, set()).update({row.phone} - {""})
    return {location: tuple(sorted(phones)) for location, phones in found.items()}

"""Agencies and the sharing protocols between them.

The registry carries and routes; it vouches for nothing. An operator who registers a wrong key, or
serves a substituted one, is found out by the agencies' clients, which verify everything under the
keys that they pinned themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.sharing_protocol import SharingProtocol, SignedProtocol
from safehand_store.engine import begin_read
from safehand_store.prepared import Prepared
from sqlalchemy import ColumnElement, Connection, bindparam, delete, insert, or_, select, update

from safehand_referral_service import identity_keys
from safehand_referral_service.context import Context, Request, once
from safehand_referral_service.identity_keys import IdentityKey, NextKey
from safehand_referral_service.tables import AGENCY, AGENCY_ORGANIZATION, PROTOCOL

DECODED: Final = 256
"""Protocols kept decoded, by their bytes: those that referrals pass under again and again."""
_KEY: Final = Prepared(select(AGENCY.c.identity_key).where(AGENCY.c.agency == bindparam("wanted")))
_AGENCY_OF: Final = Prepared(
    select(AGENCY_ORGANIZATION.c.agency).where(
        AGENCY_ORGANIZATION.c.organization == bindparam("wanted")
    )
)
_BETWEEN: Final = Prepared(
    select(PROTOCOL.c.protocol).where(
        PROTOCOL.c.agency_a == bindparam("a"), PROTOCOL.c.agency_b == bindparam("b")
    )
)


@dataclass(frozen=True, slots=True)
class Agency:
    """A directory entry; ``identity_key`` is the newest, 32 bytes, ``organizations`` HSDS ids,
    sorted, ``keys`` every key that it was listed with, the newest first."""

    agency: str
    display_name: str
    identity_key: bytes
    organizations: tuple[str, ...]
    keys: tuple[IdentityKey, ...] = ()


# --- agencies ----------------------------------------------------------------------------------


def register(context: Context, request: Request, entry: Agency) -> Agency:
    """List an agency; listing it again with the same key replaces name and organisations.

    Raises ALREADY_EXISTS for another key (see ``rotate_key``) or one that another agency ever had,
    or an organisation that another agency delivers, MALFORMED for what is no usable key.
    """

    def work(connection: Connection) -> dict[str, Json]:
        _register(connection, entry, context.clock.wall())
        return {"agency": entry.agency}

    once(context, request, work)
    return get(context, entry.agency)


def _register(connection: Connection, entry: Agency, now: int) -> None:
    found = _key(connection, entry.agency)
    values = {"display_name": entry.display_name}
    if found is None:
        connection.execute(
            insert(AGENCY).values(
                agency=entry.agency, identity_key=entry.identity_key, registered_at=now, **values
            )
        )
        identity_keys.add(connection, entry.agency, entry.identity_key, now)
    elif found != entry.identity_key:
        raise SafehandError(Reason.ALREADY_EXISTS, "the agency is listed with another key")
    else:
        connection.execute(update(AGENCY).where(AGENCY.c.agency == entry.agency).values(values))
    table = AGENCY_ORGANIZATION
    connection.execute(delete(table).where(table.c.agency == entry.agency))
    wanted = sorted(set(entry.organizations))
    if connection.execute(select(table).where(table.c.organization.in_(wanted))).first():
        raise SafehandError(Reason.ALREADY_EXISTS, "another agency delivers the organisation")
    for organization in wanted:
        connection.execute(insert(table).values(organization=organization, agency=entry.agency))


def get(context: Context, agency: str) -> Agency:
    """One entry; raises NOT_FOUND."""
    with begin_read(context.engine) as connection:
        row = connection.execute(select(AGENCY).where(AGENCY.c.agency == agency)).first()
        if row is None:
            raise SafehandError(Reason.NOT_FOUND)
        table = AGENCY_ORGANIZATION
        organizations = connection.execute(
            select(table.c.organization)
            .where(table.c.agency == agency)
            .order_by(table.c.organization)
        ).scalars()
        keys = tuple(identity_keys.of(connection, agency))
        return Agency(agency, row.display_name, row.identity_key, tuple(organizations), keys)


def rotate_key(context: Context, request: Request, wanted: NextKey) -> Agency:
    """List an agency's next identity key; the old one holds for an overlap.

    Raises what ``identity_keys.rotate`` raises, REQUEST_ID_REUSED.
    """

    def work(connection: Connection) -> dict[str, Json]:
        identity_keys.rotate(connection, wanted, context.clock.wall())
        return {"agency": wanted.agency}

    once(context, request, work)
    return get(context, wanted.agency)


def revoke_key(context: Context, request: Request, agency: str, fingerprint: str) -> Agency:
    """Refuse an identity key from now on, and carry no protocol any more that pins it or one
    before it: nobody knows who signed for what came after.

    Raises AGENCY_UNKNOWN, KEY_UNKNOWN, REQUEST_ID_REUSED.
    """

    def work(connection: Connection) -> dict[str, Json]:
        revoked = identity_keys.revoke(connection, agency, fingerprint, context.clock.wall())
        keys = [key.public for key in identity_keys.of(connection, agency)]
        ended = keys[keys.index(revoked) :]
        rows = connection.execute(
            select(PROTOCOL.c.digest, PROTOCOL.c.protocol).where(_is_party(agency))
        ).all()
        for row in rows:
            if _decoded(row.protocol).party(agency) in ended:
                connection.execute(delete(PROTOCOL).where(PROTOCOL.c.digest == row.digest))
        return {"agency": agency}

    once(context, request, work)
    return get(context, agency)


def agency_of(connection: Connection, organization: str) -> str:
    """The agency that delivers an HSDS organisation's services; empty when none does."""
    return _AGENCY_OF.scalar(connection, wanted=organization) or ""


def _key(connection: Connection, agency: str) -> bytes | None:
    found: bytes | None = _KEY.scalar(connection, wanted=agency)
    return found


# --- sharing protocols -------------------------------------------------------------------------


def publish_protocol(
    context: Context, request: Request, agency: str, signed: SignedProtocol
) -> str:
    """Carry a protocol that both parties signed; returns its digest (64 hex).

    Raises MALFORMED, NOT_ALLOWED (the caller is no party), SIGNATURE_INVALID, AGENCY_UNKNOWN,
    EXPIRY_INVALID (it is over), ALREADY_EXISTS (its id with other content or signatures).
    """
    protocol = signed.protocol
    if agency not in (protocol.a.agency, protocol.b.agency):
        raise SafehandError(Reason.NOT_ALLOWED)
    signed.verify()
    now, digest = context.clock.wall(), signed.digest.hex()
    if protocol.not_after <= now:
        raise SafehandError(Reason.EXPIRY_INVALID, "the protocol has ended")

    def work(connection: Connection) -> dict[str, Json]:
        for party in (protocol.a, protocol.b):
            identity_keys.verified(connection, party.agency, now, _must_be(party.key))
        query = select(PROTOCOL.c.digest).where(PROTOCOL.c.protocol_id == protocol.id)
        known = connection.execute(query).scalar_one_or_none()
        if known not in (None, digest):
            raise SafehandError(Reason.ALREADY_EXISTS)
        if known is None:
            connection.execute(
                insert(PROTOCOL).values(
                    digest=digest,
                    protocol_id=protocol.id,
                    agency_a=protocol.a.agency,
                    agency_b=protocol.b.agency,
                    not_before=protocol.not_before,
                    not_after=protocol.not_after,
                    protocol=signed.protocol_bytes,
                    signature_a=signed.signature_a,
                    signature_b=signed.signature_b,
                    published_at=now,
                )
            )
        return {"digest": digest}

    once(context, request, work)
    return digest


def protocols(
    context: Context, agency: str, after: str, limit: int
) -> Sequence[tuple[str, SignedProtocol]]:
    """At most ``limit`` protocols of ``agency`` with their digests, behind digest ``after``."""
    query = select(PROTOCOL).where(_is_party(agency), PROTOCOL.c.digest > after)
    with begin_read(context.engine) as connection:
        rows = connection.execute(query.order_by(PROTOCOL.c.digest).limit(limit))
        return [
            (row.digest, SignedProtocol(row.protocol, row.signature_a, row.signature_b))
            for row in rows
        ]


def require_protocol(
    connection: Connection,
    sender: str,
    recipient: str,
    purpose: str,
    categories: Collection[str],
    now: int,
) -> None:
    """Return if a live protocol of the two agencies names all of it; raises PROTOCOL_MISSING.

    Its signatures were verified when it was published.
    """
    a, b = sorted((sender, recipient))
    refused = SafehandError(Reason.PROTOCOL_MISSING)
    for row in _BETWEEN.all(connection, a=a, b=b):
        try:
            _decoded(row.protocol).covers(purpose, categories, now)
        except SafehandError as error:
            refused = error
        else:
            return
    raise refused


def _is_party(agency: str) -> ColumnElement[bool]:
    return or_(PROTOCOL.c.agency_a == agency, PROTOCOL.c.agency_b == agency)


def _must_be(wanted: bytes) -> Callable[[bytes], None]:
    def verify(key: bytes) -> None:
        if key != wanted:
            raise SafehandError(Reason.SIGNATURE_INVALID, "a party is listed with another key")

    return verify


@lru_cache(maxsize=DECODED)
def _decoded(protocol: bytes) -> SharingProtocol:
    """The protocol of these very bytes: decoding them again would say the same."""
    return SharingProtocol.decode(protocol)

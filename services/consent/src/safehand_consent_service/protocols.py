"""Sharing protocols that both agencies signed, checked under the keys pinned at enrolment."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from safehand_core import canonical
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.sharing_protocol import LedgerPin, SharingProtocol, SignedProtocol
from safehand_ledger.transaction import WriterTransaction
from safehand_rpc.identity import Principal
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, insert, select

from safehand_consent_service import agencies, tables
from safehand_consent_service.context import Context, Request, earlier, remember

MAX_TERM_S: Final = 10 * 366 * 24 * 3600
"""Longest life of a protocol: ten years, the longest retention it can name."""

DECODED: Final = 1024
"""Protocols kept in memory, 2 KB each."""

_LIVE: Final = (
    select(tables.protocol.c.digest, tables.protocol.c.body)
    .where(
        tables.protocol.c.not_before <= bindparam("now"),
        tables.protocol.c.not_after > bindparam("now"),
    )
    .order_by(tables.protocol.c.registered_at.desc(), tables.protocol.c.digest)
)
_LIVE_OF: Final = Prepared(
    _LIVE.where(
        (tables.protocol.c.a == bindparam("agency")) | (tables.protocol.c.b == bindparam("agency"))
    )
)
_LIVE_BETWEEN: Final = Prepared(
    _LIVE.where(
        tables.protocol.c.a == bindparam("first"), tables.protocol.c.b == bindparam("second")
    )
)


@dataclass(frozen=True, slots=True)
class Filed:
    """A protocol on file; ``digest`` (64 hex) is what GRANT bodies name."""

    digest: str
    protocol: SharingProtocol

    def other(self, agency: str) -> str:
        """The party that is not ``agency``."""
        a, b = self.protocol.a.agency, self.protocol.b.agency
        return b if agency == a else a


def register(
    context: Context, principal: Principal, signed: SignedProtocol, request: Request
) -> str:
    """File a protocol that both agencies signed; returns its digest, 64 hex.

    An agency files only protocols that it is a party of. Raises NOT_ALLOWED, ALREADY_EXISTS, and
    what ``check`` raises.
    """
    parties = (signed.protocol.a.agency, signed.protocol.b.agency)
    if principal.kind == "agency" and principal.name not in parties:
        raise SafehandError(Reason.NOT_ALLOWED)
    ledger = LedgerPin(context.ledger.name, context.ledger.vkey)

    def operation(txn: WriterTransaction) -> str:
        digest = signed.digest.hex()
        if earlier(txn.connection, request) is None:
            protocol = check(txn.connection, signed, ledger, txn.now)
            file(txn.connection, signed, protocol, txn.now)
            remember(txn, request, {"digest": digest})
        return digest

    return context.writer.submit(operation).value


def check(
    connection: Connection, signed: SignedProtocol, ledger: LedgerPin, now: int
) -> SharingProtocol:
    """The protocol, if both enrolled agencies signed it for this ledger and it is not over.

    Raises MALFORMED, AGENCY_UNKNOWN, SIGNATURE_INVALID.
    """
    protocol = signed.protocol
    for party in (protocol.a, protocol.b):
        agencies.require(connection, party.agency)
        if party.key not in agencies.keys_now(connection, party.agency, now):
            raise SafehandError(
                Reason.SIGNATURE_INVALID, "the protocol names another key than the enrolled one"
            )
    signed.verify()
    if protocol.ledger != ledger:
        raise _malformed("ledger", "the protocol pins another ledger than this one")
    if protocol.not_after <= now:
        raise _malformed("not_after", "the protocol is over")
    if protocol.not_after - protocol.not_before > MAX_TERM_S:
        raise _malformed("not_after", "the protocol's term is too long")
    return protocol


def file(
    connection: Connection, signed: SignedProtocol, protocol: SharingProtocol, now: int
) -> str:
    """Store a protocol that ``check`` passed; returns its digest, 64 hex. The same again is fine.

    Raises ALREADY_EXISTS for another protocol under the same id.
    """
    table = tables.protocol
    digest = signed.digest.hex()
    known = connection.execute(
        select(table.c.digest).where(table.c.protocol_id == protocol.id)
    ).scalars()
    others = set(known)
    if digest in others:
        return digest
    if others:
        raise SafehandError(Reason.ALREADY_EXISTS)
    connection.execute(
        insert(table).values(
            digest=digest,
            protocol_id=protocol.id,
            body=signed.protocol_bytes,
            sig_a=signed.signature_a,
            sig_b=signed.signature_b,
            a=protocol.a.agency,
            b=protocol.b.agency,
            purposes=canonical.encode(list(protocol.purposes)).decode(),
            categories=canonical.encode(list(protocol.categories)).decode(),
            not_before=protocol.not_before,
            not_after=protocol.not_after,
            registered_at=now,
        )
    )
    return digest


def live_of(connection: Connection, agency: str, now: int) -> list[Filed]:
    """Every protocol of ``agency`` that is live at ``now``, newest first."""
    return _filed(connection, _LIVE_OF.all(connection, agency=agency, now=now), now)


def live_between(connection: Connection, one: str, other: str, now: int) -> list[Filed]:
    """Every protocol between two agencies that is live at ``now``, newest first."""
    a, b = sorted((one, other))
    return _filed(connection, _LIVE_BETWEEN.all(connection, first=a, second=b, now=now), now)


def require_live(
    connection: Connection,
    releasing: str,
    recipient: str,
    purpose: str,
    categories: Collection[str],
    now: int,
) -> Filed:
    """The newest live protocol between the two that names the purpose and every category.

    Raises PROTOCOL_MISSING, with what the newest one lacks.
    """
    refusal: SafehandError | None = None
    for filed in live_between(connection, releasing, recipient, now):
        try:
            filed.protocol.covers(purpose, categories, now)
        except SafehandError as error:
            refusal = refusal or error
        else:
            return filed
    raise refusal or SafehandError(Reason.PROTOCOL_MISSING)


def _filed(connection: Connection, rows: Iterable[Any], now: int) -> list[Filed]:
    """Those whose keys are both believed at ``now``, or go on in one that is: a protocol ends with
    a key that it pins, unless that key signed for the next."""
    believed: dict[str, list[bytes]] = {}
    out = []
    for row in rows:
        filed = Filed(row.digest, _decoded(row.body))
        for party in (filed.protocol.a, filed.protocol.b):
            if party.agency not in believed:
                believed[party.agency] = agencies.keys_continued(connection, party.agency, now)
            if party.key not in believed[party.agency]:
                break
        else:
            out.append(filed)
    return out


@lru_cache(maxsize=DECODED)
def _decoded(body: bytes) -> SharingProtocol:
    """The same bytes are the same protocol: every grant asks for one."""
    return SharingProtocol.decode(body)


def _malformed(field: str, detail: str) -> SafehandError:
    return SafehandError(Reason.MALFORMED, detail, metadata={"field": field})

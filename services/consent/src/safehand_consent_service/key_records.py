"""Recipient key records: each signed by the agency's pinned key, each a KEY entry (DESIGN 3.6).

The tag of a KEY entry derives from agency and sequence alone, so that an agency can watch the
leaves for keys issued in its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.answer import DECLINE, WITHDRAW
from safehand_formats.keyrecord import KeyRecord, SignedKeyRecord
from safehand_formats.kinds import Kind, key_tag
from safehand_ledger.receipt import Receipt
from safehand_ledger.transaction import WriterTransaction
from safehand_rpc.identity import Principal
from safehand_store.engine import begin_read
from sqlalchemy import Connection, bindparam, exists, func, insert, select

from safehand_consent_service import agencies, tables
from safehand_consent_service.context import Context, Request, earlier, remember

OVERLAP_S: Final = 7 * 24 * 3600
"""Seconds after its successor's entry in which a recipient key is still sealed to: senders hold a
verified key for minutes, and a draft that was interrupted for days."""

_T: Final = tables.key_record
_BY_DIGEST: Final = select(_T.c.leaf_index).where(
    _T.c.agency == bindparam("agency"), _T.c.digest == bindparam("digest")
)
_LAST: Final = select(func.max(_T.c.sequence)).where(_T.c.agency == bindparam("agency"))


def append(
    context: Context, principal: Principal, signed: SignedKeyRecord, request: Request
) -> Receipt:
    """Append the calling agency's next key record; the same record again cites its entry.

    Raises MALFORMED (bad or expired record), NOT_ALLOWED (another agency's), AGENCY_UNKNOWN,
    SIGNATURE_INVALID, KEY_SEQUENCE, ALREADY_EXISTS (the key itself is on record already).
    """
    if principal.kind != "agency" or signed.record.agency != principal.name:
        raise SafehandError(Reason.NOT_ALLOWED)
    with begin_read(context.engine) as connection:
        record = agencies.verified(connection, principal.name, context.now, signed.verify)
    done = context.writer.submit(lambda txn: _append(txn, signed, record, request))
    return done.receipts[done.value]


def require_logged(connection: Connection, signed: SignedKeyRecord) -> int:
    """The index of the record's KEY entry; raises KEY_UNKNOWN where it was never appended."""
    index = _logged(connection, signed)
    if index is None:
        raise SafehandError(Reason.KEY_UNKNOWN)
    return index


def require_sealed_to(connection: Connection, record: KeyRecord, now: int) -> None:
    """Return if a new manifest may still name the key: it is the newest, or was until lately.

    Raises KEY_UNKNOWN: after the overlap the recipient may have deleted the private half.
    """
    until = _sealed_until(connection, record.agency, record.sequence)
    if until is not None and now >= until:
        raise SafehandError(Reason.KEY_UNKNOWN, "a newer key took its place")


@dataclass(frozen=True, slots=True)
class KeyUse:
    """Whether a private key may still be needed. Times: seconds since the epoch.

    Attributes:
        open_manifests: on file, naming the key, that may still be opened.
        until: when the last of them ends; None where there is none.
        sealed_until: until when a new one may name it; None while it is the newest key.
    """

    open_manifests: int
    until: int | None
    sealed_until: int | None


def use_of(connection: Connection, agency: str, kid: str, now: int) -> KeyUse:
    """What still needs the agency's own recipient key; raises KEY_UNKNOWN where it is not its."""
    sequence = connection.execute(
        select(_T.c.sequence).where(_T.c.agency == agency, _T.c.kid == kid)
    ).scalar_one_or_none()
    if sequence is None:
        raise SafehandError(Reason.KEY_UNKNOWN)
    refer, answer, grant = tables.refer.c, tables.answer.c, tables.grant.c
    closed = exists().where(
        answer.manifest_digest == refer.manifest_digest, answer.answer.in_((DECLINE, WITHDRAW))
    )
    count, until = connection.execute(
        select(func.count(), func.max(refer.not_after))
        .join_from(tables.refer, tables.grant, grant.grant_id == refer.grant_id)
        .where(
            refer.recipient == agency,
            refer.recipient_key == kid,
            refer.not_after > now,
            refer.replaced_by.is_(None),
            grant.state.not_in(tables.FINAL_STATES),
            ~closed,
        )
    ).one()
    return KeyUse(count, until, _sealed_until(connection, agency, sequence))


def _sealed_until(connection: Connection, agency: str, sequence: int) -> int | None:
    replaced = connection.execute(
        select(_T.c.logged_at).where(_T.c.agency == agency, _T.c.sequence == sequence + 1)
    ).scalar_one_or_none()
    return None if replaced is None else replaced + OVERLAP_S


def _append(
    txn: WriterTransaction, signed: SignedKeyRecord, record: KeyRecord, request: Request
) -> int:
    before = earlier(txn.connection, request)
    index = _logged(txn.connection, signed)
    if index is None:
        _require_next(txn, record)
        index = txn.append(
            Kind.KEY,
            key_tag(record.agency, record.sequence),
            {
                "kind": Kind.KEY.name,
                "agency": record.agency,
                "sequence": record.sequence,
                "record": signed.digest.hex(),
                "at": txn.now,
            },
        )
        txn.connection.execute(
            insert(_T).values(
                agency=record.agency,
                sequence=record.sequence,
                kid=record.kid,
                digest=signed.digest.hex(),
                record=signed.record_bytes,
                signature=signed.signature,
                not_before=record.not_before,
                not_after=record.not_after,
                leaf_index=index,
                logged_at=txn.now,
            )
        )
    else:
        txn.cite(index)
    if before is None:
        remember(txn, request, {"index": index})
    return index


def _require_next(txn: WriterTransaction, record: KeyRecord) -> None:
    if record.not_after <= txn.now:
        raise SafehandError(
            Reason.MALFORMED, "the key is over already", metadata={"field": "not_after"}
        )
    last = txn.connection.execute(_LAST, {"agency": record.agency}).scalar()
    if record.sequence != (0 if last is None else last + 1):
        raise SafehandError(Reason.KEY_SEQUENCE)
    same_key = select(_T.c.agency).where(_T.c.kid == record.kid)
    if txn.connection.execute(same_key).first() is not None:
        raise SafehandError(Reason.ALREADY_EXISTS, "the key is on record already")


def _logged(connection: Connection, signed: SignedKeyRecord) -> int | None:
    record = signed.record
    index: int | None = connection.execute(
        _BY_DIGEST, {"agency": record.agency, "digest": signed.digest.hex()}
    ).scalar_one_or_none()
    return index

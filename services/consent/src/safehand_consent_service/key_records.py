"""Recipient key records: each signed by the agency's pinned key, each a KEY entry (DESIGN 3.6).

The tag of a KEY entry derives from agency and sequence alone, so that an agency can watch the
leaves for keys issued in its name.
"""

from __future__ import annotations

from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.keyrecord import KeyRecord, SignedKeyRecord
from safehand_formats.kinds import Kind, key_tag
from safehand_ledger.receipt import Receipt
from safehand_ledger.transaction import WriterTransaction
from safehand_rpc.identity import Principal
from safehand_store.engine import begin_read
from sqlalchemy import Connection, bindparam, func, insert, select

from safehand_consent_service import agencies, tables
from safehand_consent_service.context import Context, Request, earlier, remember

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
        agency = agencies.require(connection, principal.name)
    record = signed.verify(agency.identity_key)
    done = context.writer.submit(lambda txn: _append(txn, signed, record, request))
    return done.receipts[done.value]


def require_logged(connection: Connection, signed: SignedKeyRecord) -> int:
    """The index of the record's KEY entry; raises KEY_UNKNOWN where it was never appended."""
    index = _logged(connection, signed)
    if index is None:
        raise SafehandError(Reason.KEY_UNKNOWN)
    return index


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

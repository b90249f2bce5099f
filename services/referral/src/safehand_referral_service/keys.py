"""Recipient keys: a record and the receipt of its KEY leaf, never one without the other."""

from __future__ import annotations

from dataclasses import dataclass

from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.bodies import decode_body
from safehand_formats.keyrecord import KeyRecord, SignedKeyRecord
from safehand_formats.kinds import Kind, key_tag
from safehand_formats.leaf import Leaf
from safehand_formats.note import NoteVerifier
from safehand_formats.opening import Opening
from safehand_formats.proof import TlogProof
from safehand_store.engine import begin_read
from sqlalchemy import Connection, func, insert, select

from safehand_referral_service import identity_keys
from safehand_referral_service.context import Context, Request, once
from safehand_referral_service.tables import KEY_RECORD


@dataclass(frozen=True, slots=True)
class KeyReceipt:
    """An opened receipt: leaf (104 bytes), tlog-proof text, salt (32 bytes), body (CJ)."""

    index: int
    leaf: bytes
    proof: str
    salt: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class PublishedKey:
    signed: SignedKeyRecord
    receipt: KeyReceipt


def publish(context: Context, request: Request, agency: str, key: PublishedKey) -> None:
    """Carry a key record; publishing the newest one again changes nothing.

    Raises MALFORMED, NOT_ALLOWED (another agency's record), AGENCY_UNKNOWN, SIGNATURE_INVALID,
    EXPIRY_INVALID (it is over), PROOF_INVALID (the receipt is not of this record's KEY leaf under
    the pinned ledger key), KEY_SEQUENCE (not above the last one).
    """
    if key.signed.record.agency != agency:
        raise SafehandError(Reason.NOT_ALLOWED)
    now = context.clock.wall()
    with begin_read(context.engine) as connection:
        record = identity_keys.verified(connection, agency, now, key.signed.verify)
    if record.not_after <= now:
        raise SafehandError(Reason.EXPIRY_INVALID, "the key has ended")
    verify_receipt(key, record, context.ledger)

    def work(connection: Connection) -> dict[str, Json]:
        _store(connection, key, record, context.clock.wall())
        return {"sequence": record.sequence}

    once(context, request, work)


def verify_receipt(key: PublishedKey, record: KeyRecord, ledger: NoteVerifier) -> None:
    """Return if the receipt proves this very record's KEY leaf; raises MALFORMED, PROOF_INVALID."""
    receipt = key.receipt
    proof = TlogProof.from_text(receipt.proof)
    if proof.index != receipt.index:
        raise SafehandError(Reason.PROOF_INVALID, "the receipt names another index")
    proof.verify(receipt.leaf, ledger)
    leaf = Leaf.decode(receipt.leaf)
    if leaf.tag != key_tag(record.agency, record.sequence):
        raise SafehandError(Reason.PROOF_INVALID, "the leaf is not of this agency's key")
    body = decode_body(Kind.KEY, receipt.body)
    Opening(receipt.index, Kind.KEY, receipt.salt, body).require_match(leaf)
    said = (body["agency"], body["sequence"], body["record"])
    if said != (record.agency, record.sequence, key.signed.digest.hex()):
        raise SafehandError(Reason.PROOF_INVALID, "the leaf is of another key record")


def newest(context: Context, agency: str) -> PublishedKey:
    """The newest key record of an agency with its receipt; raises KEY_UNKNOWN."""
    query = (
        select(KEY_RECORD)
        .where(KEY_RECORD.c.agency == agency)
        .order_by(KEY_RECORD.c.sequence.desc())
        .limit(1)
    )
    with begin_read(context.engine) as connection:
        row = connection.execute(query).first()
    if row is None:
        raise SafehandError(Reason.KEY_UNKNOWN)
    receipt = KeyReceipt(row.leaf_index, row.leaf, row.proof, row.salt, row.body)
    return PublishedKey(SignedKeyRecord(row.record, row.signature), receipt)


def _store(connection: Connection, key: PublishedKey, record: KeyRecord, now: int) -> None:
    table = KEY_RECORD
    last = connection.execute(
        select(func.max(table.c.sequence)).where(table.c.agency == record.agency)
    ).scalar_one()
    if last is not None and record.sequence <= last:
        same = connection.execute(
            select(table.c.sequence).where(
                table.c.agency == record.agency,
                table.c.sequence == last,
                table.c.record == key.signed.record_bytes,
                table.c.signature == key.signed.signature,
            )
        ).first()
        if record.sequence == last and same is not None:
            return
        raise SafehandError(Reason.KEY_SEQUENCE)
    connection.execute(
        insert(table).values(
            agency=record.agency,
            sequence=record.sequence,
            record=key.signed.record_bytes,
            signature=key.signed.signature,
            leaf_index=key.receipt.index,
            leaf=key.receipt.leaf,
            proof=key.receipt.proof,
            salt=key.receipt.salt,
            body=key.receipt.body,
            published_at=now,
        )
    )

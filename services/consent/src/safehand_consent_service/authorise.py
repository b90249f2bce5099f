"""AuthorizeReferral: a signed manifest becomes a REFER entry, outer wraps and a consent token.

What the sender claims is checked against what she granted, what the agencies agreed, and what the
recipient published; then, inside the writer, that the consent is live at that point of the order.
The answer is made fresh each time: the same manifest again cites the same REFER and gets new
outer wraps and a new token. Inner wraps are never stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from safehand_core import ids
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import token, wraps
from safehand_formats.keyrecord import SignedKeyRecord
from safehand_formats.kinds import Kind, grant_tag
from safehand_formats.manifest import Header, Manifest, SignedManifest
from safehand_ledger.receipt import Receipt
from safehand_ledger.transaction import WriterTransaction
from safehand_rpc.identity import Principal
from safehand_store.engine import begin_read
from sqlalchemy import Connection

from safehand_consent_service import (
    agencies,
    decision,
    grant_leaves,
    grant_state,
    key_records,
    referred,
)
from safehand_consent_service.context import Context, Request, earlier, remember
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.referred import Referred

CREATED_SKEW_S: Final = 300
"""How far in the future a manifest may say it was made: clocks of two agencies differ a little."""
TOKEN_S: Final = token.MAX_LIFETIME_S
"""How long a token is good for; the sender presents it at once."""


@dataclass(frozen=True, slots=True)
class Sending:
    """What the sender sent: the signed manifest, its inner wraps in order of part id, and the
    recipient's key record that it sealed to."""

    signed: SignedManifest
    inner_wraps: Sequence[bytes]
    recipient_key: SignedKeyRecord


@dataclass(frozen=True, slots=True)
class Authorised:
    """Outer wraps in order of part id, the consent token, and the receipt of REFER."""

    outer_wraps: list[bytes]
    token: str
    receipt: Receipt


def authorise(
    context: Context, principal: Principal, sending: Sending, request: Request
) -> Authorised:
    """Authorise a referral, or raise the reason why not.

    MALFORMED, NOT_ALLOWED, CONSENT_MISSING (no such grant of the caller's, or another recipient),
    AGENCY_UNKNOWN, SIGNATURE_INVALID, PURPOSE_MISMATCH, SCOPE_EXCEEDED, PROTOCOL_MISSING,
    KEY_UNKNOWN, KEY_ENDS_TOO_SOON, EXPIRY_INVALID, MANIFEST_MISMATCH, CONSENT_ENDED,
    ALREADY_EXISTS (the referral id is another manifest's), REFERRAL_CLOSED, QUOTA_EXCEEDED,
    REQUEST_ID_REUSED.
    """
    with begin_read(context.engine) as connection:
        manifest = _check_sender(connection, principal, sending.signed, context.now)
        grant = _require_grant(connection, manifest.header)
        purpose = manifest.header.purpose
        decision.require(
            decision.of_scope(connection, grant, purpose, manifest.categories, context.now)
        )
        _check_recipient_key(connection, sending, manifest.header, context.now)
    _check_times(manifest.header, grant, context.now)
    _check_wraps(manifest, sending.inner_wraps)
    done = context.writer.submit(
        lambda txn: _refer(txn, sending.signed, manifest, grant.grant_id, request)
    )
    receipt = done.receipts[done.value]
    outer = _outer_wraps(context, sending, manifest)
    return Authorised(
        outer, _mint(context, principal, sending.signed, manifest, grant, outer, receipt), receipt
    )


# --- what the sender claims ----------------------------------------------------------------------


def _check_sender(
    connection: Connection, principal: Principal, signed: SignedManifest, now: int
) -> Manifest:
    """The manifest, if the caller is its sender and its pinned key signed it."""
    sender = signed.manifest.header.sender
    if principal.kind != "agency" or principal.name != sender:
        raise SafehandError(Reason.NOT_ALLOWED)
    if referred.find(connection, signed.digest.hex()) is not None:
        return agencies.verified_then(connection, sender, signed.verify)
    return agencies.verified(connection, sender, now, signed.verify)


def _require_grant(connection: Connection, header: Header) -> Grant:
    """The grant, if it lets this sender share with this recipient; its state is asked later."""
    grant = grant_state.find(connection, header.grant)
    if grant is None or (grant.releasing, grant.recipient) != (header.sender, header.recipient):
        raise SafehandError(Reason.CONSENT_MISSING)
    return grant


def _check_recipient_key(
    connection: Connection, sending: Sending, header: Header, now: int
) -> None:
    """The record is the recipient's own, has its KEY leaf here, and outlives the manifest; a new
    manifest is not sealed to a key that was replaced long ago, whose private half may be gone."""
    signed = sending.recipient_key
    record = agencies.verified_then(connection, header.recipient, signed.verify)
    if record.agency != header.recipient or record.kid != header.recipient_key:
        raise SafehandError(Reason.MANIFEST_MISMATCH, "the record is of another recipient key")
    key_records.require_logged(connection, signed)
    record.covers(header.not_after, now=header.created)
    if referred.find(connection, sending.signed.digest.hex()) is None:
        key_records.require_sealed_to(connection, record, now)


def _check_times(header: Header, grant: Grant, now: int) -> None:
    if header.created > now + CREATED_SKEW_S:
        raise SafehandError(
            Reason.MALFORMED, "the manifest is from the future", metadata={"field": "created"}
        )
    if header.not_after > grant.expires_at:
        raise SafehandError(Reason.EXPIRY_INVALID, "the manifest outlives the consent")
    if header.not_after <= now:
        raise SafehandError(Reason.EXPIRY_INVALID, "the manifest is over")


def _check_wraps(manifest: Manifest, inner_wraps: Sequence[bytes]) -> None:
    if len(inner_wraps) != len(manifest.parts):
        raise SafehandError(Reason.MANIFEST_MISMATCH, "not one inner wrap for each part")
    for part, inner in zip(manifest.parts, inner_wraps, strict=True):
        part.match_wrap(inner)


# --- the entry -----------------------------------------------------------------------------------


def _refer(
    txn: WriterTransaction,
    signed: SignedManifest,
    manifest: Manifest,
    grant_id: str,
    request: Request,
) -> int:
    """Append REFER on the condition that the grant is live here, or cite the manifest's own."""
    header = manifest.header
    done_before = earlier(txn.connection, request)
    grant = grant_state.find(txn.connection, grant_id)
    if grant is None:
        raise SafehandError(Reason.CONSENT_MISSING)
    decision.require(decision.of_standing(grant, manifest.categories, txn.now))
    digest = signed.digest.hex()
    known = referred.find(txn.connection, digest)
    if known is not None:
        referred.require_current(known)
        referred.require_not_closed(referred.answers_to(txn.connection, digest))
        index = known.refer_index
        txn.cite(index)
    else:
        current = referred.find_referral(txn.connection, header.referral)
        referred.require_reseal(current, header)
        if current is not None:
            _require_same_matter(txn.connection, current, grant)
            referred.require_not_closed(referred.answers_to(txn.connection, current.digest))
        if header.not_after > grant.expires_at:
            # Asked again here: she may have moved its end since.
            raise SafehandError(Reason.EXPIRY_INVALID, "the manifest outlives the consent")
        if header.not_after <= txn.now:
            # And it may have waited: the leaf's own time must lie before its end.
            raise SafehandError(Reason.EXPIRY_INVALID, "the manifest is over")
        index = grant_leaves.append(
            txn,
            grant,
            Kind.REFER,
            {
                "manifest": digest,
                "referral": header.referral,
                "sender": header.sender,
                "recipient": header.recipient,
                "purpose": header.purpose,
                "categories": list(manifest.categories),
                "not_after": header.not_after,
                **({"reseals": header.reseals} if header.reseals else {}),
            },
        )
        referred.insert_new(txn.connection, signed, manifest, refer_index=index, now=txn.now)
        if current is not None:
            referred.replace(txn.connection, current.digest, digest)
    if done_before is None:
        remember(txn, request, {"index": index})
    return index


def _require_same_matter(connection: Connection, current: Referred, grant: Grant) -> None:
    """A referral stays hers, and what it is for: another consent takes its place, no other matter.

    The purpose of a manifest is that of its grant (``decision.of_scope``), and never changes.
    """
    before = grant_state.find(connection, current.grant_id)
    if before is None or before.subject_id != grant.subject_id:
        raise SafehandError(Reason.CONSENT_MISSING)
    if before.purpose != grant.purpose:
        raise SafehandError(Reason.MANIFEST_MISMATCH, "it is another referral")


# --- the answer ----------------------------------------------------------------------------------


def _outer_wraps(context: Context, sending: Sending, manifest: Manifest) -> list[bytes]:
    out: list[bytes] = []
    digest = sending.signed.digest
    with begin_read(context.engine) as connection:
        for part, inner in zip(manifest.parts, sending.inner_wraps, strict=True):
            label = part.label
            key = context.keks.open_key(connection, manifest.header.grant, label.category)
            if key is None:
                # Final since the entry was made.
                raise SafehandError(Reason.CONSENT_ENDED)
            out.append(wraps.outer_wrap(key, digest, label.id, inner, context.entropy))
    return out


def _mint(
    context: Context,
    principal: Principal,
    signed: SignedManifest,
    manifest: Manifest,
    grant: Grant,
    outer: Sequence[bytes],
    receipt: Receipt,
) -> str:
    now = context.now
    expires_at = min(now + TOKEN_S, grant_state.ends_at(grant))
    if expires_at <= now:
        raise SafehandError(Reason.CONSENT_ENDED)
    claims = token.TokenClaims(
        issuer=context.issuer,
        audience=context.audience,
        issued_at=now,
        not_before=now,
        expires_at=expires_at,
        jti=ids.new_id(context.entropy),
        certificate=token.certificate_thumbprint(principal.cert_der),
        recipient=manifest.header.recipient,
        purpose=manifest.header.purpose,
        categories=manifest.categories,
        manifest_digest=signed.digest,
        outer_wraps_digest=wraps.outer_wraps_digest(outer),
        ledger_origin=context.ledger.name,
        ledger_index=receipt.index,
        leaf_hash=receipt.leaf_hash,
        revoke_tag=grant_tag(Kind.REVOKE, grant.secret, 0),
    )
    return token.mint(claims, context.token_key)

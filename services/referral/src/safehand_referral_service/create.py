"""CreateReferral: no valid token, no referral (DESIGN 3.5, PROTOCOL step 7).

What can be checked from the request, the pinned keys and the clock is checked before the write
transaction; what another transaction may change is checked inside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from safehand_core import failpoints
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import sealing, token
from safehand_formats.manifest import Header, Manifest, SignedManifest
from safehand_store.engine import begin_read
from sqlalchemy import Connection

from safehand_referral_service import (
    fetch,
    identity_keys,
    referral_store,
    registry,
    services,
    states,
)
from safehand_referral_service.context import Context, Request, earlier, once
from safehand_referral_service.identity_keys import IdentityKey
from safehand_referral_service.referral_store import Referral, SealedPart
from safehand_referral_service.states import Action, Side


@dataclass(frozen=True, slots=True)
class Opened(SignedManifest):
    """A signed manifest, decoded once for all that read it. Still nobody's before ``verify``."""

    decoded: Manifest

    @classmethod
    def of(cls, signed: SignedManifest) -> Opened:
        """Raises MALFORMED."""
        return cls(signed.manifest_bytes, signed.signature, signed.manifest)

    @property
    def manifest(self) -> Manifest:
        return self.decoded


@dataclass(frozen=True, slots=True)
class Submission:
    """What the sender hands over. ``cert_der``: its client certificate on this connection."""

    agency: str
    cert_der: bytes
    token: str
    signed: SignedManifest
    parts: Sequence[SealedPart]


def create(context: Context, request: Request, submission: Submission) -> Referral:
    """The referral, new or as it stands if this was sent before.

    Raises MALFORMED, NOT_ALLOWED, AGENCY_UNKNOWN, SIGNATURE_INVALID, TOKEN_INVALID, TOKEN_EXPIRED,
    MANIFEST_MISMATCH, EXPIRY_INVALID, CONSENT_ENDED, PROTOCOL_MISSING, NOT_FOUND (the recipient
    delivers no such service), SERVICE_NEEDS_EXCEEDED, ALREADY_EXISTS, REQUEST_ID_REUSED,
    UNAVAILABLE (consent's events were not read since the start).
    """
    agency = submission.agency
    with begin_read(context.engine) as connection:
        # A repeat of what is done stays done, though its token is over by now.
        done = earlier(connection, request) is not None
        if not done:
            context.require_followed()
        submission = replace(submission, signed=Opened.of(submission.signed))
        referral = submission.signed.manifest.header.referral
        if done:
            return referral_store.require(connection, referral, agency)[0]
        sender_keys = _sender_keys(connection, submission)
    manifest, refer_index = _verified(context, submission, sender_keys)
    made: list[Referral] = []

    def work(connection: Connection) -> dict[str, Json]:
        made.append(_insert(context, connection, manifest, submission, refer_index))
        failpoints.hit("referral.create.before_commit")
        return {"referral": referral}

    once(context, request, work)
    failpoints.hit("referral.create.committed")
    # Nothing was made where the same request, sent twice at a time, came first by the other way.
    return made[0] if made else fetch.state(context, agency, referral)


def _sender_keys(connection: Connection, submission: Submission) -> list[IdentityKey]:
    """The registered keys of the sender, who is the caller."""
    header = submission.signed.manifest.header
    if header.sender != submission.agency:
        raise SafehandError(Reason.NOT_ALLOWED)
    return identity_keys.of(connection, header.sender)


def _verified(
    context: Context, submission: Submission, sender_keys: list[IdentityKey]
) -> tuple[Manifest, int]:
    """The manifest, once all that came with it agrees with it, and its REFER leaf's index.

    When it was made counts, not now: the token says that consent took it under the keys of its
    day, and an interrupted send is finished after the key that signed it was retired.
    """
    made_at = submission.signed.manifest.header.created
    manifest = identity_keys.verified_under(sender_keys, made_at, submission.signed.verify)
    header, now = manifest.header, context.clock.wall()
    claims = token.verify(
        submission.token,
        keys=context.token_keys,
        issuer=context.issuer,
        audience=context.audience,
        now=now,
        peer_cert_der=submission.cert_der,
    )
    _match_parts(manifest, submission.parts)
    claims.match(submission.signed, [part.outer_wrap for part in submission.parts])
    if header.not_after <= now:
        raise SafehandError(Reason.EXPIRY_INVALID, "the manifest has ended")
    return manifest, claims.ledger_index


def _match_parts(manifest: Manifest, sealed: Sequence[SealedPart]) -> None:
    if len(sealed) != len(manifest.parts):
        raise SafehandError(Reason.MANIFEST_MISMATCH, "the manifest names another number of parts")
    for part, given in zip(manifest.parts, sealed, strict=True):
        if len(given.ciphertext) != part.label.bucket + sealing.TAG_BYTES:
            raise SafehandError(Reason.MANIFEST_MISMATCH, "a ciphertext is not of its bucket")
        part.match_ciphertext(given.ciphertext)


def _insert(
    context: Context,
    connection: Connection,
    manifest: Manifest,
    submission: Submission,
    refer_index: int,
) -> Referral:
    """The referral, inserted or sealed again unless that is done."""
    header, now = manifest.header, context.clock.wall()
    digest = submission.signed.digest.hex()
    # Before anything else that depends on state: while sharing is stopped a repeat is refused too.
    if referral_store.grant_stopped(connection, header.grant):
        raise SafehandError(Reason.CONSENT_ENDED)
    existing = referral_store.find(connection, header.referral)
    if existing is not None:
        if existing.manifest_digest == digest:
            return existing
        _require_newer(existing, header, refer_index)
    registry.require_protocol(
        connection, header.sender, header.recipient, header.purpose, manifest.categories, now
    )
    services.require_needs(connection, header.service, header.recipient, manifest.categories)
    sealed = _sealed(header, digest, submission.signed, refer_index)
    if existing is not None:
        return _reseal(connection, existing, sealed, submission.parts, now)
    row = states.decide(None, Action.CREATE, Side.SENDER)
    values = _columns(header, now) | sealed
    values["state"] = row.target
    values["disclosed"] = int(referral_store.was_disclosed(connection, header.referral))
    made = referral_store.add(connection, values, submission.parts)
    referral_store.tell(connection, made, row, now)
    return made


def _require_newer(existing: Referral, header: Header, refer_index: int) -> None:
    """Raise ALREADY_EXISTS unless consent let this manifest replace an older one of the referral.

    Consent checked what it replaces before it gave the token (its REFER leaf says so); here the
    index alone tells a newer seal from a late repeat of an older one.
    """
    same = (existing.sender, existing.recipient, existing.service, existing.purpose)
    if (
        not header.reseals
        or refer_index <= existing.refer_index
        or same != (header.sender, header.recipient, header.service, header.purpose)
    ):
        raise SafehandError(Reason.ALREADY_EXISTS)


def _reseal(
    connection: Connection,
    existing: Referral,
    sealed: dict[str, str | int | bytes],
    parts: Sequence[SealedPart],
    now: int,
) -> Referral:
    """New parts in the same place: state, answer and clocks stay."""
    row = states.decide(existing.state, Action.RESEAL, Side.SENDER)
    referral_store.reseal(connection, existing, sealed, parts, now)
    referral_store.tell(connection, existing, row, now)
    found = referral_store.find(connection, existing.referral)
    assert found is not None  # noqa: S101  it was, in this transaction
    return found


def _columns(header: Header, now: int) -> dict[str, str | int | bytes]:
    return {
        "referral": header.referral,
        "sender": header.sender,
        "recipient": header.recipient,
        "service": header.service,
        "purpose": header.purpose,
        "urgency": header.urgency,
        "created_at": now,
        "answer_by": states.answer_by(now, header.urgency),
    }


def _sealed(
    header: Header, digest: str, signed: SignedManifest, refer_index: int
) -> dict[str, str | int | bytes]:
    """What a new seal replaces."""
    return {
        "consent_grant": header.grant,
        "not_after": header.not_after,
        "refer_index": refer_index,
        "manifest": signed.manifest_bytes,
        "signature": signed.signature,
        "manifest_digest": digest,
    }

"""ReleaseKey: one part's inner wrap for a ledger entry, in exactly the order of DESIGN 3.4.

(a) who asks, by certificate, manifest, grant and signature, and what is on file about the
    referral; (b) the outer wrap opens in memory and is the one that the sender signed for;
(c) DISCLOSE, on the condition that at that point of the ledger's order everything still holds;
(d) the grant's gate, which her stop closes before it queues.

What is released is stored nowhere. A repeated request is checked all over again and cites its old
entry; nothing on this path remembers a verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from safehand.consent.v1 import consent_pb2
from safehand_core import failpoints
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import fields, wraps
from safehand_formats.answer import ACCEPT
from safehand_formats.kinds import Kind
from safehand_formats.release_request import ReleaseRequest, SignedReleaseRequest
from safehand_ledger.receipt import Receipt
from safehand_ledger.transaction import WriterTransaction
from safehand_rpc.identity import Principal
from safehand_store.engine import begin_read
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, and_, bindparam, func, insert, select

from safehand_consent_service import (
    agencies,
    decision,
    events_out,
    grant_leaves,
    grant_state,
    referred,
    tables,
)
from safehand_consent_service.context import Context, Request, earlier_here, remember
from safehand_consent_service.leaving import Call
from safehand_consent_service.refused_looks import UNVERIFIED, RefusedLook

About = Any
"""A row of ``_SUBJECT``: the manifest on file, its recipient, and the part that is asked for;
``category`` is None where there is no such part."""

METHOD: Final = "ReleaseKey"
LOOKS: Final = 60
"""New looks of one recipient at one referral within ``LOOKS_WINDOW_S``: a team that opens every
part of a large referral several times stays below; a loop that floods her page does not."""
LOOKS_WINDOW_S: Final = 3600

_T = tables.refer.c
_P = tables.refer_part.c
_SUBJECT: Final = Prepared(
    select(
        _T.manifest_digest,
        _T.referral,
        _T.grant_id,
        _T.sender,
        _T.recipient,
        _T.not_after,
        _T.replaced_by,
        tables.grant.c.recipient.label("grant_recipient"),
        _P.category,
        _P.stage,
        _P.wrap_hash,
    )
    .join(tables.grant, tables.grant.c.grant_id == _T.grant_id)
    .outerjoin(
        tables.refer_part,
        and_(_P.manifest_digest == _T.manifest_digest, _P.part == bindparam("wanted")),
    )
    .where(_T.manifest_digest == bindparam("digest"))
)
_COUNT: Any = func.count()
_RECENT_COLUMNS: Final = (_COUNT.label("count"), func.min(tables.look.c.at).label("oldest"))
_RECENT_WHERE: Final = (
    tables.look.c.recipient == bindparam("reader"),
    # Of the referral, whichever of its manifests was looked at: a new seal starts no new count.
    tables.look.c.manifest_digest.in_(
        select(_T.manifest_digest).where(_T.referral == bindparam("referral"))
    ),
    tables.look.c.at > bindparam("since"),
)
_RECENT: Final = Prepared(select(*_RECENT_COLUMNS).where(*_RECENT_WHERE))
_LOOK: Final = Prepared(insert(tables.look))
_SAME: Final = tables.look.alias("same")
_BEFORE: Final = Prepared(
    # Idempotency rows are forgotten after days; a look never is, so its request names it for good.
    select(
        select(_SAME.c.leaf_index)
        .where(_SAME.c.request == bindparam("request"))
        .scalar_subquery()
        .label("leaf_index"),
        select(_T.replaced_by)
        .where(_T.manifest_digest == bindparam("manifest"))
        .scalar_subquery()
        .label("replaced_by"),
        *_RECENT_COLUMNS,
    ).where(*_RECENT_WHERE)
)


@dataclass(frozen=True, slots=True)
class Released:
    """The inner wrap (1168 bytes), for the recipient's private key alone, and its DISCLOSE."""

    inner_wrap: bytes
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class _Asked:
    """One call: who, what, and under which id."""

    principal: Principal
    signed: SignedReleaseRequest
    request: ReleaseRequest
    outer_wrap: bytes
    repeat: Request


def release(
    context: Context, principal: Principal, call: Call, message: consent_pb2.ReleaseKeyRequest
) -> Released:
    """Release one part to its recipient, or raise the reason why not.

    MALFORMED, NOT_ALLOWED (not this caller's, or not there), SIGNATURE_INVALID, MANIFEST_MISMATCH,
    REFERRAL_CLOSED, CONSENT_ENDED, NOT_ACCEPTED, WRAP_INVALID: nothing was appended. CONSENT_ENDED
    may also come after the entry, when her stop took the gate meanwhile. QUOTA_EXCEEDED,
    CLOCK_SUSPECT, REQUEST_ID_REUSED, and what the writer raises.
    """
    asked = _asked(context, principal, message)
    with begin_read(context.engine) as connection:
        about = _require_recipient(connection, asked)
        with _noting_refusals(context, asked, about):
            _check_request(connection, asked, about, context.now)
            on_file = referred.answers_to(connection, about.manifest_digest)
            decision.require(decision.of_referral(about, on_file, context.now))
            inner = _unwrap(context, connection, about, asked)
    with _noting_refusals(context, asked, about):
        done = context.writer.submit(lambda txn: _disclose(context, txn, asked, about))
    context.wake_behind(done)
    released = Released(inner, done.receipts[done.value])
    # On PostgreSQL another process may write the ledger by then, whose gates know nothing of this.
    until = context.writer.leaves_by(done)
    passage = context.gates.enter(about.grant_id, call, about.category, until)
    failpoints.hit("consent.release.before_answer")
    context.writer.require_leaving_in_time(done)
    context.gates.hand_over(passage, lambda: context.hooks.tell_release_handed(about.grant_id))
    return released


def _asked(
    context: Context, principal: Principal, message: consent_pb2.ReleaseKeyRequest
) -> _Asked:
    signed = SignedReleaseRequest(message.request, message.signature)
    request = signed.request
    hashed = context.cards.request_hash(message.SerializeToString(deterministic=True))
    repeat = Request(principal.spiffe_id, METHOD, request.request_id, hashed)
    return _Asked(principal, signed, request, message.outer_wrap, repeat)


# --- (a) who asks for what -----------------------------------------------------------------------


def _require_recipient(connection: Connection, asked: _Asked) -> About:
    """The manifest on file, if certificate, manifest, grant and request name one recipient.

    Anything else is NOT_ALLOWED: whoever may not ask learns not even that there is something.
    """
    row = _SUBJECT.first(connection, digest=asked.request.manifest, wanted=asked.request.part)
    caller = asked.principal.name if asked.principal.kind == "agency" else None
    if row is None or {row.recipient, row.grant_recipient, asked.request.recipient} != {caller}:
        raise SafehandError(Reason.NOT_ALLOWED)
    return row


def _check_request(connection: Connection, asked: _Asked, about: About, now: int) -> None:
    """The recipient's pinned key signed it, for this referral, and there is such a part."""
    agencies.verified(connection, about.recipient, now, asked.signed.verify)
    if asked.request.referral != about.referral:
        raise SafehandError(Reason.MANIFEST_MISMATCH, "the manifest is of another referral")
    require_part(about)


def about(connection: Connection, digest: str, part: int) -> About:
    """What is on file about one part of the manifest ``digest`` (64 hex), or None."""
    return _SUBJECT.first(connection, digest=digest, wanted=part)


def require_part(about: About) -> None:
    """Raise MANIFEST_MISMATCH unless the manifest has the part."""
    if about.category is None:
        raise SafehandError(Reason.MANIFEST_MISMATCH, "the manifest has no such part")


# --- (b) the wrap --------------------------------------------------------------------------------


def _unwrap(context: Context, connection: Connection, about: About, asked: _Asked) -> bytes:
    """The inner wrap; CONSENT_ENDED where its key is destroyed, WRAP_INVALID where it is not it."""
    key = context.keks.open_key(connection, about.grant_id, about.category)
    if key is None:
        raise SafehandError(Reason.CONSENT_ENDED)
    digest = bytes.fromhex(about.manifest_digest)
    inner = wraps.outer_unwrap(key, digest, asked.request.part, asked.outer_wrap)
    _require_signed_wrap(about, inner)
    return inner


def _require_signed_wrap(about: About, inner: bytes) -> None:
    if fields.sha256(inner) != about.wrap_hash:
        raise SafehandError(Reason.WRAP_INVALID, "it holds another wrap than the sender signed for")


# --- (c) the entry -------------------------------------------------------------------------------


def _disclose(context: Context, txn: WriterTransaction, asked: _Asked, about: About) -> int:
    """Append DISCLOSE, or cite the one of this very request; everything that can change is asked
    again here, at this point of the order."""
    before = earlier_here(txn, asked.repeat)
    grant = grant_state.find(txn.hot, about.grant_id)
    suspect = context.writer.clock_suspect
    decision.require(decision.of_consent(grant, about.category, txn.now, clock_suspect=suspect))
    on_file = referred.answers_to(txn.hot, about.manifest_digest)
    decision.require(decision.of_referral(about, on_file, txn.now))
    assert grant is not None  # noqa: S101  of_consent says so
    digest = asked.signed.digest.hex()
    looks = _BEFORE.first(
        txn.hot,
        request=digest,
        manifest=about.manifest_digest,
        reader=about.recipient,
        referral=about.referral,
        since=txn.now - LOOKS_WINDOW_S,
    )
    # ``about`` was read before this was queued; only this of it can have changed since.
    referred.require_current(looks)
    if before is None and looks.leaf_index is not None:
        before = {"index": looks.leaf_index}
    if before is not None:
        index = before["index"]
        assert isinstance(index, int)  # noqa: S101  remembered below
        txn.cite(index)
        return index
    _require_few(looks, txn.now)
    index = grant_leaves.append(
        txn,
        grant,
        Kind.DISCLOSE,
        {
            "manifest": about.manifest_digest,
            "part": asked.request.part,
            "category": about.category,
            "stage": about.stage,
            "recipient": about.recipient,
            "worker_ref": asked.request.worker_ref,
            "request": digest,
            "accept": on_file.get(ACCEPT, ""),
        },
    )
    _LOOK.run(
        txn.hot,
        leaf_index=index,
        grant_id=about.grant_id,
        manifest_digest=about.manifest_digest,
        part=asked.request.part,
        category=about.category,
        recipient=about.recipient,
        worker_ref=asked.request.worker_ref,
        request=digest,
        at=txn.now,
    )
    events_out.disclosed(txn, about.referral, about.sender, txn.now)
    remember(txn, asked.repeat, {"index": index})
    return index


def require_quota(connection: Connection, about: About, now: int) -> None:
    """Raise QUOTA_EXCEEDED after ``LOOKS`` of this recipient at this referral in the window."""
    recent = _RECENT.first(
        connection,
        reader=about.recipient,
        referral=about.referral,
        since=now - LOOKS_WINDOW_S,
    )
    _require_few(recent, now)


def _require_few(recent: Any, now: int) -> None:
    if recent.count >= LOOKS:
        wait = recent.oldest + LOOKS_WINDOW_S - now
        raise SafehandError(Reason.QUOTA_EXCEEDED, retry_after_s=float(wait))


# --- refusals ------------------------------------------------------------------------------------


@contextmanager
def _noting_refusals(context: Context, asked: _Asked, about: About) -> Iterator[None]:
    """Whatever is refused inside goes to her list of refused looks too."""
    try:
        yield
    except SafehandError as error:
        if about.category is not None:
            signed = error.reason is not Reason.SIGNATURE_INVALID
            context.refused.record(
                RefusedLook(
                    about.grant_id,
                    asked.principal.name,
                    about.category,
                    asked.request.worker_ref if signed else UNVERIFIED,
                    error.reason,
                )
            )
        raise

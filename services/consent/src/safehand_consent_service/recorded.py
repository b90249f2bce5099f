"""What a worker took down for her, and a second person who stands by it: each signed, each shown.

A record becomes a provisional grant. It lapses by itself unless she confirms it (``confirm``), and
until she or a second person does, nothing sensitive goes out under it
(``grant_state.require_shareable``). The recipient's own staff can do neither. An agency that is not
the releasing one is answered alike whatever came of it, so that it learns nothing of her but what
it said itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_formats.record import Record, RecordedTerms, Second, SignedRecord, SignedSecond
from safehand_ledger.receipt import Receipt
from safehand_ledger.transaction import WriterTransaction
from safehand_rpc.identity import Principal
from safehand_store.engine import begin_read
from safehand_store.prepared import Prepared
from sqlalchemy import bindparam, func, insert, select, update

from safehand_consent_service import (
    agencies,
    events_out,
    grant_leaves,
    grant_state,
    grants,
    subjects,
    subjects_of,
    tables_recorded,
)
from safehand_consent_service.context import Context, Request, earlier, remember
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.grants import Origin, Terms
from safehand_consent_service.tables import grant as consent_grant

DAY_S: Final = 24 * 3600
CONFIRM_WITHIN_S: Final = 14 * DAY_S
"""How long what a worker recorded holds without her own word: time for one more visit, and no more,
for silence must never turn into consent (DESIGN 6)."""
RECORD_AGE_MAX_S: Final = 7 * DAY_S
"""How old a record may be when it is filed: a week of work away from a network. An older one may be
a copy that somebody kept."""
AT_SKEW_S: Final = 300
"""How far in the future a record may say it was made: the agency's clock may differ a little."""
RECORDS_PER_DAY: Final = 5
"""Records of one agency for one person in 24 hours: one visit with several recipients."""
SECOND_METHOD: Final = "SecondGrant"
RECORDS_OPEN: Final = 10
"""Records of one agency for one person in ``CONFIRM_WITHIN_S``: no more than these can wait for her
at once. Answered ones count too, or the limit would tell the agency what she answered."""

_T = tables_recorded.recorded.c
_INSERT: Final = Prepared(insert(tables_recorded.recorded))
_SECOND: Final = Prepared(insert(tables_recorded.seconded))
_FIND: Final = Prepared(
    select(
        _T.record, _T.agency, _T.recorder_ref, _T.body, _T.subject_id, _T.grant_id, _T.confirm_by
    ).where(_T.record == bindparam("wanted"))
)
_BY_REQUEST: Final = Prepared(
    select(_T.record, _T.body, _T.grant_id, _T.confirm_by).where(
        _T.agency == bindparam("by"), _T.request_id == bindparam("request")
    )
)
_COUNT: Any = func.count()
_RECENT: Final = Prepared(
    select(_COUNT.label("count"), func.min(_T.recorded_at).label("oldest")).where(
        _T.agency == bindparam("by"),
        _T.subject_id == bindparam("her"),
        _T.recorded_at > bindparam("since"),
    )
)
_SECONDED: Final = Prepared(
    select(
        tables_recorded.seconded.c.digest,
        tables_recorded.seconded.c.leaf_index,
    ).where(tables_recorded.seconded.c.record == bindparam("wanted"))
)
_SET_SECONDED: Final = Prepared(
    update(consent_grant).where(consent_grant.c.grant_id == bindparam("wanted")).values(seconded=1)
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """``grant`` and ``receipt`` (of GRANT) are None for who is not the releasing agency."""

    grant: Grant | None
    receipt: Receipt | None
    confirm_by: int


@dataclass(frozen=True, slots=True)
class Seconded:
    """``receipt`` (of CONFIRM) is None for who is not the releasing agency."""

    receipt: Receipt | None


# --- a record ------------------------------------------------------------------------------------


def record(context: Context, principal: Principal, signed: SignedRecord) -> Recorded:
    """File what a worker took down for her; the same record again answers the same grant.

    Raises MALFORMED, NOT_ALLOWED (another agency's record, or its own recipient's), AGENCY_UNKNOWN,
    SIGNATURE_INVALID, NOT_FOUND (no such reference of this agency's), REQUEST_ID_REUSED,
    QUOTA_EXCEEDED, EXPIRY_INVALID, PROTOCOL_MISSING.
    """
    claimed = signed.record
    _require_caller(principal, claimed.agency)
    if claimed.agency == claimed.terms.recipient:
        raise SafehandError(Reason.NOT_ALLOWED, "the recipient's own staff cannot record it")
    terms = _terms(claimed.terms)
    with begin_read(context.engine) as connection:
        agencies.verified(connection, claimed.agency, context.now, signed.verify)
    done = context.writer.submit(lambda txn: _record(context, txn, signed, claimed, terms))
    context.wake()
    grant, confirm_by = done.value
    receipt = None if grant is None else done.receipts[grant.grant_index]
    return Recorded(grant, receipt, confirm_by)


def _record(
    context: Context, txn: WriterTransaction, signed: SignedRecord, claimed: Record, terms: Terms
) -> tuple[Grant | None, int]:
    subject_id = subjects_of.require(txn.connection, claimed.agency, claimed.subject_ref)
    is_releasing = claimed.agency == claimed.terms.releasing
    before = _BY_REQUEST.first(txn.connection, by=claimed.agency, request=claimed.request_id)
    if before is not None:
        if before.body != signed.record_bytes:
            raise SafehandError(Reason.REQUEST_ID_REUSED)
        grant = grant_state.find(txn.connection, before.grant_id) if before.grant_id else None
        if grant is not None and is_releasing:
            txn.cite(grant.grant_index)
        return grant if is_releasing else None, before.confirm_by
    _require_fresh(claimed.at, txn.now)
    _require_quota(txn, claimed.agency, subject_id)
    confirm_by = txn.now + CONFIRM_WITHIN_S
    digest = signed.digest.hex()
    grant = _grant(context, txn, subject_id, claimed, terms, digest, confirm_by)
    _INSERT.run(
        txn.connection,
        record=digest,
        agency=claimed.agency,
        recorder_ref=claimed.worker_ref,
        medium=claimed.medium,
        request_id=claimed.request_id,
        body=signed.record_bytes,
        signature=signed.signature,
        subject_id=subject_id,
        grant_id=None if grant is None else grant.grant_id,
        recorded_at=txn.now,
        confirm_by=confirm_by,
        seen_at=None,
    )
    return grant if is_releasing else None, confirm_by


def _grant(
    context: Context,
    txn: WriterTransaction,
    subject_id: str,
    claimed: Record,
    terms: Terms,
    digest: str,
    confirm_by: int,
) -> Grant | None:
    """The provisional grant, or None where the releasing agency does not know her.

    Whether it does is not for another agency to learn: everything that is not about her is
    refused as ever, and then nothing comes of the record but a line in her list.
    """
    origin = Origin(
        recorded_by=claimed.agency,
        recorder_ref=claimed.worker_ref,
        medium=claimed.medium,
        record=digest,
        confirm_by=confirm_by,
    )
    grants.require_possible(txn.connection, terms, txn.now)
    if not subjects.knows(txn.connection, terms.releasing, subject_id):
        return None
    return grants.record(context, txn, subject_id, terms, origin)


def _terms(claimed: RecordedTerms) -> Terms:
    return Terms(
        releasing=claimed.releasing,
        recipient=claimed.recipient,
        purpose=claimed.purpose,
        categories=claimed.categories,
        notice=claimed.notice,
        language=claimed.language,
        given_how=claimed.given_how,
        present=claimed.present,
        expires_at=claimed.expires_at,
        erase_by=claimed.erase_by,
    )


def _require_quota(txn: WriterTransaction, agency: str, subject_id: str) -> None:
    for most, window_s in ((RECORDS_PER_DAY, DAY_S), (RECORDS_OPEN, CONFIRM_WITHIN_S)):
        recent = _RECENT.first(txn.connection, by=agency, her=subject_id, since=txn.now - window_s)
        if recent.count >= most:
            wait = recent.oldest + window_s - txn.now
            raise SafehandError(
                Reason.QUOTA_EXCEEDED,
                "of records for one person; ask her herself",
                retry_after_s=float(wait),
            )


# --- a second person -----------------------------------------------------------------------------


def second(context: Context, principal: Principal, signed: SignedSecond) -> Seconded:
    """Let a second person stand by a record; the same second again answers the same entry.

    Raises MALFORMED, NOT_ALLOWED (another agency's second, the recipient's own staff, or the one
    who recorded it), AGENCY_UNKNOWN, SIGNATURE_INVALID, NOT_FOUND (no such record about somebody
    whom this agency knows by that reference), REQUEST_ID_REUSED, and for the releasing agency
    CONSENT_ENDED and ALREADY_EXISTS (confirmed already). Any other agency is answered alike,
    whatever became of the record and of its own second.
    """
    claimed = signed.second
    _require_caller(principal, claimed.agency)
    with begin_read(context.engine) as connection:
        agencies.verified(connection, claimed.agency, context.now, signed.verify)
    # Its id is inside what was signed; the whole of that is what a repeat must equal.
    hashed = context.cards.request_hash(signed.digest)
    request = Request(principal.spiffe_id, SECOND_METHOD, claimed.request_id, hashed)
    done = context.writer.submit(lambda txn: _second(txn, signed, claimed, request))
    context.wake()
    receipt = None if done.value is None else done.receipts[done.value]
    return Seconded(receipt)


def _second(
    txn: WriterTransaction, signed: SignedSecond, claimed: Second, request: Request
) -> int | None:
    """The index of CONFIRM for the releasing agency, None for any other."""
    her = subjects_of.find(txn.connection, claimed.agency, claimed.subject_ref)
    about = _FIND.first(txn.connection, wanted=claimed.record)
    if her is None or about is None or about.subject_id != her:
        raise SafehandError(Reason.NOT_FOUND)
    terms = Record.decode(about.body).terms
    if claimed.agency == terms.recipient:
        raise SafehandError(Reason.NOT_ALLOWED, "the recipient's own staff cannot second it")
    if (claimed.agency, claimed.worker_ref) == (about.agency, about.recorder_ref):
        raise SafehandError(Reason.NOT_ALLOWED, "one person is not two")
    is_releasing = claimed.agency == terms.releasing
    digest = signed.digest.hex()
    before = _SECONDED.first(txn.connection, wanted=claimed.record)
    repeated = earlier(txn.connection, request) is not None
    own_entry = is_releasing and before is not None and before.digest == digest
    if not repeated and not own_entry:
        # Asked also where somebody stands by it already, or nothing is left to confirm: another
        # agency is not to learn that. Nor by what is remembered, which is every second.
        _require_fresh(claimed.at, txn.now)
    if not repeated:
        remember(txn, request, {})
    if before is None:
        index = _stand_by(txn, signed, claimed, about.grant_id, digest)
    else:
        index = cast(int, before.leaf_index) if before.digest == digest else None
    if not is_releasing:
        return None
    if index is None:
        raise _refusal(txn, about.grant_id)
    txn.cite(index)
    return index


def _stand_by(
    txn: WriterTransaction, signed: SignedSecond, claimed: Second, grant_id: str | None, digest: str
) -> int | None:
    """Append CONFIRM by the second person; None where nothing is left to confirm."""
    grant = grant_state.find(txn.connection, grant_id) if grant_id else None
    if grant is None or _ended(grant, txn.now) or grant.confirm_by is None:
        return None
    fields: dict[str, Json] = {
        "by": "second",
        "agency": claimed.agency,
        "worker_ref": claimed.worker_ref,
        "record": digest,
    }
    index = grant_leaves.append(txn, grant, Kind.CONFIRM, fields)
    _SET_SECONDED.run(txn.connection, wanted=grant.grant_id)
    _SECOND.run(
        txn.connection,
        record=claimed.record,
        agency=claimed.agency,
        worker_ref=claimed.worker_ref,
        digest=digest,
        body=signed.second_bytes,
        signature=signed.signature,
        at=txn.now,
        leaf_index=index,
    )
    events_out.confirmed(txn, grant, txn.now)
    return index


def _refusal(txn: WriterTransaction, grant_id: str | None) -> SafehandError:
    """Why the releasing agency's second was of no use."""
    grant = grant_state.find(txn.connection, grant_id) if grant_id else None
    if grant is None or _ended(grant, txn.now):
        return SafehandError(Reason.CONSENT_ENDED)
    return SafehandError(Reason.ALREADY_EXISTS, "it is confirmed already")


def _ended(grant: Grant, now: int) -> bool:
    """Whether it is over, or due to end: what a sweep would do has been decided already."""
    return grant_state.is_over(grant, now) or grant_state.due_end(grant, now) is not None


# --- shared --------------------------------------------------------------------------------------


def _require_caller(principal: Principal, agency: str) -> None:
    if principal.kind != "agency" or principal.name != agency:
        raise SafehandError(Reason.NOT_ALLOWED)


def _require_fresh(at: int, now: int) -> None:
    if at > now + AT_SKEW_S:
        raise SafehandError(Reason.MALFORMED, "it is from the future", metadata={"field": "at"})
    if at < now - RECORD_AGE_MAX_S:
        raise SafehandError(
            Reason.MALFORMED, "it is older than seven days", metadata={"field": "at"}
        )

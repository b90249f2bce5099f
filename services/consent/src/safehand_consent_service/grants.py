"""Her yes: the terms she may agree to, and the one transaction that records them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final, cast

from safehand.consent.v1 import consent_pb2 as pb
from safehand_core import canonical, ids
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CARD, CATEGORIES, PURPOSES
from safehand_formats.kinds import SECRET_BYTES, Kind, grant_tag
from safehand_ledger.receipt import Receipt
from safehand_ledger.transaction import WriterTransaction
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, and_, bindparam, insert, or_, select

from safehand_consent_service import (
    agencies,
    cosign,
    events_out,
    grant_leaves,
    grant_state,
    protocols,
    sessions,
)
from safehand_consent_service.context import Context, earlier_here, remember, request_of
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.tables import ACTIVE, agency, subject_ref
from safehand_consent_service.tables import grant as consent_grant

DAY_S: Final = 24 * 3600
DEFAULT_TERM_S: Final = 90 * DAY_S
"""Where she sets no end: the middle of what shelters and releases use, and half of the limit."""
MAX_TERM_S: Final = 180 * DAY_S
"""The longest a consent may run; a new one may follow."""
ERASE_AFTER_S: Final = 30 * DAY_S
"""Where she sets no date: how long after the end the recipient has to erase what it holds."""
LATEST_S: Final = 253_402_300_799
"""The last second of the year 9999: what a protobuf Timestamp can hold."""

_INSERT: Final = Prepared(insert(consent_grant))
_REF: Final = subject_ref.c
_PARTIES: Final = Prepared(
    # Those of two agencies that are enrolled, with the reference that each has for her, if any.
    select(agency.c.agency, _REF.subject_ref)
    .outerjoin(
        subject_ref,
        and_(_REF.agency == agency.c.agency, _REF.subject_id == bindparam("subject")),
    )
    .where(or_(agency.c.agency == bindparam("one"), agency.c.agency == bindparam("other")))
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What she agrees to, well formed. Times are seconds since the epoch; None: the default.

    Raises MALFORMED for a word that is not on its list, or the same agency twice.
    """

    releasing: str
    recipient: str
    purpose: str
    categories: tuple[str, ...]
    notice: str
    language: str
    given_how: str
    present: str
    expires_at: int | None = None
    erase_by: int | None = None
    comprehension: str | None = None

    def __post_init__(self) -> None:
        if self.releasing == self.recipient:
            raise _malformed("terms.recipient_agency", "an agency cannot be its own recipient")
        if self.purpose not in PURPOSES:
            raise _malformed("terms.purpose", "the purpose is not on the list")
        if not set(self.categories) <= CATEGORIES.keys():
            raise _malformed("terms.categories", "a category is not on the list")

    def all_categories(self) -> list[str]:
        """Sorted, with CARD, which every consent contains."""
        return sorted({*self.categories, CARD})

    def times(self, now: int) -> tuple[int, int]:
        """``(expires_at, erase_by)`` for a consent given at ``now``; raises EXPIRY_INVALID."""
        expires_at = now + DEFAULT_TERM_S if self.expires_at is None else self.expires_at
        if not now < expires_at <= now + MAX_TERM_S:
            raise SafehandError(Reason.EXPIRY_INVALID, "the end is not within 180 days")
        erase_by = expires_at + ERASE_AFTER_S if self.erase_by is None else self.erase_by
        if not expires_at <= erase_by <= LATEST_S:
            raise SafehandError(Reason.EXPIRY_INVALID, "the erase-by date is before the end")
        return expires_at, erase_by


@dataclass(frozen=True, slots=True)
class Origin:
    """How a grant came about, where it is not simply her own yes in her own session.

    Attributes:
        ask: the question that it answers (an id).
        supersedes: the grant whose place it takes (an id).
        recorded_by, recorder_ref, medium, record: the agency and the worker that took it down for
            her, how (``words.RECORDED_MEDIA``), and the digest of what the agency signed.
        confirm_by: when a recorded consent lapses unless she confirms it.
        cosign_by: when it lapses unless her guardian signs it too.
    """

    ask: str | None = None
    supersedes: str | None = None
    recorded_by: str | None = None
    recorder_ref: str | None = None
    medium: str | None = None
    record: str | None = None
    confirm_by: int | None = None
    cosign_by: int | None = None

    def body(self) -> dict[str, Json]:
        """The optional keys of a GRANT body: those that say something."""
        return {
            field.name: value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) is not None
        }


HER_OWN: Final = Origin()
"""She said yes in her own session, asked by nobody."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The grant's row as it is now, and the receipt of its GRANT leaf."""

    row: Grant
    receipt: Receipt


def give(context: Context, terms: Terms, message: pb.GrantRequest) -> Granted:
    """Record her consent; ``terms`` are those of ``message``.

    Raises SESSION_INVALID, EXPIRY_INVALID, AGENCY_UNKNOWN, NOT_FOUND (the releasing agency does
    not know her), PROTOCOL_MISSING.
    """

    def operation(txn: WriterTransaction) -> Grant:
        # Whose session it is, at this point of the order: without one there is no grant.
        subject_id = sessions.require(txn.hot, message.session, txn.now)
        request = request_of(context.cards, context.cards.caller(subject_id), message)
        found = earlier_here(txn, request)
        if found is None:
            row = record(context, txn, subject_id, terms)
            remember(txn, request, {"grant": row.grant_id})
            return row
        row = grant_state.require_hers(txn.hot, cast(str, found["grant"]), subject_id)
        txn.cite(row.grant_index)
        return row

    done = context.writer.submit(operation)
    context.wake_behind(done)
    return Granted(done.value, done.receipts[done.value.grant_index])


def record(
    context: Context,
    txn: WriterTransaction,
    subject_id: str,
    terms: Terms,
    origin: Origin = HER_OWN,
) -> Grant:
    """Append GRANT and file the grant, in the caller's transaction; returns its row.

    Raises EXPIRY_INVALID, AGENCY_UNKNOWN, NOT_FOUND (the releasing agency does not know her),
    PROTOCOL_MISSING.
    """
    expires_at, erase_by = terms.times(txn.now)
    references = {
        row.agency: row.subject_ref
        for row in _PARTIES.all(
            txn.hot, one=terms.releasing, other=terms.recipient, subject=subject_id
        )
    }
    if not {terms.releasing, terms.recipient} <= references.keys():
        raise SafehandError(Reason.AGENCY_UNKNOWN)
    if references[terms.releasing] is None:
        raise SafehandError(Reason.NOT_FOUND, "the releasing agency does not know her")
    categories = terms.all_categories()
    filed = _require_protocol(txn.hot, terms, txn.now)
    cosign_by = cosign.needed_by(txn.hot, subject_id, terms.purpose, txn.now)
    if cosign_by is not None:
        origin = dataclasses.replace(origin, cosign_by=cosign_by)
    grant_id = ids.new_id(context.entropy)
    secret = context.entropy.bytes(SECRET_BYTES)
    body: dict[str, Json] = {
        "kind": Kind.GRANT.name,
        "grant": grant_id,
        "releasing": terms.releasing,
        "recipient": terms.recipient,
        "purpose": terms.purpose,
        "categories": list(categories),
        "issued_at": txn.now,
        "expires_at": expires_at,
        "erase_by": erase_by,
        "redisclosure": "none",
        "notice": terms.notice,
        "language": terms.language,
        "given_how": terms.given_how,
        "present": terms.present,
        "protocol": filed.digest,
        **origin.body(),
    }
    if terms.comprehension is not None:
        body["check"] = terms.comprehension
    index = txn.append(Kind.GRANT, grant_tag(Kind.GRANT, secret, 0), body)
    row = Grant(
        grant_id=grant_id,
        subject_id=subject_id,
        releasing=terms.releasing,
        recipient=terms.recipient,
        purpose=terms.purpose,
        categories=canonical.encode(list(categories)).decode(),
        issued_at=txn.now,
        expires_at=expires_at,
        erase_by=erase_by,
        notice=terms.notice,
        language=terms.language,
        given_how=terms.given_how,
        present=terms.present,
        protocol=filed.digest,
        secret=secret,
        state=ACTIVE,
        recorded_by=origin.recorded_by,
        recorder_ref=origin.recorder_ref,
        medium=origin.medium,
        confirm_by=origin.confirm_by,
        seconded=0,
        cosign_by=origin.cosign_by,
        ask_id=origin.ask,
        supersedes=origin.supersedes,
        comprehension=terms.comprehension,
        stop_by=None,
        stop_why=None,
        end_cause=None,
        stopped_at=None,
        final_at=None,
        grant_index=index,
        stop_index=None,
        end_index=None,
        next_narrow=0,
        next_stop=0,
        next_resume=0,
        next_refer=0,
        next_disclose=0,
        next_confirm=0,
    )
    _INSERT.run(txn.hot, **row._asdict())
    grant_leaves.note(txn, grant_id, index, Kind.GRANT)
    context.keks.make_keys(txn, grant_id, categories)
    events_out.granted(txn, grant_id, terms.releasing, txn.now)
    return row


def require_possible(connection: Connection, terms: Terms, now: int) -> None:
    """What ``record`` refuses whoever she is: EXPIRY_INVALID, AGENCY_UNKNOWN, PROTOCOL_MISSING."""
    terms.times(now)
    for party in (terms.releasing, terms.recipient):
        agencies.require(connection, party)
    _require_protocol(connection, terms, now)


def _require_protocol(connection: Connection, terms: Terms, now: int) -> protocols.Filed:
    return protocols.require_live(
        connection,
        terms.releasing,
        terms.recipient,
        terms.purpose,
        # Every protocol carries the card: it is what a referral consists of at the least.
        [category for category in terms.all_categories() if category != CARD],
        now,
    )


def _malformed(field: str, detail: str) -> SafehandError:
    return SafehandError(Reason.MALFORMED, detail, metadata={"field": field})

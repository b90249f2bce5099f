"""Between rows and messages: how a grant, a receipt and a time look on the wire."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from safehand.common.v1 import reason_pb2
from safehand.consent.v1 import consent_pb2, ledger_pb2
from safehand_core import canonical
from safehand_core.reasons import Reason
from safehand_ledger.receipt import Receipt

from safehand_consent_service import grant_state, tables
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.grants import Terms

_STATES: Final = {
    tables.ACTIVE: consent_pb2.GRANT_STATE_ACTIVE,
    tables.STOPPED: consent_pb2.GRANT_STATE_STOPPED,
    tables.REVOKED: consent_pb2.GRANT_STATE_REVOKED,
    tables.EXPIRED: consent_pb2.GRANT_STATE_EXPIRED,
}
_LIST_BYTES: Final = 1024
"""A stored list of categories is far shorter."""


def timestamp(seconds: int) -> Timestamp:
    return Timestamp(seconds=seconds)


def receipt(made: Receipt) -> ledger_pb2.Receipt:
    """The receipt, opened where the body is still there."""
    message = ledger_pb2.Receipt(index=made.index, leaf=made.leaf, proof=made.proof)
    if made.opening is not None:
        message.salt = made.opening.salt
        message.body = made.body_bytes
    return message


def terms_from(message: consent_pb2.Terms) -> Terms:
    """The terms of a request. Fractions of a second are dropped: an end never comes later."""
    return Terms(
        releasing=message.releasing_agency,
        recipient=message.recipient_agency,
        purpose=message.purpose,
        categories=tuple(message.categories),
        notice=message.notice_sha256,
        language=message.language,
        given_how=message.given_how,
        present=message.present,
        expires_at=message.expires_at.seconds if message.HasField("expires_at") else None,
        erase_by=message.erase_by.seconds if message.HasField("erase_by") else None,
        comprehension=message.comprehension or None,
    )


def terms_to(row: Grant) -> consent_pb2.Terms:
    """The terms of a grant's row, all defaults filled in."""
    return consent_pb2.Terms(
        releasing_agency=row.releasing,
        recipient_agency=row.recipient,
        purpose=row.purpose,
        categories=categories(row),
        expires_at=timestamp(row.expires_at),
        erase_by=timestamp(row.erase_by),
        notice_sha256=row.notice,
        language=row.language,
        given_how=row.given_how,
        present=row.present,
        comprehension=row.comprehension or "",
    )


def categories(row: Grant) -> list[str]:
    """The categories of a grant's row, sorted."""
    return list(_listed(row.categories))


@lru_cache(maxsize=grant_state.LISTS)
def _listed(stored: str) -> tuple[str, ...]:
    value = canonical.decode(stored.encode(), max_bytes=_LIST_BYTES)
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def grant_view(row: Grant, now: int) -> consent_pb2.GrantView:
    """A grant as she sees it. One whose end has passed is expired, written down or not."""
    state = row.state
    if state == tables.ACTIVE and now >= grant_state.ends_at(row):
        state = tables.EXPIRED
    view = consent_pb2.GrantView(
        grant=row.grant_id,
        terms=terms_to(row),
        state=_STATES[state],
        issued_at=timestamp(row.issued_at),
        stopped_by=row.stop_by or "",
        end_cause=row.end_cause or "",
        recorded_by=row.recorded_by or "",
        recorder_ref=row.recorder_ref or "",
        medium=row.medium or "",
        seconded=bool(row.seconded),
        ask=row.ask_id or "",
        supersedes=row.supersedes or "",
    )
    if row.stopped_at is not None:
        view.stopped_at.CopyFrom(timestamp(row.stopped_at))
    if row.final_at is not None:
        view.final_at.CopyFrom(timestamp(row.final_at))
    if row.confirm_by is not None:
        view.confirm_by.CopyFrom(timestamp(row.confirm_by))
    if row.cosign_by is not None:
        view.cosign_by.CopyFrom(timestamp(row.cosign_by))
    return view


def state(value: str) -> consent_pb2.GrantState.ValueType:
    """The proto enum of a grant's state."""
    return _STATES[value]


def reason(value: Reason | None) -> reason_pb2.Reason.ValueType:
    """The proto enum of a reason; UNSPECIFIED for None."""
    if value is None:
        return reason_pb2.REASON_UNSPECIFIED
    return reason_pb2.Reason.Value(f"REASON_{value.value}")

"""Consent's own events: which there are, and whom each is for (DESIGN 4, PROTOCOL rule 9).

One outbox row per audience, in the transaction that made the event true. What the referral
service does with the end of a grant rests on this sequence and on no bus.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from safehand.events.v1 import events_pb2
from safehand_ledger.transaction import WriterTransaction
from safehand_store import outbox

from safehand_consent_service.grant_row import Grant

SOURCE: Final = "consent"
"""The first half of every event id."""

_REFERRAL: Final = "service/referral"


def granted(txn: WriterTransaction, grant: str, releasing: str, at: int) -> None:
    """She granted: for the releasing agency, which may now send, and the referral service."""
    _grant_event(txn, events_pb2.EVENT_TYPE_CONSENT_GRANTED, grant, [f"agency/{releasing}"], at)


def ended(txn: WriterTransaction, row: Grant, at: int) -> None:
    """Sharing under the grant ``row`` ended, whatever ended it: for who knows of the grant."""
    _grant_event(txn, events_pb2.EVENT_TYPE_CONSENT_ENDED, row.grant_id, _aware(row), at)


def confirmed(txn: WriterTransaction, row: Grant, at: int) -> None:
    """What had to be confirmed or signed was: for the releasing agency, which may send more."""
    _grant_event(
        txn,
        events_pb2.EVENT_TYPE_CONSENT_CONFIRMED,
        row.grant_id,
        [f"agency/{row.releasing}"],
        at,
    )


def resumed(txn: WriterTransaction, row: Grant, at: int) -> None:
    """She resumed sharing within the window: for the same parties as ``ended``."""
    _grant_event(txn, events_pb2.EVENT_TYPE_CONSENT_RESUMED, row.grant_id, _aware(row), at)


def narrowed(txn: WriterTransaction, row: Grant, at: int) -> None:
    """She took something out of the grant ``row``: for the same parties as ``ended``."""
    _grant_event(txn, events_pb2.EVENT_TYPE_CONSENT_NARROWED, row.grant_id, _aware(row), at)


def disclosed(txn: WriterTransaction, referral: str, releasing: str, at: int) -> None:
    """A part of a referral was or may have been opened: for the releasing agency."""
    _append(
        txn,
        events_pb2.EVENT_TYPE_CONSENT_DISCLOSED,
        f"referrals/{referral}",
        [f"agency/{releasing}", _REFERRAL],
        at,
    )


def _aware(row: Grant) -> list[str]:
    """The releasing agency, and the recipient once a referral is under it: before that a recipient
    has not heard of the grant, and must not hear of it by an end that it may have caused itself."""
    return [f"agency/{row.releasing}"] + [f"agency/{row.recipient}"] * bool(row.next_refer)


def _grant_event(
    txn: WriterTransaction, kind: int, grant: str, agencies: Sequence[str], at: int
) -> None:
    _append(txn, kind, f"grants/{grant}", [*agencies, _REFERRAL], at)


def _append(
    txn: WriterTransaction, kind: int, resource: str, audiences: Sequence[str], at: int
) -> None:
    outbox.append_later(txn.later, audiences, type=kind, time=at, resource=resource)

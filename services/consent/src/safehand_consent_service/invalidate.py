"""The one stop that cannot be undone: what she was made to say, or never said, was no consent.

Her own strong STOP and REVOKE with the cause ``invalidated``, in one transaction: the keys are
deleted at once. It works on a grant that is stopped already, whoever stopped it.
"""

from __future__ import annotations

from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_ledger.transaction import WriterTransaction

from safehand_consent_service import grant_state, stop_leaves, stop_notes
from safehand_consent_service.category_keys import KekRing
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.tables import ACTIVE, FINAL_STATES

NO_WINDOW_S: Final = 0
"""Seconds in which it can be undone: none."""


def invalidate(txn: WriterTransaction, keks: KekRing, row: Grant, *, why: str | None) -> Grant:
    """End a grant of hers for good; the grant as it is then. A final one stays as it ended.

    ``why``: ``grant_state.COERCION``, or None where she never said it. Raises CONSENT_ENDED where
    its time was over before she stopped it.
    """
    if row.state in FINAL_STATES:
        if row.stop_index is None:
            raise SafehandError(Reason.CONSENT_ENDED)
        return row
    if row.state == ACTIVE and not grant_state.is_live(row, txn.now):
        raise SafehandError(Reason.CONSENT_ENDED)
    if grant_state.due_end(row, txn.now) is Kind.EXPIRE:
        return grant_state.expire(txn, keks, row)
    if row.stop_by != stop_leaves.SELF:
        # Nobody else's stop is final before its window: hers takes its place.
        row = stop_leaves.stop(txn, row, by=stop_leaves.SELF, window_s=NO_WINDOW_S, why=why)
        stop_notes.write_hers(
            txn, row.subject_id, stop_notes.STOP, row.grant_id, row.stop_index or 0, why
        )
    return grant_state.revoke(txn, keks, row, grant_state.INVALIDATED_CAUSE)

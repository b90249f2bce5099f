"""Her receipt of one grant: the secret, and every leaf of it, all under one signed head.

It leaves the service only here, in a session of hers (PROTOCOL rule 1). From the secret she can
compute every tag that the grant may ever have, and so find in the whole ledger what was logged
under it: the service cannot leave a look out without a gap in a counter.
"""

from __future__ import annotations

from dataclasses import dataclass

from safehand_ledger import receipt, stored
from safehand_ledger.receipt import Receipt
from safehand_store.engine import begin_read

from safehand_consent_service import grant_leaves, grant_state
from safehand_consent_service.context import Context


@dataclass(frozen=True, slots=True)
class GrantReceipt:
    """``secret``: 32 bytes. ``receipts``: in ledger order, opened, under one checkpoint."""

    secret: bytes
    receipts: list[Receipt]


def of_grant(context: Context, subject_id: str, grant_id: str) -> GrantReceipt:
    """Everything that was logged under one of her grants; raises NOT_FOUND for any other."""
    with begin_read(context.engine) as connection:
        row = grant_state.require_hers(connection, grant_id, subject_id)
        head = stored.require_head(connection)
        receipts = [
            receipt.from_stored(connection, index, head.size, head.note)
            for index in grant_leaves.indexes(connection, grant_id)
        ]
    return GrantReceipt(row.secret, receipts)

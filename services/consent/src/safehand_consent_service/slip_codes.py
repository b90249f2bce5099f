"""The check codes of entries that people keep a slip of: written with the entry, found by anyone.

Whoever asks for a code learns which entry it names and its proof; no body, no grant and no person.
"""

from __future__ import annotations

from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import checkcode
from safehand_formats.kinds import Kind
from safehand_formats.slips import KINDS
from safehand_ledger import receipt, stored
from safehand_ledger.receipt import Receipt
from safehand_ledger.transaction import WriterTransaction
from safehand_store.engine import begin_read
from safehand_store.later import ManyRows
from safehand_store.prepared import Prepared
from sqlalchemy import bindparam, select

from safehand_consent_service.context import Context
from safehand_consent_service.tables_slips import slip_code

MOST: Final = 4
"""Entries of one answer. Two that share a code are one chance in two million with a million."""

_ROWS: Final = ManyRows(slip_code, ("leaf_index", "code"))
_FIND: Final = Prepared(
    select(slip_code.c.leaf_index)
    .where(slip_code.c.code == bindparam("wanted"))
    .order_by(slip_code.c.leaf_index)
    .limit(MOST)
)


def note(txn: WriterTransaction, index: int, kind: Kind) -> None:
    """Write down the code of an entry that this transaction has just appended, if it has a slip."""
    if kind in KINDS:
        code = checkcode.of_leaf_hash(txn.leaf_hash(index))
        txn.later.add(_ROWS, index, code)


def find(context: Context, text: str) -> list[Receipt]:
    """The entries that a code names, with proofs under one head and without their openings.

    Raises MALFORMED for what is no code, NOT_FOUND where it names none.
    """
    code = checkcode.parse(text)
    with begin_read(context.engine) as connection:
        indexes = [row.leaf_index for row in _FIND.all(connection, wanted=code)]
        if not indexes:
            raise SafehandError(Reason.NOT_FOUND, "no entry has this check code")
        head = stored.require_head(connection)
        return [receipt.from_stored(connection, at, head.size, head.note) for at in indexes]

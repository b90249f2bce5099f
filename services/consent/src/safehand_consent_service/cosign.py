"""Who says that a guardian must sign too, and when: each agency for itself, the strictest holds.

An agency knows the law of its place and her age; the service knows neither. What one agency said
holds for all of her grants until the same agency takes it back: linking her card elsewhere, with
less, lifts nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from safehand_core import canonical
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import PURPOSES
from safehand_ledger.transaction import WriterTransaction
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, delete, insert, select

from safehand_consent_service import subjects_of, tables_recorded
from safehand_consent_service.context import Context, Request, earlier, remember

DAY_S: Final = 24 * 3600
COSIGN_WITHIN_S: Final = 14 * DAY_S
"""How long a grant waits for the guardian's signature: as long as a recorded one waits for hers.
Nothing is shared meanwhile, so waiting harms nobody; it ends so that no old yes comes to life."""
_LIST_BYTES: Final = 1024
"""A stored list of purposes is far shorter."""

_T = tables_recorded.cosign_rule.c
_OF: Final = Prepared(
    select(_T.agency, _T.alone_purposes, _T.set_at)
    .where(_T.subject_id == bindparam("her"))
    .order_by(_T.agency)
)
_INSERT: Final = Prepared(insert(tables_recorded.cosign_rule))
_DELETE: Final = Prepared(
    delete(tables_recorded.cosign_rule).where(
        _T.subject_id == bindparam("her"), _T.agency == bindparam("by")
    )
)


def needed_by(connection: Connection, subject_id: str, purpose: str, now: int) -> int | None:
    """When a grant of hers given at ``now`` lapses unless a guardian signs it; None if nobody must.

    Nobody must where no agency says so, or where every agency that does leaves ``purpose`` to her.
    """
    rows = _OF.all(connection, her=subject_id)
    if all(purpose in purposes_of(row.alone_purposes) for row in rows):
        return None
    return now + COSIGN_WITHIN_S


def set_rule(
    context: Context,
    agency: str,
    reference: str,
    *,
    cosign: bool,
    alone_purposes: Collection[str],
    request: Request,
) -> None:
    """Say it, say it otherwise, or (``cosign`` False) take it back: the caller's own word only.

    Grants that are on file stay as they are. Raises MALFORMED, NOT_FOUND, REQUEST_ID_REUSED.
    """
    require_purposes(cosign=cosign, alone_purposes=alone_purposes)

    def operation(txn: WriterTransaction) -> None:
        subject_id = subjects_of.require(txn.connection, agency, reference)
        if earlier(txn.connection, request) is not None:
            return
        _DELETE.run(txn.connection, her=subject_id, by=agency)
        if cosign:
            _insert(txn, subject_id, agency, alone_purposes)
        remember(txn, request, {})

    context.writer.submit(operation)


def strengthen(
    txn: WriterTransaction, subject_id: str, agency: str, alone_purposes: Collection[str]
) -> None:
    """What RegisterSubject may say: never less than the same agency said before."""
    mine = [row for row in _OF.all(txn.connection, her=subject_id) if row.agency == agency]
    left = set(alone_purposes)
    for row in mine:
        left &= purposes_of(row.alone_purposes)
        _DELETE.run(txn.connection, her=subject_id, by=agency)
    _insert(txn, subject_id, agency, left)


def require_purposes(*, cosign: bool, alone_purposes: Collection[str]) -> None:
    """Raise MALFORMED unless these are purposes, and of use."""
    if not set(alone_purposes) <= PURPOSES.keys():
        raise SafehandError(
            Reason.MALFORMED,
            "the purpose is not on the list",
            metadata={"field": "alone_purposes"},
        )
    if alone_purposes and not cosign:
        raise SafehandError(
            Reason.MALFORMED,
            "she consents alone to everything where nobody must sign too",
            metadata={"field": "alone_purposes"},
        )


def purposes_of(stored: str) -> set[str]:
    """The purposes of a row."""
    value = canonical.decode(stored.encode(), max_bytes=_LIST_BYTES)
    return {str(item) for item in value} if isinstance(value, list) else set()


def rules(connection: Connection, subject_id: str) -> list[tuple[str, list[str], int]]:
    """``(agency, purposes that are hers alone, since when)``, by agency."""
    return [
        (row.agency, sorted(purposes_of(row.alone_purposes)), row.set_at)
        for row in _OF.all(connection, her=subject_id)
    ]


def _insert(
    txn: WriterTransaction, subject_id: str, agency: str, alone_purposes: Collection[str]
) -> None:
    _INSERT.run(
        txn.connection,
        subject_id=subject_id,
        agency=agency,
        alone_purposes=canonical.encode([*sorted(set(alone_purposes))]).decode(),
        set_at=txn.now,
    )

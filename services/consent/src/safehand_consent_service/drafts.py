"""What she turned on in a question that she has not answered yet: kept for a day, and no answer.

It is for her pages alone: to be offered again when her session ended on the way. Nothing of it is
in the ledger, no agency hears of it, and nobody can tell from it what she would have said.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from safehand_core import canonical
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CARD
from safehand_ledger.transaction import WriterTransaction
from safehand_store.prepared import Prepared, Written
from sqlalchemy import Connection, bindparam, delete, select

from safehand_consent_service import ask_row
from safehand_consent_service.ask_row import Ask
from safehand_consent_service.context import Context
from safehand_consent_service.tables_portal import ask_draft

KEPT_S: Final = 24 * 3600
"""How long it is kept, seconds, after she last chose: until she finds a quiet moment next day, and
no longer than somebody who learns her PIN should find half a decision."""

_T: Final = ask_draft.c
_KEEP: Final = Written(
    "INSERT INTO ask_draft (ask_id, ends_at, sealed) VALUES (?, ?, ?) "
    "ON CONFLICT (ask_id) DO UPDATE SET ends_at = excluded.ends_at, sealed = excluded.sealed"
)
_OF: Final = Prepared(
    select(_T.ends_at, _T.sealed).where(
        _T.ask_id == bindparam("wanted"), _T.ends_at > bindparam("now")
    )
)
_DROP: Final = Prepared(delete(ask_draft).where(_T.ask_id == bindparam("wanted")))
_PRUNE: Final = Prepared(delete(ask_draft).where(_T.ends_at <= bindparam("now")))


@dataclass(frozen=True, slots=True)
class Draft:
    """``categories``: what she turned on, without CARD. ``days``: 0 where she chose none.
    ``notice``: SHA-256 of what she had read, 64 hex. ``kept_at``: when she chose, seconds."""

    categories: tuple[str, ...]
    days: int
    notice: str
    kept_at: int

    def encode(self) -> bytes:
        return canonical.encode([list(self.categories), self.days, self.notice, self.kept_at])

    @classmethod
    def decode(cls, data: bytes) -> Draft:
        categories, days, notice, kept_at = json.loads(data)
        return cls(tuple(categories), days, notice, kept_at)


def keep(
    context: Context, subject_id: str, row: Ask, categories: list[str], days: int, notice: str
) -> None:
    """Keep what she chose in her question ``row``, in the place of what was kept before.

    Raises MALFORMED (nothing is chosen, or CARD is), SCOPE_EXCEEDED, EXPIRY_INVALID, STATE_CONFLICT
    (answered, or its time is over).
    """
    if not (categories or days) or CARD in categories:
        raise SafehandError(
            Reason.MALFORMED, "something, and not the card", metadata={"field": "categories"}
        )
    if not set(categories) <= set(ask_row.categories(row)):
        raise SafehandError(Reason.SCOPE_EXCEEDED, "more than was asked for")
    if days > row.days:
        raise SafehandError(Reason.EXPIRY_INVALID, "the end is later than was asked for")
    now = context.now
    ends_at = min(now + KEPT_S, row.ends_at)
    content = Draft(tuple(sorted(categories)), days, notice, now).encode()
    # Outside of the writer's transaction: the first one of a day makes a key file.
    sealed = context.drafts.seal(subject_id, row.ask_id, ends_at, content)

    def operation(txn: WriterTransaction) -> None:
        found = ask_row.find(txn.connection, row.ask_id)
        if found is None or not ask_row.is_open(found, txn.now):
            raise SafehandError(Reason.STATE_CONFLICT, "answered already, or its time is over")
        _KEEP.execute(txn.connection, row.ask_id, ends_at, sealed)

    context.writer.submit(operation, housekeeping=True)


def of(context: Context, connection: Connection, subject_id: str, row: Ask) -> Draft | None:
    """What is kept of her question ``row``; None where it is answered or over, whatever is kept."""
    if not ask_row.is_open(row, context.now):
        return None
    found = _OF.first(connection, wanted=row.ask_id, now=context.now)
    if found is None:
        return None
    content = context.drafts.open(subject_id, row.ask_id, found.ends_at, bytes(found.sealed))
    return None if content is None else Draft.decode(content)


def forget(context: Context, row: Ask) -> None:
    """Delete what is kept of the question, if anything is."""
    context.writer.submit(lambda txn: drop(txn.hot, row.ask_id), housekeeping=True)


def drop(connection: Connection, ask_id: str) -> None:
    """The same in the caller's write transaction: the question is answered for good."""
    _DROP.run(connection, wanted=ask_id)


def prune(connection: Connection, now: int) -> int:
    """Delete what is kept no longer; returns how many."""
    return _PRUNE.run(connection, now=now)

"""What she reads about stops: each stop, resume and wish, with who and when (``ListStops``);
and each number that a worker asked for.

A note about nobody (an unknown reference, a wrong code) is a row of the same shape: it counts
against whoever sent it, she never sees it, and it is forgotten after a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from safehand_ledger.transaction import WriterTransaction
from safehand_store.later import ManyRows
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, delete, func, insert, select, update

from safehand_consent_service.stop_leaves import SELF
from safehand_consent_service.tables import agency as agency_table
from safehand_consent_service.tables_stops import representative, stop_note, stop_note_grant

KEEP_UNKNOWN_S: Final = 24 * 3600
"""Seconds for which a note about nobody is kept: as long as anything counts it."""
STOP: Final = "stop"
RESUME: Final = "resume"
NUMBER: Final = "number"
HER_SOURCE: Final = "self"
STAFF_SOURCE: Final = "staff"

_N: Final = stop_note.c
_COLUMNS: Final = [
    column.name for column in stop_note.columns if column.name not in ("note_id", "more")
]
_INSERT: Final = Prepared(insert(stop_note).returning(stop_note.c.note_id), columns=_COLUMNS)
_ROWS: Final = ManyRows(stop_note_grant, ("note_id", "grant_id", "leaf_index", "source", "at"))


@dataclass(frozen=True, slots=True)
class About:
    """One grant of a note, and the leaf that was written (None: it changed nothing)."""

    grant_id: str
    leaf_index: int | None


@dataclass(frozen=True, slots=True)
class Note:
    """One row of ``stop_note``; ``tables_stops`` says what each column means."""

    subject_id: str | None
    action: str
    made_by: str
    source: str
    about: Sequence[About] = ()
    agency: str | None = None
    worker_ref: str | None = None
    second_ref: str | None = None
    channel: str | None = None
    why: str | None = None
    representative_id: str | None = None
    refused: bool = False
    named: bytes | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of her list."""

    note_id: int
    at: int
    action: str
    made_by: str
    agency: str
    agency_name: str
    worker_ref: str
    second_ref: str
    channel: str
    why: str
    representative_id: str
    relation: str
    refused: bool
    more: int
    about: list[About] = field(default_factory=list)


def write(txn: WriterTransaction, note: Note) -> None:
    """Keep ``note``, in the transaction that did what it says."""
    at = txn.now
    note_id = _INSERT.scalar(
        txn.hot,
        subject_id=note.subject_id,
        at=at,
        action=note.action,
        made_by=note.made_by,
        agency=note.agency,
        worker_ref=note.worker_ref,
        second_ref=note.second_ref,
        channel=note.channel,
        why=note.why,
        representative_id=note.representative_id,
        refused=int(note.refused),
        named=note.named,
    )
    for one in note.about:
        txn.later.add(_ROWS, note_id, one.grant_id, one.leaf_index, note.source, at)


def write_hers(
    txn: WriterTransaction,
    subject_id: str,
    action: str,
    grant_id: str,
    index: int,
    why: str | None = None,
) -> None:
    """The note of her own stop or resume, which wrote the leaf at ``index``."""
    about = [About(grant_id, index)]
    write(txn, Note(subject_id, action, SELF, HER_SOURCE, about, why=why))


def add_to_newest(
    connection: Connection, subject_id: str, agency: str | None, representative_id: str | None
) -> None:
    """Count one more on the newest note that she has of this agency, or (None) representative."""
    of = _N.agency == agency if agency is not None else _N.representative_id == representative_id
    newest = select(func.max(_N.note_id)).where(_N.subject_id == subject_id, of)
    connection.execute(
        update(stop_note)
        .where(_N.note_id == newest.scalar_subquery())
        .values(more=stop_note.c.more + 1)
    )


def page(connection: Connection, subject_id: str, behind: int | None, limit: int) -> list[Line]:
    """Her notes, newest first: at most ``limit`` behind the note ``behind``."""
    statement = (
        select(
            stop_note,
            agency_table.c.display_name.label("agency_name"),
            representative.c.relation.label("relation"),
        )
        .join(agency_table, agency_table.c.agency == _N.agency, isouter=True)
        .join(
            representative, representative.c.representative_id == _N.representative_id, isouter=True
        )
        .where(_N.subject_id == subject_id)
        .order_by(_N.note_id.desc())
        .limit(limit)
    )
    if behind is not None:
        statement = statement.where(_N.note_id < behind)
    lines = {row.note_id: _line(row) for row in connection.execute(statement)}
    grants = (
        select(stop_note_grant)
        .where(stop_note_grant.c.note_id.in_(lines))
        .order_by(stop_note_grant.c.note_id, stop_note_grant.c.grant_id)
    )
    for row in connection.execute(grants):
        lines[row.note_id].about.append(About(row.grant_id, row.leaf_index))
    return list(lines.values())


def _line(row: Any) -> Line:
    return Line(
        note_id=row.note_id,
        at=row.at,
        action=row.action,
        made_by=row.made_by,
        agency=row.agency or "",
        agency_name=row.agency_name or "",
        worker_ref=row.worker_ref or "",
        second_ref=row.second_ref or "",
        channel=row.channel or "",
        why=row.why or "",
        representative_id=row.representative_id or "",
        relation=row.relation or "",
        refused=bool(row.refused),
        more=row.more,
    )


def prune(connection: Connection, now: int) -> int:
    """Forget notes about nobody; returns how many."""
    old = (_N.subject_id.is_(None), _N.at <= now - KEEP_UNKNOWN_S)
    # One that she was told of by number alone may name a grant.
    of = stop_note_grant.c.note_id.in_(select(_N.note_id).where(*old))
    connection.execute(delete(stop_note_grant).where(of))
    return connection.execute(delete(stop_note).where(*old)).rowcount


__all__ = ["About", "Line", "Note", "add_to_newest", "page", "prune", "write", "write_hers"]

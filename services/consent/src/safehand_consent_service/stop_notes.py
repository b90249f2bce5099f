"""What she reads about stops: each stop, resume and wish, with who and when (``ListStops``).

A note about nobody (an unknown reference, a wrong code) is a row of the same shape: it counts
against whoever sent it, she never sees it, and it is forgotten after a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from safehand_store.prepared import Prepared
from sqlalchemy import Connection, delete, insert, select

from safehand_consent_service.stop_leaves import SELF
from safehand_consent_service.tables import agency as agency_table
from safehand_consent_service.tables_stops import representative, stop_note, stop_note_grant

KEEP_UNKNOWN_S: Final = 24 * 3600
"""Seconds for which a note about nobody is kept: as long as anything counts it."""
STOP: Final = "stop"
RESUME: Final = "resume"
HER_SOURCE: Final = "self"
STAFF_SOURCE: Final = "staff"

_N: Final = stop_note.c
_COLUMNS: Final = [column.name for column in stop_note.columns if column.name != "note_id"]
_INSERT: Final = Prepared(insert(stop_note).returning(stop_note.c.note_id), columns=_COLUMNS)
_INSERT_GRANT: Final = Prepared(insert(stop_note_grant))


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
    about: list[About] = field(default_factory=list)


def write(connection: Connection, note: Note, at: int) -> None:
    """Keep ``note``, in the transaction that did what it says."""
    note_id = _INSERT.scalar(
        connection,
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
        _INSERT_GRANT.run(
            connection,
            note_id=note_id,
            grant_id=one.grant_id,
            leaf_index=one.leaf_index,
            source=note.source,
            at=at,
        )


def write_hers(
    connection: Connection,
    subject_id: str,
    action: str,
    grant_id: str,
    index: int,
    at: int,
    why: str | None = None,
) -> None:
    """The note of her own stop or resume, which wrote the leaf at ``index``."""
    about = [About(grant_id, index)]
    write(connection, Note(subject_id, action, SELF, HER_SOURCE, about, why=why), at)


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
    )


def prune(connection: Connection, now: int) -> int:
    """Forget notes about nobody; returns how many."""
    gone = delete(stop_note).where(_N.subject_id.is_(None), _N.at <= now - KEEP_UNKNOWN_S)
    return connection.execute(gone).rowcount


__all__ = ["About", "Line", "Note", "page", "prune", "write", "write_hers"]

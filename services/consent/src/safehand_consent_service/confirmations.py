"""Who stood by her consents beside her, or has to: her list of records, seconds and signatures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, or_, select

from safehand_consent_service import grant_state
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.tables import agency as agency_table
from safehand_consent_service.tables import grant as consent_grant
from safehand_consent_service.tables_recorded import cosigned, recorded, seconded

UNFILED_MAX: Final = 50
"""Records of which nothing came, on the first page; each agency makes few (``recorded``)."""


@dataclass(frozen=True, slots=True)
class Line:
    """One consent and who stood by it; None where nobody did. ``grant``: None where nothing came of
    a record."""

    grant: Grant | None
    at: int
    recorded_by: str | None
    recorded_by_name: str | None
    recorder_ref: str | None
    medium: str | None
    seen_at: int | None
    second_agency: str | None = None
    second_ref: str | None = None
    second_at: int | None = None
    guardian_id: str | None = None
    guardian_at: int | None = None

    def asks_her(self, now: int) -> bool:
        """Whether she is asked if it is right."""
        row = self.grant
        if row is None or row.confirm_by is None or grant_state.is_over(row, now):
            return False
        return grant_state.due_end(row, now) is None


def page(connection: Connection, subject_id: str, behind: int | None, limit: int) -> list[Line]:
    """Newest first: at most ``limit`` behind the grant index ``behind``."""
    g = consent_grant.c
    statement = (
        select(
            consent_grant,
            recorded.c.seen_at,
            agency_table.c.display_name,
            seconded.c.agency,
            seconded.c.worker_ref,
            seconded.c.at,
            cosigned.c.guardian_id,
            cosigned.c.at,
        )
        .join(recorded, recorded.c.grant_id == g.grant_id, isouter=True)
        .join(agency_table, agency_table.c.agency == g.recorded_by, isouter=True)
        .join(seconded, seconded.c.record == recorded.c.record, isouter=True)
        .join(cosigned, cosigned.c.grant_id == g.grant_id, isouter=True)
        .where(
            g.subject_id == subject_id,
            or_(
                g.recorded_by.is_not(None),
                g.cosign_by.is_not(None),
                cosigned.c.grant_id.is_not(None),
            ),
        )
        .order_by(g.grant_index.desc())
        .limit(limit)
    )
    if behind is not None:
        statement = statement.where(g.grant_index < behind)
    return [_line(tuple(row)) for row in connection.execute(statement)]


def unfiled(connection: Connection, subject_id: str) -> list[Line]:
    """Records of which nothing came, newest first."""
    r = recorded.c
    statement = (
        select(r.recorded_at, r.agency, agency_table.c.display_name, r.recorder_ref, r.medium)
        .join(agency_table, agency_table.c.agency == r.agency)
        .where(r.subject_id == subject_id, r.grant_id.is_(None))
        .order_by(r.recorded_at.desc(), r.record)
        .limit(UNFILED_MAX)
    )
    return [
        Line(
            grant=None,
            at=row.recorded_at,
            recorded_by=row.agency,
            recorded_by_name=row.display_name,
            recorder_ref=row.recorder_ref,
            medium=row.medium,
            seen_at=None,
        )
        for row in connection.execute(statement)
    ]


def _line(row: tuple[Any, ...]) -> Line:
    width = len(Grant._fields)
    grant = Grant._make(row[:width])
    seen_at, name, second_agency, second_ref, second_at, guardian_id, guardian_at = row[width:]
    return Line(
        grant=grant,
        at=grant.issued_at,
        recorded_by=grant.recorded_by,
        recorded_by_name=name,
        recorder_ref=grant.recorder_ref,
        medium=grant.medium,
        seen_at=seen_at,
        second_agency=second_agency,
        second_ref=second_ref,
        second_at=second_at,
        guardian_id=guardian_id,
        guardian_at=guardian_at,
    )

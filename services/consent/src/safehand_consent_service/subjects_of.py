"""Whom an agency means by its own reference."""

from __future__ import annotations

from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, select

from safehand_consent_service.tables import subject_ref

_MEANT: Final = Prepared(
    select(subject_ref.c.subject_id).where(
        subject_ref.c.agency == bindparam("agency"),
        subject_ref.c.subject_ref == bindparam("reference"),
    )
)


def find(connection: Connection, agency: str, reference: str) -> str | None:
    """Her subject id; None where the agency means nobody by it."""
    found: str | None = _MEANT.scalar(connection, agency=agency, reference=reference)
    return found


def require(connection: Connection, agency: str, reference: str) -> str:
    """As ``find``; NOT_FOUND for a reference of nobody's, as for another agency's."""
    found = find(connection, agency, reference)
    if found is None:
        raise SafehandError(Reason.NOT_FOUND)
    return found

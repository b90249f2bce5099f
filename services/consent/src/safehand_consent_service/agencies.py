"""Agencies and their identity keys, pinned at enrolment by consent's own operator (DESIGN 3.6).

Every signature that consent believes verifies under a key in this table. Nothing else, no
registry and no certificate, tells consent whose key is whose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import signing
from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, insert, select, update

from safehand_consent_service import tables

_T: Final = tables.agency.c
_BY_ID: Final = Prepared(
    select(_T.agency, _T.identity_key, _T.display_name).where(_T.agency == bindparam("wanted"))
)


@dataclass(frozen=True, slots=True)
class Agency:
    """An enrolled agency; ``identity_key`` is its Ed25519 public key, 32 bytes."""

    agency: str
    identity_key: bytes
    display_name: str


def enrol(
    connection: Connection, agency: str, identity_key: bytes, display_name: str, now: int
) -> str:
    """Pin ``identity_key`` (32 bytes) for ``agency``; returns its fingerprint, 64 hex.

    The same key again is no change but for the display name. Raises ALREADY_EXISTS for another
    key, or a key that another agency has: a signature must convict one agency only. Raises
    MALFORMED for what is no usable Ed25519 key.
    """
    try:
        signing.load_public(identity_key)
    except SafehandError as error:
        raise SafehandError(
            Reason.MALFORMED, error.detail, metadata={"field": "identity_key"}
        ) from error
    table = tables.agency
    rows = connection.execute(
        select(table.c.agency, table.c.identity_key).where(
            (table.c.agency == agency) | (table.c.identity_key == identity_key)
        )
    ).all()
    if not rows:
        connection.execute(
            insert(table).values(
                agency=agency,
                identity_key=identity_key,
                display_name=display_name,
                enrolled_at=now,
            )
        )
    elif [tuple(row) for row in rows] == [(agency, identity_key)]:
        connection.execute(
            update(table).where(table.c.agency == agency).values(display_name=display_name)
        )
    else:
        raise SafehandError(Reason.ALREADY_EXISTS, "another agency or key is pinned already")
    return signing.identity_key_id(identity_key)


def find(connection: Connection, agency: str) -> Agency | None:
    row = _BY_ID.first(connection, wanted=agency)
    return None if row is None else Agency(*row)


def require(connection: Connection, agency: str) -> Agency:
    """The enrolled agency; raises AGENCY_UNKNOWN."""
    found = find(connection, agency)
    if found is None:
        raise SafehandError(Reason.AGENCY_UNKNOWN)
    return found

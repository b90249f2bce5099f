"""A grant's row, as every use case reads it."""

from __future__ import annotations

from typing import Final, NamedTuple

from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, select

from safehand_consent_service.tables import grant


class Grant(NamedTuple):
    """One row of ``consent_grant``; ``tables`` says what each column means."""

    grant_id: str
    subject_id: str
    releasing: str
    recipient: str
    purpose: str
    categories: str
    issued_at: int
    expires_at: int
    erase_by: int
    notice: str
    language: str
    given_how: str
    present: str
    protocol: str
    secret: bytes
    state: str
    recorded_by: str | None
    recorder_ref: str | None
    medium: str | None
    confirm_by: int | None
    seconded: int
    cosign_by: int | None
    ask_id: str | None
    supersedes: str | None
    comprehension: str | None
    stop_by: str | None
    stop_why: str | None
    end_cause: str | None
    stopped_at: int | None
    final_at: int | None
    grant_index: int
    stop_index: int | None
    end_index: int | None
    next_narrow: int
    next_stop: int
    next_resume: int
    next_refer: int
    next_disclose: int
    next_confirm: int


if Grant._fields != tuple(column.name for column in grant.columns):
    raise AssertionError("a grant's row and its table have the same columns in the same order")

_BY_ID: Final = Prepared(select(grant).where(grant.c.grant_id == bindparam("wanted")))


def find(connection: Connection, grant_id: str) -> Grant | None:
    """The grant, or None."""
    row = _BY_ID.first(connection, wanted=grant_id)
    return None if row is None else Grant._make(row)

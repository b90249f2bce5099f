"""A question's row, and where it stands: for her, and for whoever asked."""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from safehand_store.prepared import Prepared
from sqlalchemy import Connection, bindparam, select

from safehand_consent_service.tables_asks import OPEN, ask


class Ask(NamedTuple):
    """One row of ``ask``; ``tables_asks`` says what each column means."""

    ask_id: str
    asker: str
    subject_ref: str
    subject_id: str | None
    worker_ref: str
    releasing: str
    recipient: str
    purpose: str
    categories: str
    days: int
    notice: str
    language: str
    secret: bytes
    asked_at: int
    ends_at: int
    state: str
    put_off: int
    later_at: int | None
    answered_at: int | None
    grant_id: str | None
    refuse_index: int | None


if Ask._fields != tuple(column.name for column in ask.columns):
    raise AssertionError("a question's row and its table have the same columns in the same order")

_BY_ID: Final = Prepared(select(ask).where(ask.c.ask_id == bindparam("wanted")))


class Position(NamedTuple):
    """Where a page of questions ends."""

    asked_at: int
    ask_id: str

    def to_text(self) -> str:
        return f"{self.asked_at}.{self.ask_id}"

    @classmethod
    def from_text(cls, text: str) -> Position:
        asked_at, ask_id = text.split(".")
        return cls(int(asked_at), ask_id)

    @classmethod
    def of(cls, row: Ask) -> Position:
        return cls(row.asked_at, row.ask_id)


def find(connection: Connection, ask_id: str) -> Ask | None:
    """The question, or None."""
    row = _BY_ID.first(connection, wanted=ask_id)
    return None if row is None else Ask._make(row)


def categories(row: Ask) -> list[str]:
    """What was asked for, sorted, CARD among them."""
    return [str(item) for item in json.loads(row.categories)]


def is_open(row: Ask, now: int) -> bool:
    """Whether she can answer it."""
    return row.state == OPEN and now < row.ends_at

"""The inbox by itself: once in effect, in order, whatever the consumer in front of it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand_store import inbox
from safehand_store.engine import begin_read, begin_write, open_engine
from sqlalchemy import Engine, MetaData

from tests.harness import database


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    store = database.new(tmp_path / "inbox.sqlite3")
    metadata = MetaData()
    inbox.define(metadata)
    store.create(metadata)
    made = open_engine(store.location)
    yield made
    made.dispose()
    store.drop()


def take(engine: Engine, source: str, sequence: int) -> bool:
    with begin_write(engine) as connection:
        return inbox.first_time(connection, source, sequence)


def place(engine: Engine, source: str) -> int:
    with begin_read(engine) as connection:
        return inbox.position(connection, source)


def test_an_event_counts_once(engine: Engine) -> None:
    assert take(engine, "consent", 1) is True
    assert take(engine, "consent", 2) is True
    for again in (1, 2, 2):
        assert take(engine, "consent", again) is False
    assert place(engine, "consent") == 2


def test_a_gap_is_said_and_changes_nothing(engine: Engine) -> None:
    assert take(engine, "consent", 1)
    with pytest.raises(inbox.GapError) as gap:
        take(engine, "consent", 3)
    assert (gap.value.source, gap.value.last) == ("consent", 1)
    assert place(engine, "consent") == 1


def test_sources_have_places_of_their_own(engine: Engine) -> None:
    assert take(engine, "consent", 1)
    assert place(engine, "referral") == 0
    assert take(engine, "referral", 1)


def test_a_place_that_is_rolled_back_is_taken_again(engine: Engine) -> None:
    def fails() -> None:
        with begin_write(engine) as connection:
            assert inbox.first_time(connection, "consent", 1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert take(engine, "consent", 1) is True

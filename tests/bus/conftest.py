from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bus.world import Bus, Reader, Source, reader_engine


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    made = Bus(tmp_path)
    yield made
    made.server.kill()


@pytest.fixture
def consent(tmp_path: Path, bus: Bus) -> Iterator[Source]:
    made = Source(tmp_path, "consent", bus)
    yield made
    made.close()


@pytest.fixture
def reader(tmp_path: Path, bus: Bus, consent: Source) -> Iterator[Reader]:
    with reader_engine(tmp_path / "notify.sqlite3") as engine:
        yield Reader(engine, bus.link("notify"), "consent", consent.fetch)

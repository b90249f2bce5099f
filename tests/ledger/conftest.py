from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import database
from tests.ledger.world import World


@pytest.fixture(params=database.conformance())
def engine_name(request: pytest.FixtureRequest) -> str:
    """Each engine in turn: the ledger is the same on all."""
    return database.require(request.param)


@pytest.fixture
def world(tmp_path: Path, engine_name: str) -> Iterator[World]:
    """A fresh ledger with a running writer."""
    made = World(tmp_path, engine=engine_name).start()
    yield made
    made.close()

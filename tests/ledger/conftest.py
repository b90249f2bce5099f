from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledger.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A fresh ledger with a running writer."""
    made = World(tmp_path).start()
    yield made
    made.close()

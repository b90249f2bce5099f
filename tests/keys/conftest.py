"""Worlds for one test each: keys are replaced, clocks moved, files damaged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand_core import failpoints

from tests.consent.release.world import World


@pytest.fixture
def consent(tmp_path: Path) -> Iterator[World]:
    """A consent service, set up and serving."""
    made = World(tmp_path).start().set_up()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def _no_failpoint_is_left_armed() -> Iterator[None]:
    yield
    failpoints.arm("")

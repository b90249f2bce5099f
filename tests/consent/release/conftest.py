"""``world``: one consent service for a module of tests; ``fresh_world``: one for a single test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand_core import failpoints

from tests.consent.release.world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Set up and serving. Tests leave its clock alone and use grants of their own."""
    made = World(tmp_path_factory.mktemp("world")).start().set_up()
    yield made
    made.stop()
    made.store.drop()


@pytest.fixture
def fresh_world(tmp_path: Path) -> Iterator[World]:
    """Set up and serving, for one test that moves the clock, restarts or breaks it."""
    made = World(tmp_path).start().set_up()
    yield made
    made.stop()
    made.store.drop()


@pytest.fixture(autouse=True)
def _no_failpoint_is_left_armed() -> Iterator[None]:
    yield
    failpoints.arm("")

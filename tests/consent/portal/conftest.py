"""``pages_world``: one consent service for a test, with her pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand_core import failpoints
from safehand_ledger.fsck import fsck

from tests.consent.portal.world import Her, PortalWorld


@pytest.fixture
def pages_world(tmp_path: Path) -> Iterator[PortalWorld]:
    """Set up and serving; the clock moves by hand, and nothing is swept unless a test does it."""
    made = PortalWorld(tmp_path).start().set_up()
    yield made
    made.stop()
    settings, ledger = made.settings, made.app.context.ledger
    report = fsck(settings.database, ledger.vkey, settings.anchor, clock=made.clock)
    made.store.drop()
    assert report.ok, report.problems


@pytest.fixture
def she(pages_world: PortalWorld) -> Her:
    """Somebody known to agency A, signed in with a PIN of her own."""
    return pages_world.her()


@pytest.fixture(autouse=True)
def _no_failpoint_is_left_armed() -> Iterator[None]:
    yield
    failpoints.arm("")

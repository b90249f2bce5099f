"""A commit of which nobody knows the outcome: two roots for one size cannot be taken back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.ledger.world import World


@pytest.mark.parametrize("persisted", [False, True])
def test_after_it_nothing_more_is_taken(
    world: World, monkeypatch: pytest.MonkeyPatch, persisted: bool
) -> None:
    """Also where the disk works again at once: only a new start may know what is on it."""
    world.append_keys(2)
    real: Callable[[Any], None] = world.engine.dialect.do_commit
    broken = [True]

    def once(connection: object) -> None:
        if not broken:
            real(connection)
            return
        broken.clear()
        if persisted:
            real(connection)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(world.engine.dialect, "do_commit", once)
    with pytest.raises(SafehandError):
        world.submit(world.key_operation())
    with pytest.raises(SafehandError) as refused:
        world.submit(world.key_operation())
    assert refused.value.reason is Reason.UNAVAILABLE
    monkeypatch.undo()
    world.keys = 2 + persisted
    world.reload()
    world.check_log(2 + persisted)

"""A roll that was cut off on one writer goes on at the next, which then rolls in time itself.

Two services in this process on one PostgreSQL database, keystore and anchor, with one clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand_consent_service import kek_roll
from safehand_consent_service.app import App, build
from safehand_core import failpoints

from tests.consent.release.world import ENTROPY, World, wait_for
from tests.harness import database
from tests.keys.test_kek_roll import HOUR_S, epochs_in_use, epochs_on_disk, hours_pass, kek_bytes

ENGINE = "pg18"


class CutOffError(Exception):
    """The process ends here."""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The writer, on PostgreSQL."""
    monkeypatch.setenv(database.VARIABLE, database.require(ENGINE))
    made = World(tmp_path).start().set_up()
    yield made
    made.stop()
    made.store.drop()


def standing_by(world: World) -> App:
    """Another host of the same database, which is not elected while the first one writes."""
    folder = world.directory / "another-host"
    made = build(
        world.settings.model_copy(update={"data_dir": folder}), clock=world.clock, entropy=ENTROPY
    )
    assert not made.elect()
    return made


def cut_off_at(world: World, other: App, monkeypatch: pytest.MonkeyPatch, failpoint: str) -> None:
    """The writer's own roll ends at ``failpoint``, and all else that it does; left is ``other``."""

    def hit(name: str) -> None:
        if name == failpoint:
            raise CutOffError

    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "hit", hit)
        with pytest.raises(CutOffError):
            world.app.rotation.once()
        world.stop()
    world.app = other


def take_over(world: World) -> None:
    assert world.app.elect()
    world.port = world.app.start()


@pytest.mark.parametrize(
    ("failpoint", "on_disk", "in_use", "then"),
    [
        pytest.param("consent.keys.new_kek", {1, 2}, {1}, 3, marks=pytest.mark.slow),
        ("consent.keys.begun", {1, 2}, {1}, 2),
        pytest.param("consent.keys.some_rewrapped", {1, 2}, {1, 2}, 2, marks=pytest.mark.slow),
        pytest.param("consent.keys.rewrapped", {1, 2}, {2}, 2, marks=pytest.mark.slow),
    ],
)
def test_the_next_writer_finishes_the_roll_and_then_rolls_in_time(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    failpoint: str,
    on_disk: set[int],
    in_use: set[int],
    then: int,
) -> None:
    """What had begun is finished under its own epoch; what had not is begun anew."""
    monkeypatch.setattr(kek_roll, "BATCH", 1)
    sent = world.send(world.grant(world.session()))
    (old,) = kek_bytes(world)
    world.clock.advance(kek_roll.ROLL_AFTER_S)
    cut_off_at(world, standing_by(world), monkeypatch, failpoint)
    assert (epochs_on_disk(world), epochs_in_use(world)) == (on_disk, in_use)

    take_over(world)
    wait_for(lambda: epochs_on_disk(world) == {then})
    assert epochs_in_use(world) == {then}
    assert old not in kek_bytes(world)
    world.release(sent)
    hours_pass(world, kek_roll.ROLL_AFTER_S // HOUR_S - 1)
    assert epochs_on_disk(world) == {then}
    hours_pass(world, 1)
    assert epochs_on_disk(world) == {then + 1} == epochs_in_use(world)
    world.release(sent)

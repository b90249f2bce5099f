"""Copies of every file of every service, before a stop, after it is final, after the next epoch."""

from __future__ import annotations

import ast
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand_cli.sandbox import SERVICES
from safehand_cli.story import TEST_FORM
from safehand_client import intake
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.fault import thief
from tests.harness.database import sqlite_alone
from tests.harness.world import CATEGORIES, WORKER, World, running

pytestmark = sqlite_alone


@pytest.fixture(scope="module")
def robbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running(tmp_path_factory.mktemp("theft") / "sandbox") as found:
        yield found


def copy_files(world: World, target: Path) -> tuple[Path, Path]:
    """Data (databases, WAL, anchor) and keystores of all services, while they run."""
    data, keys = target / "data", target / "keys"
    for service in SERVICES:
        home = world.sandbox.party_dir(service)
        for name in ("data", "anchor"):
            _copy(home / name, data / service / name)
        _copy(home / "keys", keys / service)
    _copy(world.sandbox.root / "nats", data / "nats")
    return data, keys


def _copy(source: Path, target: Path) -> None:
    """Every plain file below ``source``; one that vanishes meanwhile was a scratch file."""
    for path in (p for p in sorted(source.rglob("*")) if p.is_file()):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(path, place)


def recipient_seeds(world: World) -> list[bytes]:
    keys = world.sandbox.party_dir("agency-b") / "keys"
    return [path.read_bytes() for path in sorted(keys.glob("recipient-*"))]


def test_theft(robbed: World, tmp_path: Path) -> None:
    world = robbed
    person = world.person()
    grant = world.grant(person)
    world.accepted(grant)
    seeds = recipient_seeds(world)
    expected = {name: intake.project(TEST_FORM, name) for name in CATEGORIES}

    first_data, first_keys = copy_files(world, tmp_path / "first")
    assert thief.rob(first_data, first_keys, seeds) == expected, "the theft must be able to work"
    assert thief.rob(first_data, first_keys, []) == {}, "not without the recipient's key"
    sender = [p.read_bytes() for p in (world.sandbox.party_dir("agency-a") / "keys").iterdir()]
    others = [key for key in sender if len(key) == 32]
    assert others
    assert thief.rob(first_data, first_keys, others) == {}, "nor with everybody else's"
    assert thief.rob(first_data / "referral", first_keys, seeds) == {}, "nor from referral alone"

    with world.session(person) as her:
        her.stop(grant, destroy_now=True)
    copy_files(world, tmp_path / "second")
    world.consent_operator.roll_keys()
    last_data, last_keys = copy_files(world, tmp_path / "last")
    assert thief.rob(last_data, last_keys, seeds) == {}, "the last copy opens nothing"
    assert thief.rob(tmp_path / "second" / "data", last_keys, seeds) == {}
    assert thief.rob(first_data, last_keys, seeds) == {}, "nor does an old backup with new keys"
    assert thief.rob(first_data, first_keys, seeds) == expected, "the first copy still opens"


def test_a_stop_by_others_is_stopped_and_not_destroyed(robbed: World, tmp_path: Path) -> None:
    """Its grade: within its window the keys are there, whatever epochs pass; hers ends it."""
    world = robbed
    person = world.person()
    grant = world.grant(person)
    fetched = world.accepted(grant)
    seeds = recipient_seeds(world)
    world.agency_b.stop_for_her("grant", grant, worker_ref=WORKER, channel="phone", coercion=True)
    with pytest.raises(SafehandError) as refused:
        world.agency_b.open(fetched, "NAME", worker_ref=WORKER)
    assert refused.value.reason is Reason.CONSENT_ENDED
    world.consent_operator.roll_keys()
    data, keys = copy_files(world, tmp_path / "stopped")
    assert set(thief.rob(data, keys, seeds)) >= set(CATEGORIES), "stopped is not destroyed"
    with world.session(person) as her:
        her.resume(grant)
    assert world.agency_b.open(fetched, "NAME", worker_ref=WORKER).form.preferred_name
    world.agency_a.stop_for_her("grant", grant, worker_ref=WORKER, channel="phone")
    with world.session(person) as her:
        her.stop(grant, destroy_now=True)
    world.consent_operator.roll_keys()
    data, keys = copy_files(world, tmp_path / "destroyed")
    assert thief.rob(data, keys, seeds) == {}


def test_a_live_grant_survives_the_epoch(robbed: World, tmp_path: Path) -> None:
    person = robbed.person()
    grant = robbed.grant(person)
    fetched = robbed.accepted(grant)
    robbed.consent_operator.roll_keys()
    opened = robbed.agency_b.open(fetched, "NAME", worker_ref="worker-x3")
    assert opened.form.preferred_name == TEST_FORM.preferred_name
    data, keys = copy_files(robbed, tmp_path / "live")
    assert set(thief.rob(data, keys, recipient_seeds(robbed))) >= set(CATEGORIES)


def test_the_thief_knows_nothing_of_ours() -> None:
    tree = ast.parse(Path(thief.__file__).read_text())
    names = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name) or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert not [name for name in names if name.split(".")[0].startswith(("safehand", "tests"))]

"""As test_theft, of PostgreSQL: backups, dumps, a standby's folder, the folder of a dead server.

A row that is deleted there stays in its table's file until a vacuum, in the WAL, on the standby and
in every backup. What destroys is that the key around it is gone, and lay in none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from safehand_cli.story import TEST_FORM
from safehand_client import intake

from tests.fault import thief
from tests.fault.crash import persist
from tests.fault.test_theft import copy_files, recipient_seeds
from tests.fault.thief import Loot
from tests.harness import database, database_theft, databases
from tests.harness.postgres import Cluster
from tests.harness.world import CATEGORIES, World, eventually, running

VERSION = database.conformance()[-1]
WITHIN_S = 60.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


class Servers:
    """A primary with its standby, on which every service of ``world`` has its database."""

    def __init__(self, primary: Cluster, standby: Cluster, world: World) -> None:
        self.primary = primary
        self.standby = standby
        self.world = world
        self._names = [store.name for store in world.stores.values()]

    def steal(self, target: Path) -> dict[str, Loot]:
        """A copy of each kind; the services are there again afterwards."""
        kinds: dict[str, Callable[[Path], None]] = {
            "dump": lambda to: database_theft.dumps(self.primary, to, self._names),
            "backup": lambda to: database_theft.base_backup(self.primary, to, self._names),
            "standby": self._standby,
            "killed": self._killed,
        }
        for kind, take in kinds.items():
            take(target / kind)
        return {kind: thief.search(target / kind) for kind in kinds}

    def _standby(self, target: Path) -> None:
        database_theft.caught_up(self.primary)
        self.standby.kill()
        database_theft.folder_of(self.standby, target, self._names)
        self.standby.start()

    def _killed(self, target: Path) -> None:
        self.primary.kill()
        database_theft.folder_of(self.primary, target, self._names)
        self.primary.start()
        persist(self.world.person)


@contextmanager
def stage(folder: Path) -> Iterator[Servers]:
    database.require(VERSION)
    primary = Cluster.create(VERSION)
    standby = None
    try:
        primary.start().make_roles()
        with running(
            folder, make_stores=lambda sandbox: databases.of_sandbox(sandbox, primary)
        ) as world:
            standby = primary.standby().start()
            yield Servers(primary, standby, world)
    finally:
        if standby is not None:
            standby.remove()
        primary.remove()


def test_a_theft_of_whole_servers(tmp_path: Path) -> None:
    with stage(tmp_path / "sandbox") as servers:
        world = servers.world
        person = world.person()
        grant = world.grant(person)
        world.accepted(grant)
        seeds = recipient_seeds(world)
        expected = {name: intake.project(TEST_FORM, name) for name in CATEGORIES}

        _, first_keys = copy_files(world, tmp_path / "first")
        first = servers.steal(tmp_path / "first-servers")
        for kind, loot in first.items():
            assert thief.rob_of(loot, first_keys, seeds) == expected, f"{kind} must be able to work"
            assert thief.rob_of(loot, first_keys, []) == {}, "not without the recipient's key"

        def stop() -> None:
            with world.session(person) as her:
                her.stop(grant, destroy_now=True)

        persist(stop)
        second = servers.steal(tmp_path / "second-servers")
        persist(world.consent_operator.roll_keys)
        _, last_keys = copy_files(world, tmp_path / "last")
        last = servers.steal(tmp_path / "last-servers")
        for kind in first:
            assert thief.rob_of(last[kind], last_keys, seeds) == {}, f"the last {kind}"
            assert thief.rob_of(second[kind], last_keys, seeds) == {}, f"the {kind} before the roll"
            assert thief.rob_of(first[kind], last_keys, seeds) == {}, f"the old {kind}, new keys"
            assert thief.rob_of(first[kind], first_keys, seeds) == expected, "it still opens"
        # and the files alone destroy nothing: the row is deleted, its bytes are there, its KEK not
        assert thief.rob_of(second["killed"], first_keys, seeds) == expected


def test_a_live_grant_opens_from_every_copy_after_a_roll(tmp_path: Path) -> None:
    """So that nothing opens for want of reading: the same copies, of a grant that lives."""
    with stage(tmp_path / "sandbox") as servers:
        world = servers.world
        world.accepted(world.grant(world.person()))
        world.consent_operator.roll_keys()
        _, keys = copy_files(world, tmp_path / "keys")
        loot = servers.steal(tmp_path / "live")
        eventually(lambda: world.fsck().ok, "the ledger is whole", within_s=WITHIN_S)
        for kind, found in loot.items():
            opened = thief.rob_of(found, keys, recipient_seeds(world))
            assert set(opened) == set(CATEGORIES), kind

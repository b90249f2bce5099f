"""What the services stand on: their databases, the servers under them, and disks that can be full.

On SQLite the data of all services lies on one small disk of its own. On PostgreSQL there are a
primary and a synchronous standby, each on a small disk of its own. Where nothing may be mounted
the writes of the processes are refused instead, see ``tests.harness.full_disk``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from safehand_cli.sandbox import SERVICES, Sandbox
from safehand_cli.system import PROCESSES

from tests.harness import databases
from tests.harness.database import SQLITE, Database
from tests.harness.full_disk import Disk, Limited, Mounted, mounted
from tests.harness.pair import Pair
from tests.harness.world import World

WORKER: Final = "-worker"
SQLITE_MB: Final = 256
SERVER_MB: Final = 1024
"""A disk's size, megabytes: a run of ten minutes fits with room to spare (files are sparse)."""
WITH_STANDBY: Final = {
    process: {f"SAFEHAND_{process.removesuffix(WORKER).upper()}_REQUIRE_STANDBY": "true"}
    for process in PROCESSES
    if process.removesuffix(WORKER) in SERVICES
}
"""Every process of every service waits for the standby, as docs/operations.md asks for it."""


@dataclass
class Ground:
    """Databases and disks. ``pair`` is None on SQLite."""

    engine: str
    disks: tuple[Mounted | None, ...]
    pair: Pair | None = None
    environment: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def make_stores(self, sandbox: Sandbox) -> dict[str, Database]:
        """A database for each service, on the disks."""
        if self.pair is None:
            disk = self.disks[0]
            if disk is not None:
                _move_data(sandbox, disk.folder)
            return databases.of_sandbox(sandbox)
        found = {}
        for service, made in databases.of_sandbox(sandbox, self.pair.primary).items():
            store = found[service] = self.pair.on_any(made)
            sandbox.name_database(service, store.url)
        return found

    def disk(self, world: World) -> Disk:
        """The disk under the database that takes writes now."""
        place = 0 if self.pair is None else self.pair.place
        if found := self.disks[place]:
            return found
        pair = self.pair
        if pair is None:
            return Limited(world.system.supervisor)
        return Limited(clusters=lambda: (pair.primary,))


@contextlib.contextmanager
def ground(engine: str, *, mount: bool = True) -> Iterator[Ground]:
    """What ``engine`` needs; everything goes with the block. Raises MissingError.

    Without ``mount`` as where nothing may be mounted.
    """
    with contextlib.ExitStack() as stack:

        def disk(megabytes: int, *, memory: bool) -> Mounted | None:
            made = mounted(megabytes, memory=memory) if mount else None
            if made is not None:
                stack.callback(made.remove)
            return made

        if engine == SQLITE:
            yield Ground(engine, (disk(SQLITE_MB, memory=False),))
            return
        disks = (disk(SERVER_MB, memory=True), disk(SERVER_MB, memory=True))
        one, other = (None if made is None else made.folder for made in disks)
        pair = Pair.begin(engine, (one, other))
        stack.callback(pair.remove)
        yield Ground(engine, disks, pair, WITH_STANDBY)


def _move_data(sandbox: Sandbox, disk: Path) -> None:
    """Let each service's data lie on ``disk``, before anything is in it."""
    sandbox.create()
    for service in SERVICES:
        data = sandbox.data(service)
        if not data.is_symlink():
            data.rmdir()
            place = disk / service
            place.mkdir(mode=0o700)
            data.symlink_to(place)

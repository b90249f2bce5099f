"""Copies of a PostgreSQL server, as a thief or a backup has them, and what such a copy says."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.harness import postgres
from tests.harness.postgres import SUPERUSER, Cluster
from tests.harness.world import eventually

FOLLOWS: Final = "standby.signal"
"""The file that makes a server look for a primary."""
WITHIN_S: Final = 60.0


def base_backup(server: Cluster, target: Path, databases: Iterable[str]) -> None:
    """What pg_basebackup takes of the running ``server``."""
    taken = _empty(server)
    try:
        taken._run(
            "pg_basebackup",
            f"--pgdata={taken.data}",
            f"--dbname={_address(server)}",
            "--checkpoint=fast",
            "--no-sync",
        )
        _take(taken, target, databases)
    finally:
        taken.remove()


def dumps(server: Cluster, target: Path, databases: Iterable[str]) -> None:
    """A plain dump of each of ``databases``, and nothing else."""
    target.mkdir(parents=True)
    for name in databases:
        made = server.folder / f"{name}.dump"
        server._run(
            "pg_dump", f"--file={made}", "--no-sync", f"--dbname={_address(server)} dbname={name}"
        )
        shutil.move(made, target / made.name)


def folder_of(server: Cluster, target: Path, databases: Iterable[str]) -> None:
    """The data folder of ``server``, which was killed."""
    assert not server.running
    taken = _empty(server)
    try:
        shutil.copytree(server.data, taken.data, symlinks=True)
        _give_away(taken.data)
        _take(taken, target, databases)
    finally:
        taken.remove()


def caught_up(primary: Cluster) -> None:
    """Wait until the standby of ``primary`` has everything that was written until now."""
    ((now,),) = primary.execute("SELECT pg_current_wal_lsn()::text")
    flushed = f"SELECT 1 FROM pg_stat_replication WHERE flush_lsn >= '{now}'"
    eventually(lambda: bool(primary.execute(flushed)), "the standby has it all", within_s=WITHIN_S)


def _take(taken: Cluster, target: Path, databases: Iterable[str]) -> None:
    """The files as they are, then a start on a copy of them, and a dump of what it says."""
    shutil.copytree(taken.data, target, symlinks=True)
    # It recovers what it has, and meets no server of the living.
    (taken.data / FOLLOWS).unlink(missing_ok=True)
    taken.settings = {"primary_conninfo": "", "primary_slot_name": ""}
    taken.start()
    dumps(taken, target / "dumps", databases)


def _empty(like: Cluster) -> Cluster:
    """A cluster of the same kind, in a folder of its own, with nothing in it."""
    return type(like)(like.version, postgres._folder())


def _address(server: Cluster) -> str:
    return f"host={server.folder} port={server.port} user={SUPERUSER}"


def _give_away(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if os.geteuid() == 0:
            os.chown(path, *postgres._nobody(), follow_symlinks=False)

"""Row: what it takes to be up: seconds to the first referral, memory of every process at rest."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from safehand_cli.system import memory_pss

from bench.processes import family
from bench.stats import Figure
from bench.system import running
from bench.where import Where

ROW: Final = "everything at rest (make run)"
MEMORY_GOAL_MB: Final = 600.0
START_GOAL_S: Final = 15.0
SETTLE_S: Final = 5.0
"""Seconds after the story before memory is read."""
TIMEOUT_S: Final = 120.0
_ROUTED: Final = re.compile(r"first referral routed")
_UP: Final = re.compile(r"stays up until")


def measure(where: Where) -> list[Figure]:
    """SQLite: what ``make run`` is. PostgreSQL: the same processes on a server that runs already,
    started by this one; ``make run`` does not do that."""
    if where.cluster is not None:
        return _on_server(where)
    began = time.monotonic()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "safehand_cli.main",
            "--dir",
            str(where.folder / "newcomer"),
            "up",
            "--story",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        routed = _wait_for(process, _ROUTED) - began
        _wait_for(process, _UP)
        time.sleep(SETTLE_S)
        sizes = memory_pss({str(pid): pid for pid in family(process.pid)})
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    return _figures(sum(sizes.values()), f"{len(sizes)} processes", routed)


def _on_server(where: Where) -> list[Figure]:
    began = time.monotonic()
    with running(Path(where.folder) / "newcomer", where) as world:
        world.accepted(world.grant(world.person()))
        routed = time.monotonic() - began
        time.sleep(SETTLE_S)
        supervisor = world.system.supervisor
        own = memory_pss({name: supervisor.pid(name) for name in supervisor.names()})
        server = where.server_memory()
    note = f"{len(own)} processes, without PostgreSQL's {server / 2**20:.0f} MiB"
    return _figures(sum(own.values()), note, routed)


def _figures(size: int, processes: str, routed: float) -> list[Figure]:
    total = size / 2**20
    return [
        Figure(
            ROW,
            "memory, all processes (PSS)",
            f"{total:.0f} MiB",
            processes,
            total,
            MEMORY_GOAL_MB,
        ),
        Figure(
            ROW,
            "command to first routed referral",
            f"{routed:.1f} s",
            "",
            routed,
            START_GOAL_S,
        ),
    ]


def _wait_for(process: subprocess.Popen[str], pattern: re.Pattern[str]) -> float:
    assert process.stdout is not None
    deadline = time.monotonic() + TIMEOUT_S
    for line in process.stdout:
        if pattern.search(line):
            return time.monotonic()
        if time.monotonic() > deadline:
            break
    raise RuntimeError("safehand up did not come that far")

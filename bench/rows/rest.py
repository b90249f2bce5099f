"""Row: what it takes to be up: seconds to the first referral, memory of every process at rest."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from safehand_cli.system import memory_pss

from bench.stats import Figure

ROW: Final = "everything at rest (make run)"
MEMORY_GOAL_MB: Final = 600.0
START_GOAL_S: Final = 15.0
SETTLE_S: Final = 5.0
"""Seconds after the story before memory is read."""
TIMEOUT_S: Final = 120.0
_ROUTED: Final = re.compile(r"first referral routed")
_UP: Final = re.compile(r"stays up until")


def measure(folder: Path) -> list[Figure]:
    """``safehand up --story`` as a newcomer runs it; files are in the page cache by now."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "safehand_cli.main", "--dir", str(folder), "up", "--story"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        routed = _wait_for(process, _ROUTED) - began
        _wait_for(process, _UP)
        time.sleep(SETTLE_S)
        sizes = memory_pss({str(pid): pid for pid in _family(process.pid)})
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    total = sum(sizes.values()) / 2**20
    return [
        Figure(
            ROW,
            "memory, all processes (PSS)",
            f"{total:.0f} MiB",
            f"{len(sizes)} processes",
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


def _family(root: int) -> list[int]:
    """``root`` and every process below it, from /proc."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208  names only
        if entry.isdigit():
            try:
                text = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            parents[int(entry)] = int(text.rpartition(")")[2].split()[1])
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sorted(family)

"""What the kernel says of running processes: their memory, their CPU, their children (proc(5))."""

from __future__ import annotations

import os
from pathlib import Path

from safehand_cli.system import memory_pss


def family(root: int) -> list[int]:
    """``root`` and every process below it."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208  names only
        if entry.isdigit():
            try:
                text = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            parents[int(entry)] = int(text.rpartition(")")[2].split()[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def pss(pid: int) -> int:
    """Proportional set size in bytes; 0 for a process that is gone."""
    return memory_pss({"": pid})[""]


def cpu_seconds(pid: int) -> float:
    """CPU that a process has used so far, in user and in kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

"""The process × failpoint matrix, printed at the end of a run, whichever worker killed what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

KILL = "kill"
"""Name of the recorded property: ``process failpoint`` of one kill after which all held."""


def matrix(reports: Iterable[Any]) -> list[str]:
    """Lines of the matrix from the reports of passed tests; none where nothing was killed."""
    kills = Counter(
        str(value)
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == KILL
    )
    if not kills:
        return []
    lines = [f"{'process':<17} {'failpoint':<32}{'kills':>5}"]
    for cell, count in sorted(kills.items()):
        process, point = cell.split(" ")
        lines.append(f"{process:<17} {point:<32}{count:>5}")
    return lines

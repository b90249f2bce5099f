"""Quantiles, and what a row prints: a figure, what stands beside it, their ratio, the goal."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

MS = 1000.0


def quantile(samples: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of the samples lie, by nearest rank."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def p50(samples: Sequence[float]) -> float:
    return quantile(samples, 0.50)


def p99(samples: Sequence[float]) -> float:
    return quantile(samples, 0.99)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def milliseconds(seconds: float) -> str:
    return f"{seconds * MS:.2f} ms"


def rate(per_second: float) -> str:
    return f"{per_second:,.0f}/s"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        row: the operation, as DESIGN calls it.
        what: what is measured of it.
        measured: the figure, with its unit.
        beside: what was measured beside it in the same run.
        ratio: the two, divided as ``goal`` says.
        goal: the limit of the ratio; None where the line is for information only.
        at_most: whether the ratio must not be above the goal, or not below it.
    """

    row: str
    what: str
    measured: str
    beside: str
    ratio: float
    goal: float | None
    at_most: bool = True

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        held = self.ratio <= self.goal if self.at_most else self.ratio >= self.goal
        return "pass" if held else "miss"

    def cells(self) -> list[str]:
        sign = "≤" if self.at_most else "≥"
        goal = "" if self.goal is None else f"{sign} {self.goal:g}"
        ratio = f"{self.ratio:.2f}" if self.ratio else ""
        return [self.row, self.what, self.measured, self.beside, ratio, goal, self.verdict]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict}


HEADINGS = ["operation", "figure", "measured", "beside it, in the same run", "ratio", "goal", ""]


def table(figures: Sequence[Figure]) -> str:
    """The figures as aligned columns; a row's name stands at its first line only."""
    lines, previous = [HEADINGS], ""
    for figure in figures:
        cells = figure.cells()
        if figure.row == previous:
            cells[0] = ""
        previous = figure.row
        lines.append(cells)
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    padded = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([padded[0], "-" * len(padded[0]), *padded[1:]])

"""The packages that these tests read, as files in memory, and what tells them apart."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from safehand_hsds import Files, load

from tests import shared_data

SAMPLE = shared_data.REPO / "libs/cli/src/safehand_cli/sample/hsds"
FLORIDA = "hsds-florida-legal-aid"


def folder(name: str) -> Path:
    """``sample``, or ``florida`` (which skips where the shared data is absent)."""
    return SAMPLE if name == "sample" else shared_data.path(FLORIDA)


def files(name: str) -> dict[str, bytes]:
    """The CSV files of a package."""
    return {p.name: p.read_bytes() for p in sorted(folder(name).glob("*.csv"))}


def records(data: bytes) -> list[list[str]]:
    """Header and rows, by the standard library's reader."""
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def written(rows: list[list[str]]) -> bytes:
    """Header and rows as CSV, by the standard library's writer."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


def line_of(rows: list[list[str]], index: int) -> int:
    """The physical line, from 1, on which row ``index`` starts when ``rows`` are written."""
    return 1 + written(rows[:index]).count(b"\n")


__all__ = ["FLORIDA", "SAMPLE", "Files", "files", "folder", "line_of", "load", "records", "written"]

"""``python -m bench``: measure, print the table, and with ``--json`` write it down too."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safehand_core.errors import SafehandError

from bench import stats
from bench.rows import append, grant, referral, release, rest, stop
from bench.stand import FULL, QUICK, Stand, stand
from bench.stats import Figure

ROWS: dict[str, Callable[[Stand], list[Figure]]] = {
    "grant": grant.measure,
    "stop": stop.measure,
    "release": release.measure,
    "append": append.measure,
    "referral": referral.measure,
}
"""In the order of measuring: ``stop`` stops what ``grant`` granted."""
REST = "rest"
ORDER = (stop.ROW, grant.ROW, release.ROW, append.ROW, referral.ROW, rest.ROW)
"""The order of DESIGN, section 9."""
EXIT_REFUSED = 78
"""The database would not be durable here (sysexits.h EX_CONFIG)."""


def main() -> int:
    """0 whatever the figures are: they are for people to read. 78 where they would mean nothing."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="safehand-bench-", dir=options.dir))
    header = _header()
    for name, value in header.items():
        print(f"{name:<10} {value}")
    try:
        figures, floor = _measure(folder, options)
    except SafehandError as error:
        detail = f": {error.detail}" if error.detail else ""
        print(f"{error.reason.value}: {error.message}{detail}", file=sys.stderr)
        return EXIT_REFUSED
    finally:
        if options.keep:
            print(f"kept       {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    figures.sort(key=lambda figure: ORDER.index(figure.row))
    for name, value in floor.items():
        print(f"{name:<10} {value}")
    print()
    print(stats.table(figures))
    if options.json is not None:
        report = {**header, **floor, "figures": [figure.as_json() for figure in figures]}
        options.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return 0


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    names = [*ROWS, REST]
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--quick", action="store_true", help="fewer calls, more noise")
    parser.add_argument("--row", action="append", choices=names, help="only this row; repeatable")
    parser.add_argument("--dir", type=Path, help="make the databases under this folder")
    parser.add_argument("--keep", action="store_true", help="leave the databases and logs there")
    options = parser.parse_args()
    options.row = options.row or names
    if "stop" in options.row and "grant" not in options.row:
        options.row.append("grant")
    return options


def _measure(folder: Path, options: Any) -> tuple[list[Figure], dict[str, str]]:
    figures: list[Figure] = []
    floor: dict[str, str] = {}
    if set(options.row) & set(ROWS):
        with stand(folder / "system", QUICK if options.quick else FULL, say=_say) as made:
            for name, measure in ROWS.items():
                if name in options.row:
                    _say(f"measuring {name}")
                    figures += measure(made)
            made.disk.sample(made.effort.singles)
            fsync = made.disk.samples
            floor["fsync"] = (
                f"p50 {stats.milliseconds(stats.p50(fsync))}, "
                f"p99 {stats.milliseconds(stats.p99(fsync))} (fdatasync after 4 KiB, {len(fsync)}x)"
            )
    if REST in options.row:
        _say("measuring a newcomer's first run")
        figures += rest.measure(folder / "newcomer")
    return figures, floor


def _say(text: str) -> None:
    if sys.stderr.isatty() or os.environ.get("SAFEHAND_BENCH_TALK"):
        print(f"  · {text}", file=sys.stderr, flush=True)


def _header() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "cpus": str(len(os.sched_getaffinity(0))),
        "kernel": f"{platform.system()} {platform.release()}",
        "sqlite": sqlite3.sqlite_version,
    }


if __name__ == "__main__":
    sys.exit(main())

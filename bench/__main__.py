"""``python -m bench``: measure the rows, print the table, and with ``--json`` keep it."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from safehand_core.errors import SafehandError

from bench import stats
from bench.report import Report, command_of
from bench.rows import append, grant, portal, proofs, referral, release, rest, stop
from bench.rows import refused as refused_row
from bench.stand import FULL, LEVELS, QUICK, TINY, Effort, Stand, stand
from bench.stats import Figure
from bench.system import say
from bench.where import ENGINES, SQLITE, Where, measured_on, refused

ROWS: Final[dict[str, Callable[[Stand], list[Figure]]]] = {
    "grant": grant.measure,
    "stop": stop.measure,
    "release": release.measure,
    "append": append.measure,
    "refused": refused_row.measure,
    "referral": referral.measure,
    "portal": portal.measure,
}
"""In the order of measuring: ``stop`` stops what ``grant`` granted."""
PROOFS: Final = "proofs"
REST: Final = "rest"
ORDER: Final = (
    stop.ROW,
    grant.ROW,
    release.ROW,
    append.ROW,
    refused_row.ROW,
    referral.ROW,
    proofs.ROW,
    rest.ROW,
    portal.ROW,
)
"""The order of DESIGN, section 9."""


def main() -> int:
    """0 whatever the figures are: they are for people to read. 78 where they would mean nothing."""
    options = _options()
    report = Report(command_of("bench"))
    try:
        with measured_on(options.database, options.dir, "bench") as where:
            report.named("database", where.version())
            figures, floor = _measure(where, options)
            if options.keep:
                kept = Path(f"{where.folder}-kept")
                shutil.copytree(where.folder, kept, ignore=shutil.ignore_patterns("*.wake"))
                report.named("kept", str(kept))
    except SafehandError as error:
        return refused(error)
    figures.sort(key=lambda figure: ORDER.index(figure.row))
    for name, value in floor.items():
        report.named(name, value)
    report.line()
    report.line(stats.table(figures))
    report.line()
    report.end()
    report.write(options.json, {**floor, "figures": [figure.as_json() for figure in figures]})
    return 0


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    names = [*ROWS, PROOFS, REST]
    parser.add_argument("--database", choices=ENGINES, default=SQLITE)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep output and figures here")
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--quick", action="store_true", help="fewer calls, more noise")
    effort.add_argument("--tiny", action="store_true", help="to see that it runs")
    parser.add_argument("--row", action="append", choices=names, help="only this row; repeatable")
    parser.add_argument("--without", action="append", choices=names, default=[], help="not this")
    parser.add_argument(
        "--leaves", type=int, nargs="+", help=f"sizes of the row {PROOFS}; {proofs.LEAVES[-1]:,}"
        " leaves take minutes and gigabytes",
    )  # fmt: skip
    parser.add_argument("--dir", type=Path, help="make the databases under this folder")
    parser.add_argument("--keep", action="store_true", help="leave files and logs there")
    options = parser.parse_args()
    options.row = [name for name in options.row or names if name not in options.without]
    options.effort = TINY if options.tiny else QUICK if options.quick else FULL
    if options.leaves is None:
        options.leaves = proofs.TINY if options.tiny else proofs.LEAVES
    return options


def _measure(where: Where, options: Any) -> tuple[list[Figure], dict[str, str]]:
    figures: list[Figure] = []
    floor: dict[str, str] = {}
    effort: Effort = options.effort
    if set(options.row) & set(ROWS):
        with stand(where.folder / "system", effort, where) as made:
            for name, measure in ROWS.items():
                if name in options.row:
                    say(f"measuring {name}")
                    figures += measure(made)
            made.disk.sample(effort.singles)
            floor["fsync"] = _fsync(made.disk.samples)
            floor.update(_echo(made))
    if PROOFS in options.row:
        figures += proofs.measure(where, options.leaves, effort)
    if REST in options.row:
        say("measuring a newcomer's first run")
        figures += rest.measure(where)
    return figures, floor


def _fsync(samples: list[float]) -> str:
    middle, high = stats.p50(samples), stats.p99(samples)
    return (
        f"p50 {stats.milliseconds(middle)}, p99 {stats.milliseconds(high)}"
        f" (fdatasync after 4 KiB, {len(samples)}x)"
    )


def _echo(made: Stand) -> dict[str, str]:
    """The floor by itself, once more, so that a table of one row has it too."""
    found = {}
    for clients, calls in sorted(made.effort.each.items()):
        run = made.run_echo(calls, clients)
        plural = "s" if clients > 1 else ""
        found[f"echo {clients}"] = (
            f"p50 {stats.milliseconds(stats.p50(run.latencies))}, {stats.rate(run.rate)}"
            f" (same chain, same TLS, {clients} client{plural})"
        )
    return found


assert set(FULL.each) == set(LEVELS)

if __name__ == "__main__":
    sys.exit(main())

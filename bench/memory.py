"""``python -m bench.memory``: what each process holds over an hour of steady load.

The whole story is lived again and again by new people (``lives``) while two agencies listen to
their streams. Once a minute the proportional set size of every process is read. What counts is
the slope behind the first quarter: KiB for each 1,000 calls, with its standard error. A process
whose memory still grows then is named.

It may run beside other work: it asks for no time, only for memory. With ``--nice`` all processes
make way for others once they serve.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from safehand_client import AgencyClient
from safehand_core.errors import SafehandError

from bench import floor
from bench.lives import CALLS, Lives
from bench.processes import pss
from bench.report import Report, command_of
from bench.system import running
from bench.where import ENGINES, SQLITE, Where, measured_on, refused
from tests.harness.world import World

MINUTES: Final = 60.0
RATE: Final = 2.0
"""Lives a second: about 50 calls."""
SAMPLES: Final = 60
"""Looks at the memory in one run, evenly spread."""
WARM: Final = 0.25
"""Share of the run that the slope leaves out: caches, pools and plans fill."""
SIGNIFICANT: Final = 3.0
"""Standard errors from which a slope is not called noise."""
NOTABLE_KIB: Final = 512.0
"""Growth over the whole of the rest, in KiB, below which a slope is not named: less than what an
allocator takes at a time."""
SERVER: Final = "postgres"
CLIENTS: Final = "the clients (not ours to run)"
BARS: Final = "▁▂▃▄▅▆▇█"


@dataclass
class Series:
    """One process: PSS in KiB at each sample."""

    kib: list[float] = field(default_factory=list)

    def fit(self, calls: Sequence[float]) -> tuple[float, float]:
        """Slope in KiB for 1,000 calls, and its standard error, behind the warm-up."""
        first = int(len(calls) * WARM)
        x, y = [value / 1000 for value in calls[first:]], self.kib[first:]
        if len(x) < 3 or x[0] == x[-1]:
            return 0.0, 0.0
        slope, level = statistics.linear_regression(x, y)
        middle = statistics.fmean(x)
        spread = sum((value - middle) ** 2 for value in x)
        rest = sum((v - level - slope * w) ** 2 for w, v in zip(x, y, strict=True))
        return slope, float((rest / (len(x) - 2) / spread) ** 0.5)

    def grows(self, calls: Sequence[float]) -> bool:
        """Whether it is more than noise, and more than nothing."""
        slope, error = self.fit(calls)
        first = int(len(calls) * WARM)
        growth = slope * (calls[-1] - calls[first]) / 1000
        return slope > SIGNIFICANT * error and growth > NOTABLE_KIB

    def line(self) -> str:
        """A bar for each sample, from the least to the most of this process."""
        low, high = min(self.kib), max(self.kib)
        step = (high - low) / (len(BARS) - 1) or 1.0
        return "".join(BARS[round((value - low) / step)] for value in self.kib)


@dataclass
class Run:
    """All samples: minutes, calls so far, and each process."""

    minutes: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    processes: dict[str, Series] = field(default_factory=dict)

    def sample(self, world: World, where: Where, began: float, calls: int) -> None:
        supervisor = world.system.supervisor
        found = {name: pss(supervisor.pid(name)) for name in supervisor.names()}
        if where.cluster is not None:
            found[SERVER] = where.server_memory()
        found[CLIENTS] = pss(os.getpid())
        self.minutes.append((time.monotonic() - began) / 60)
        self.calls.append(calls)
        for name, size in found.items():
            self.processes.setdefault(name, Series()).kib.append(size / 1024)

    def as_json(self) -> dict[str, Any]:
        return {
            "minutes": [round(value, 2) for value in self.minutes],
            "calls": self.calls,
            "kib": {name: series.kib for name, series in self.processes.items()},
        }


def main() -> int:
    """0 whatever the slopes are; 78 where the database is not durable."""
    options = _options()
    report = Report(command_of("bench.memory"))
    try:
        with measured_on(options.database, options.dir, "memory") as where:
            report.named("database", where.version())
            report.named("floor", floor.measured(where.folder, where.disk))
            report.named(
                "load",
                f"{options.rate:g} lives/s of {CALLS} calls each, for {options.minutes:g} minutes, "
                f"nice {options.nice}",
            )
            _measure(where, options, report)
    except SafehandError as error:
        return refused(error)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"default {MINUTES:g}")
    parser.add_argument("--rate", type=float, default=RATE, help=f"lives/s; default {RATE:g}")
    parser.add_argument("--database", choices=ENGINES, default=SQLITE)
    parser.add_argument("--nice", type=int, default=0, help="niceness of all processes")
    parser.add_argument("--dir", type=Path, help="where everything lies; default /tmp")
    parser.add_argument("--json", type=Path, metavar="FILE", help="written at every sample")
    return parser.parse_args()


def _measure(where: Where, options: argparse.Namespace, report: Report) -> None:
    every_s = options.minutes * 60 / SAMPLES
    with running(where.folder / "sandbox", where) as world:
        _make_way(world, options.nice)
        listeners = [_listen(world, name) for name in ("agency-a", "agency-b")]
        lives, run = Lives(world, options.rate), Run()
        began = time.monotonic()
        lives.start()
        try:
            for number in range(SAMPLES + 1):
                time.sleep(max(0.0, began + number * every_s - time.monotonic()))
                run.sample(world, where, began, lives.calls)
                if number < SAMPLES:
                    report.write(options.json, run.as_json())
        finally:
            lives.stop()
            for listener in listeners:
                listener.close()
        starts = {name: world.system.supervisor.starts(name) for name in run.processes.keys()
                  & set(world.system.supervisor.names())}  # fmt: skip
        disk = where.stored(world.stores["consent"])
    _print(run, lives, report, starts, disk)
    report.write(options.json, {**run.as_json(), "failed": lives.failed, "starts": starts})


def _make_way(world: World, niceness: int) -> None:
    """Only now: a start that gets no CPU is not in time."""
    if niceness:
        for name in world.system.supervisor.names():
            world.system.supervisor.make_way(name, niceness)
        os.setpriority(os.PRIO_PROCESS, 0, niceness)  # threads that begin later inherit it


def _listen(world: World, name: str) -> AgencyClient:
    """An agency that hears its stream and acknowledges what it heard."""
    client = AgencyClient(world.party(name))

    def listen() -> None:
        try:
            for delivery in client.follow():
                if delivery.cursor % 50 == 0:
                    client.acknowledge_deliveries(delivery.cursor)
        except Exception:
            return  # it is being taken down

    threading.Thread(target=listen, daemon=True).start()
    return client


def _print(run: Run, lives: Lives, report: Report, starts: dict[str, int], disk: int) -> None:
    failed = ", ".join(f"{count} {reason}" for reason, count in lives.failed.items()) or "none"
    report.named("lived", f"{lives.lived:,} lives, {lives.calls:,} calls; failed: {failed}")
    report.named("restarts", str(sum(starts.values()) - len(starts)))
    report.named("disk", f"consent's database {disk / 2**20:.1f} MiB at the end")
    report.line()
    quarter = int(len(run.calls) * WARM)
    heading = ["PSS, MiB", "start", f"at {run.minutes[quarter]:.0f} min", "end", "most"]
    rows = [[*heading, "KiB / 1,000 calls", "± s.e.", ""]]
    for name, series in run.processes.items():
        slope, error = series.fit(run.calls)
        cells = (series.kib[0], series.kib[quarter], series.kib[-1], max(series.kib))
        rows.append(
            [
                name,
                *(f"{kib / 1024:.1f}" for kib in cells),
                f"{slope:+.1f}",
                f"{error:.1f}",
                "GROWS" if series.grows(run.calls) else "",
            ]
        )
    report.table(rows)
    report.line()
    for name, series in run.processes.items():
        low, high = min(series.kib) / 1024, max(series.kib) / 1024
        report.line(f"{name:<30} {low:6.1f} {series.line()} {high:.1f}")
    report.line()
    growing = [name for name, series in run.processes.items() if series.grows(run.calls)]
    report.named("growing", ", ".join(growing) or "none")
    report.end()


if __name__ == "__main__":
    sys.exit(main())

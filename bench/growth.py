"""``python -m bench.growth``: what changes when very many people have a live grant.

For each number of grants a sandbox is filled (``crowd``), checked, and started: how long consent
takes to serve, what it holds, what its database takes, and what a grant, a stop and a release cost
then, beside echo and fsync of the same minute. On PostgreSQL the databases are copies of those of
SQLite. What should not grow is read from the last column.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from safehand_cli.sandbox import Sandbox
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from sqlalchemy import MetaData

from bench import bulk, crowd, stats
from bench.processes import cpu_seconds, pss
from bench.report import Report, command_of
from bench.rows import grant, release, stop
from bench.stand import Effort, Measured, Stand, floor_of
from bench.system import running, say
from bench.where import ENGINES, SQLITE, Where, measured_on, refused
from tests.harness import databases
from tests.harness.database import Database
from tests.harness.world import World

GRANTS: Final = (1_000, 100_000, 1_000_000)
EFFORT: Final = Effort(rounds=4, each={1: 60, 8: 20}, warm_up=10)
TINY: Final = Effort(rounds=1, each={1: 2, 2: 1}, warm_up=1)
FSCK_UP_TO: Final = 100_000
"""Grants up to which the whole ledger is checked before it is used; more takes minutes."""
AT_REST_S: Final = 12.0
"""Seconds over which the CPU of an idle service is counted: two sweeps and more."""
SERVES_WITHIN_S: Final = 900.0
TAKES_WITHIN_S: Final = 60.0


@dataclass(frozen=True)
class Point:
    """One number of grants on one database. Times in seconds, sizes in bytes."""

    database: str
    grants: int
    fill: float
    fsck: float
    start: float
    memory: int
    memory_after: int
    at_rest: float
    """Share of one CPU that consent uses while nobody calls."""
    disk: int
    echo: float
    fsync: float
    grant: float
    stop: float
    release: float
    grant_8: float
    stop_8: float
    release_8: float
    """Calls a second of eight clients."""


def main() -> int:
    """0 whatever the figures are; 78 where the database is not durable."""
    options = _options()
    report = Report(command_of("bench.growth"))
    points: list[Point] = []
    try:
        with measured_on(SQLITE, options.dir, "growth") as local:
            for count in sorted(options.grants):
                points += _measure(local, count, options)
                report.write(options.json, {"points": [asdict(point) for point in points]})
    except SafehandError as error:
        return refused(error)
    for engine in options.database:
        _print(report, engine, [point for point in points if point.database == engine])
    report.end()
    report.write(options.json, {"points": [asdict(point) for point in points]})
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--grants", type=int, nargs="+", default=list(GRANTS))
    parser.add_argument(
        "--database", choices=ENGINES, nargs="+", default=[SQLITE], help="one after another"
    )
    parser.add_argument("--fsck-up-to", type=int, default=FSCK_UP_TO, metavar="GRANTS")
    parser.add_argument("--tiny", action="store_true", help="to see that it runs")
    parser.add_argument("--dir", type=Path, help="where everything lies; default /tmp")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def _measure(local: Where, count: int, options: argparse.Namespace) -> list[Point]:
    """``count`` grants on each database, SQLite's files being the origin of all."""
    root = local.folder / f"sandbox-{count}"
    say(f"{count:,} grants")
    began = time.monotonic()
    with running(root, local) as world:
        environment = world.system.supervisor.child("consent").environment()
        one = world.grant(world.person(), grant.CATEGORIES)
        stores = world.stores
    crowd.grant_many(environment, one, count)
    fill = time.monotonic() - began
    fsck = _check(world) if count <= options.fsck_up_to else 0.0
    effort = TINY if options.tiny else EFFORT
    points = []
    for engine in options.database:
        if engine == SQLITE:
            points.append(_point(local, root, stores, count, effort, fill, fsck))
            continue
        with measured_on(engine, options.dir, "growth") as where:
            copied = _copied(where, Sandbox(root))
            points.append(_point(where, root, copied, count, effort, fill, fsck))
            for service in copied:
                (Sandbox(root).party_dir(service) / "database.url").unlink()
    shutil.rmtree(root)
    return points


def _check(world: World) -> float:
    began = time.monotonic()
    report = world.fsck()
    assert report.ok, report.problems[:3]
    return time.monotonic() - began


def _copied(where: Where, sandbox: Sandbox) -> Mapping[str, Database]:
    """The sandbox's databases on the server of ``where``, named in the sandbox."""
    made = where.of_sandbox(sandbox)
    for service, store in made.items():
        say(f"copying {service} to {where.engine}")
        metadata: MetaData = databases.SCHEMAS[service][1]
        file = sandbox.data(service) / f"{service}.sqlite3"
        bulk.copy(file, store, metadata.sorted_tables)
    return made


def _point(
    where: Where,
    root: Path,
    stores: Mapping[str, Database],
    count: int,
    effort: Effort,
    fill: float,
    fsck: float,
) -> Point:
    say(f"measuring on {where.engine}")
    with running(root, where, stores=stores) as world:
        supervisor = world.system.supervisor
        supervisor.hold("consent")
        began = time.monotonic()
        supervisor.release("consent", timeout_s=SERVES_WITHIN_S)
        start = time.monotonic() - began
        _until_it_takes(world)
        memory = pss(supervisor.pid("consent"))
        before = cpu_seconds(supervisor.pid("consent"))
        time.sleep(AT_REST_S if effort is EFFORT else 0.1)
        at_rest = (cpu_seconds(supervisor.pid("consent")) - before) / AT_REST_S
        with floor_of(world, where, effort) as stand:
            granted, stopped, released = _calls(stand)
        after = pss(supervisor.pid("consent"))
        disk = where.stored(stores["consent"])
    floors = [granted, stopped, released]
    echo = stats.p50([one for each in floors for one in each.echo[1].seconds])
    fsync = stats.p50([one for each in floors for one in each.fsync])
    most = max(effort.levels)
    return Point(
        database=where.engine,
        grants=count,
        fill=fill,
        fsck=fsck,
        start=start,
        memory=memory,
        memory_after=after,
        at_rest=at_rest,
        disk=disk,
        echo=echo,
        fsync=fsync,
        grant=stats.p50(granted.done[1].seconds),
        stop=stats.p50(stopped.done[1].seconds),
        release=stats.p50(released.done[1].seconds),
        grant_8=granted.done[most].rate,
        stop_8=stopped.done[most].rate,
        release_8=released.done[most].rate,
    )


def _calls(stand: Stand) -> tuple[Measured, Measured, Measured]:
    """Grants by new people, stops of those, releases under new ones: among all the others."""
    effort, made = stand.effort, list[tuple[bytes, str]]()
    people = [grant.session(stand) for _ in range(effort.clients)]
    granted = stand.measure(
        grant.target(stand),
        [grant.request(people[n % len(people)]) for n in range(effort.calls)],
        answered=lambda sent, got: made.append(grant.given(sent, got)),
    )
    stopped = stand.measure(stop.target(stand), [stop.request(*one) for one in made])
    released = stand.measure(release.target(stand), list(release.requests(stand, effort.calls)))
    return granted, stopped, released


def _until_it_takes(world: World) -> None:
    """After a start only stops are taken for some seconds; and the first stop of a successor may
    have to wait."""
    deadline = time.monotonic() + TAKES_WITHIN_S
    while True:
        try:
            person = world.person()
            with world.session(person) as her:
                her.stop(world.grant(person))
            return
        except SafehandError as error:
            if error.reason not in (Reason.LEDGER_STARTING, Reason.UNAVAILABLE):
                raise
            if time.monotonic() > deadline:
                raise
            time.sleep(max(0.1, error.retry_after_s or 0.0))


# --- what is printed ---------------------------------------------------------------------------

_LINES: Final[tuple[tuple[str, Callable[[Point], float], str], ...]] = (
    ("echo p50, ms", lambda p: p.echo * 1000, ".2f"),
    ("fsync p50, ms", lambda p: p.fsync * 1000, ".2f"),
    ("grant p50, ms", lambda p: p.grant * 1000, ".2f"),
    ("  / (echo + fsync)", lambda p: p.grant / (p.echo + p.fsync), ".2f"),
    ("stop p50, ms", lambda p: p.stop * 1000, ".2f"),
    ("  / (echo + fsync)", lambda p: p.stop / (p.echo + p.fsync), ".2f"),
    ("release p50, ms", lambda p: p.release * 1000, ".2f"),
    ("  / (echo + fsync)", lambda p: p.release / (p.echo + p.fsync), ".2f"),
    ("grants/s, 8 clients", lambda p: p.grant_8, ",.0f"),
    ("stops/s, 8 clients", lambda p: p.stop_8, ",.0f"),
    ("releases/s, 8 clients", lambda p: p.release_8, ",.0f"),
    ("consent serves after, s", lambda p: p.start, ".2f"),
    ("consent's memory, MiB", lambda p: p.memory / 2**20, ".1f"),
    ("  after the calls, MiB", lambda p: p.memory_after / 2**20, ".1f"),
    ("consent's CPU at rest, %", lambda p: p.at_rest * 100, ".2f"),
    ("consent's database, MiB", lambda p: p.disk / 2**20, ",.1f"),
    ("  bytes a grant", lambda p: p.disk / p.grants, ",.0f"),
    ("filled in, s", lambda p: p.fill, ".1f"),
    ("fsck of the ledger, s", lambda p: p.fsck, ".1f"),
)


def _print(report: Report, engine: str, points: Sequence[Point]) -> None:
    if not points:
        return
    rows = [[engine, *(f"{point.grants:,}" for point in points), "last / first"]]
    for name, of, form in _LINES:
        values = [of(point) for point in points]
        factor = f"{values[-1] / values[0]:.2f}" if values[0] and values[-1] else ""
        shown: list[Any] = [format(value, form) if value else "-" for value in values]
        rows.append([name, *shown, factor])
    report.line()
    report.table(rows)
    report.line()


if __name__ == "__main__":
    sys.exit(main())

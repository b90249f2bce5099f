"""``python -m bench.takeover``: how long nobody can stop, after the one who writes was killed.

Each time something is killed with SIGKILL, and the clock runs until a stop that was asked for
again and again is answered:

- *restart*: SQLite has one process and no standby; the supervisor starts it again.
- *standby*: on PostgreSQL a second process stands by and takes over when the first one's session
  is gone. It waits ``TAKEOVER_S`` before its first answer, so that nothing which the one before
  had released can still be on its way.
- *failover*: the PostgreSQL server itself is killed, its synchronous replica is promoted at once,
  and the process that stands by finds it. How long it takes to decide to promote is not ours.

Clients begin each try with a new connection: how long a client waits before it connects again is
its own affair.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import grpc
from safehand_core.clock import SystemClock
from safehand_core.errors import SafehandError
from safehand_ledger.election import TAKEOVER_S

from bench import floor
from bench.report import Report, command_of
from bench.system import running, say
from bench.where import ENGINES, SQLITE, Where, measured_on, refused
from tests.consent.world import World, certificates
from tests.fault import test_standby as standing_by
from tests.harness import database
from tests.harness.databases import SCHEMAS
from tests.harness.postgres import APP, Cluster

TIMES: Final = 10
FAILOVERS: Final = 5
EVERY_S: Final = 0.02
"""Between two tries: the resolution of the figures."""
TRY_S: Final = 10.0
"""Longest wait for one answer: the first stop of a successor is held back."""
WITHIN_S: Final = 120.0


@dataclass
class Taken:
    """Seconds from each kill to the answer of the first stop, and to what came before it."""

    stopped: list[float] = field(default_factory=list)
    steps: dict[str, list[float]] = field(default_factory=dict)

    def step(self, name: str, seconds: float) -> None:
        self.steps.setdefault(name, []).append(seconds)


def main() -> int:
    """0 whatever the figures are; 78 where the database is not durable."""
    options = _options()
    report = Report(command_of("bench.takeover"))
    found: dict[str, Taken] = {}
    try:
        with measured_on(options.database, options.dir, "takeover") as where:
            report.named("database", where.version())
            report.named("floor", floor.measured(where.folder, where.disk))
            if where.cluster is None:
                found["restart"] = _restarts(where, options.times)
            else:
                found["standby"] = _standbys(where, options.times)
                found["failover"] = _failovers(where, options.failovers)
    except SafehandError as error:
        return refused(error)
    _print(report, found)
    report.write(
        options.json,
        {name: {"stopped": one.stopped, **one.steps} for name, one in found.items()},
    )
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.takeover", description=__doc__)
    parser.add_argument("--database", choices=ENGINES, default=SQLITE)
    parser.add_argument("--times", type=int, default=TIMES, help=f"default {TIMES}")
    parser.add_argument("--failovers", type=int, default=FAILOVERS, help=f"default {FAILOVERS}")
    parser.add_argument("--dir", type=Path, help="where everything lies; default /tmp")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def _print(report: Report, found: dict[str, Taken]) -> None:
    report.line()
    rows = [["killed → first stop answered", "times", "p50, s", "least, s", "most, s"]]
    for name, taken in found.items():
        for what, seconds in {f"{name}: stop answered": taken.stopped, **taken.steps}.items():
            figures = (statistics.median(seconds), min(seconds), max(seconds))
            rows.append([what, str(len(seconds)), *(f"{value:.2f}" for value in figures)])
    report.table(rows)
    report.line()
    if "restart" not in found:
        report.named("held back", f"{TAKEOVER_S:g} s of each are the successor's wait (rule 2)")
    report.end()


# --- SQLite: started again ---------------------------------------------------------------------


def _restarts(where: Where, times: int) -> Taken:
    taken = Taken()
    with running(where.folder / "sandbox", where) as world:
        supervisor = world.system.supervisor
        person = world.person()
        for number in range(times):
            say(f"restart {number + 1} of {times}")
            her = _patient(lambda: _signed_in(world, person))
            grant = _patient(lambda her=her: _granted(her))  # type: ignore[misc]
            before = supervisor.pid("consent")
            began = time.monotonic()
            supervisor.kill("consent")
            while supervisor.pid("consent") == before:
                time.sleep(EVERY_S)
            taken.step("restart: new process begun", time.monotonic() - began)

            def stop(session: bytes = her.session, grant: str = grant) -> None:
                fresh = _hers(world)
                fresh.session = session
                try:
                    fresh.stop(grant)
                finally:
                    fresh.close()

            _patient(stop)
            taken.stopped.append(time.monotonic() - began)
            her.close()
    return taken


def _hers(world: Any) -> Any:
    from safehand_client import SurvivorClient

    return SurvivorClient(world.party("her"))


def _signed_in(world: Any, person: Any) -> Any:
    her = _hers(world)
    try:
        her.sign_in(person.card, person.pin)
    except BaseException:
        her.close()
        raise
    return her


def _granted(her: Any) -> str:
    from safehand_cli.story import PURPOSE

    return str(
        her.grant(
            releasing="agency-a", recipient="agency-b", purpose=PURPOSE, categories=("NAME",)
        ).grant.grant
    )


def _patient(act: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            return act()
        except (SafehandError, grpc.RpcError):
            if time.monotonic() > deadline:
                raise
            time.sleep(EVERY_S)


# --- PostgreSQL: somebody stands by -------------------------------------------------------------


def _standbys(where: Where, times: int) -> Taken:
    """One database, two processes; the one that writes is killed, and a new one stands by."""
    assert where.cluster is not None
    taken = Taken()
    store = database.on(where.cluster)
    store.migrate(*SCHEMAS["consent"])
    folder = where.folder / "standby"
    world = World(folder, certificates(folder / "tls"), cast(Any, SystemClock()), store=store)
    relaxed = {"SAFEHAND_CONSENT_REQUIRE_STANDBY": "false"}
    with contextlib.ExitStack() as everything:
        writer = everything.enter_context(_process(world, folder / "0", relaxed))
        her = None
        for number in range(times):
            say(f"standby {number + 1} of {times}")
            waiting = everything.enter_context(_process(world, folder / f"{number + 1}", relaxed))
            assert waiting.said.get("event") == "standing_by", waiting.errors()
            world.port = writer.said["port"]
            _reconnect(world)
            if her is None:
                world.settle()
                world.register("haven", 1, "her-at-haven")
            her = _patient(lambda: world.sign_in(1))
            grant = _patient(lambda her=her: world.grant(her)).grant.grant  # type: ignore[misc]
            began = time.monotonic()
            writer.close()
            _stopped_by(world, waiting, her, grant, began, taken, "standby")
            writer = waiting
    world_closed(world)
    return taken


def _stopped_by(
    world: World,
    process: standing_by.Process,
    her: bytes,
    grant: str,
    began: float,
    taken: Taken,
    label: str,
) -> None:
    """Ask ``process`` for her stop until it is answered."""
    world.port = process.said["port"]
    serves = False
    while True:
        _reconnect(world)
        try:
            if not serves:
                # A question that is not held back.
                world.view(her, grant)
                serves = True
                taken.step(f"{label}: successor serves", time.monotonic() - began)
            world.stop_grant(her, grant)
        except (SafehandError, grpc.RpcError):
            if time.monotonic() - began > WITHIN_S:
                raise
            time.sleep(EVERY_S)
        else:
            taken.stopped.append(time.monotonic() - began)
            return


def _reconnect(world: World) -> None:
    for channel in world._channels.values():
        channel.close()
    world._channels.clear()


def world_closed(world: World) -> None:
    _reconnect(world)


@contextlib.contextmanager
def _process(world: World, folder: Path, changed: dict[str, str]) -> Iterator[standing_by.Process]:
    with standing_by.running(world, folder, **changed) as made:
        yield made


def _failovers(where: Where, times: int) -> Taken:
    """A server with a synchronous replica, and two processes that know both."""
    taken = Taken()
    for number in range(times):
        say(f"failover {number + 1} of {times}")
        with contextlib.ExitStack() as everything:
            _failover(where, number, taken, everything)
    return taken


def _failover(where: Where, number: int, taken: Taken, everything: contextlib.ExitStack) -> None:
    def server(made: Cluster) -> Cluster:
        everything.callback(made.remove)
        return made

    old = server(Cluster.create(where.engine, parent=None)).start()
    old.make_roles()
    store = database.on(old)
    store.migrate(*SCHEMAS["consent"])
    old.execute(f'GRANT pg_read_all_stats TO "{APP}"')
    new = standing_by.with_standby(server, old)
    folder = where.folder / f"failover-{number}"
    world = World(
        folder,
        certificates(folder / "tls"),
        cast(Any, SystemClock()),
        store=standing_by.on_any(store, old, new),
    )
    # What takes over has no replica of its own yet: one is made at leisure, and meanwhile an
    # installation that demands one would not write at all.
    relaxed = {"SAFEHAND_CONSENT_REQUIRE_STANDBY": "false"}
    writer = everything.enter_context(_process(world, folder / "one", relaxed))
    waiting = everything.enter_context(_process(world, folder / "two", relaxed))
    everything.callback(lambda: world_closed(world))
    world.port = writer.said["port"]
    world.settle()
    world.register("haven", 1, "her-at-haven")
    her = world.sign_in(1)
    grant = world.grant(her).grant.grant
    began = time.monotonic()
    old.kill()
    new.promote()
    taken.step("failover: replica promoted", time.monotonic() - began)
    _stopped_by(world, waiting, her, grant, began, taken, "failover")


if __name__ == "__main__":
    sys.exit(main())

"""What a row needs: the running system, the clients, the floor, the disk; and how it measures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from safehand.consent.v1 import consent_pb2
from safehand_core import ids
from safehand_core.entropy import SystemEntropy

from bench import echo, stats
from bench.disk import Disk
from bench.load import Clients, Run, Target
from bench.processes import cpu_seconds
from bench.stats import Figure
from bench.system import running, say
from bench.where import Where
from tests.harness.database import Database
from tests.harness.world import World

LEVELS: Final = (1, 8, 64)
"""Clients at once."""
ENTROPY: Final = SystemEntropy()


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Rounds alternate between floor and operation, so that what else the machine does in the
    meantime falls on both.
    """

    rounds: int
    each: Mapping[int, int]
    """Clients at once to calls of each of them in one round, of the operation and of the echo."""
    warm_up: int
    """Calls of each client before anything is measured."""

    @property
    def levels(self) -> Sequence[int]:
        return sorted(self.each)

    @property
    def clients(self) -> int:
        return max(self.each)

    @property
    def singles(self) -> int:
        """Calls of a round by one client."""
        return self.each[1]

    @property
    def calls(self) -> int:
        """Operations of one row, the warm-up included."""
        measured = self.rounds * sum(clients * calls for clients, calls in self.each.items())
        return self.clients * self.warm_up + measured


FULL: Final = Effort(rounds=5, each={1: 100, 8: 50, 64: 8}, warm_up=3)
QUICK: Final = Effort(rounds=2, each={1: 50, 8: 25, 64: 6}, warm_up=2)
TINY: Final = Effort(rounds=1, each={1: 2, 2: 1}, warm_up=1)
"""To see that it runs. The figures mean nothing."""


@dataclass
class Level:
    """One number of clients: seconds of each call, calls a second of each round, CPU seconds."""

    clients: int
    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    cpu: float = 0.0

    def add(self, run: Run) -> None:
        self.seconds += run.latencies
        self.rates.append(run.rate)

    @property
    def rate(self) -> float:
        return stats.median(self.rates)

    @property
    def cpu_each(self) -> float:
        return self.cpu / len(self.seconds)


@dataclass(frozen=True, slots=True)
class Measured:
    """One operation and the floor that was measured between its rounds, at each level."""

    done: Mapping[int, Level]
    echo: Mapping[int, Level]
    fsync: list[float]

    def latency(self, row: str, goal: float | None) -> Figure:
        """p50 of one client against echo p50 + fsync p50."""
        single, floor = stats.p50(self.done[1].seconds), stats.p50(self.echo[1].seconds)
        fsync = stats.p50(self.fsync)
        return Figure(
            row,
            "p50, 1 client",
            stats.milliseconds(single),
            f"echo {stats.milliseconds(floor)} + fsync {stats.milliseconds(fsync)}",
            single / (floor + fsync),
            goal,
        )

    def throughput(self, row: str, goal: float, *, all_levels: bool) -> list[Figure]:
        """Calls per second against those of the echo by as many clients.

        The goal is for the first level of several clients, or with ``all_levels`` for each.
        """
        several = [clients for clients in self.done if clients > 1]
        return [
            Figure(
                row,
                f"rate, {clients} clients",
                stats.rate(self.done[clients].rate),
                f"echo {stats.rate(self.echo[clients].rate)}",
                self.done[clients].rate / self.echo[clients].rate,
                goal if all_levels or clients == several[0] else None,
                at_most=False,
            )
            for clients in several
        ]

    def details(self, row: str) -> list[Figure]:
        """For information: p50 and p99 at each level, and the server's CPU for one call."""
        found = [
            Figure(
                row,
                f"p50, p99, {clients} client{'s' if clients > 1 else ''}",
                _both(level.seconds),
                f"echo {_both(self.echo[clients].seconds)}",
                stats.p50(level.seconds) / stats.p50(self.echo[clients].seconds),
                None,
            )
            for clients, level in self.done.items()
        ]
        most = max(self.done)
        own, floor = self.done[most].cpu_each, self.echo[most].cpu_each
        return [
            *found,
            Figure(
                row,
                f"server's CPU, {most} clients",
                f"{stats.milliseconds(own)} a call",
                f"echo {stats.milliseconds(floor)}",
                own / floor if floor else 0.0,
                None,
            ),
        ]


def _both(seconds: Sequence[float]) -> str:
    return f"{stats.milliseconds(stats.p50(seconds))}, {stats.milliseconds(stats.p99(seconds))}"


@dataclass
class Stand:
    """Everything that a row needs. Rows share grants: see ``granted``."""

    world: World
    where: Where
    clients: Clients
    echo: Target
    echo_pid: int
    disk: Disk
    effort: Effort
    granted: list[tuple[bytes, str]] = field(default_factory=list)
    """Her session and a live grant, each; left by the row ``grant`` for ``stop`` and others."""

    def target(self, party: str, service: str, path: str) -> Target:
        """A method of a running service, called with the certificate of ``party``."""
        found = self.world.party(party)
        address: str = getattr(found.addresses, service)
        return Target(address, service, found.tls, path)

    def measure(
        self,
        target: Target,
        requests: Iterable[bytes],
        *,
        process: str = "consent",
        answered: Callable[[bytes, bytes], None] | None = None,
    ) -> Measured:
        """Measure one method of ``process``.

        ``requests`` yields ``effort.calls`` requests; any client may send any of them.
        ``answered`` gets each request with its answer.
        """
        supply = iter(requests)

        def run(calls: int, clients: int) -> Run:
            batches = [list(islice(supply, calls)) for _ in range(clients)]
            done = self.clients.run(target, batches, keep=answered is not None)
            if answered is not None:
                for sent, made in zip(batches, done.calls, strict=True):
                    for request, call in zip(sent, made, strict=True):
                        answered(request, call.answer)
            return done

        return self.compare(run, process=process)

    def compare(self, run: Callable[[int, int], Run], *, process: str) -> Measured:
        """Measure ``run(calls of each client, clients)`` and the echo in turns."""
        effort, server = self.effort, self.world.system.supervisor.pid(process)
        found = {clients: Level(clients) for clients in effort.levels}
        floor = {clients: Level(clients) for clients in effort.levels}
        fsync: list[float] = []
        run(effort.warm_up, effort.clients)
        self.run_echo(effort.warm_up, effort.clients)
        for clients, calls in sorted(effort.each.items()):
            for _ in range(effort.rounds):
                fsync += self.disk.sample(effort.singles)
                before = cpu_seconds(self.echo_pid)
                floor[clients].add(self.run_echo(calls, clients))
                floor[clients].cpu += cpu_seconds(self.echo_pid) - before
                before = cpu_seconds(server)
                found[clients].add(run(calls, clients))
                found[clients].cpu += cpu_seconds(server) - before
        return Measured(found, floor, fsync)

    def run_echo(self, calls: int, clients: int) -> Run:
        return self.clients.run(self.echo, [[echo_request()] * calls] * clients)


def echo_request() -> bytes:
    """What the echo is asked: a stop of nothing, as long as any other."""
    return consent_pb2.StopGrantRequest(
        request_id=ids.new_request_id(ENTROPY),
        session=ENTROPY.bytes(32),
        grant=ids.new_id(ENTROPY),
        mode=consent_pb2.STOP_MODE_STOP,
    ).SerializeToString()


@contextmanager
def stand(
    root: Path,
    effort: Effort,
    where: Where,
    *,
    stores: Mapping[str, Database] | None = None,
) -> Iterator[Stand]:
    """The sandbox under ``root``, running and loaded with its TEST sample, and the floor.

    Raises CONFIG_INVALID where its databases would not survive a power cut.
    """
    with running(root, where, stores=stores) as world, floor_of(world, where, effort) as made:
        yield made


@contextmanager
def floor_of(world: World, where: Where, effort: Effort) -> Iterator[Stand]:
    """Echo, clients and disk beside a running ``world``."""
    say(f"starting the echo and {effort.clients} clients")
    sandbox = world.sandbox
    floor = echo.EchoProcess(sandbox.service_tls("consent"), sandbox.logs("echo"))
    clients = Clients(effort.clients)
    disk = Disk(where.disk)
    try:
        target = Target(floor.address, "consent", world.party("her").tls, echo.PATH)
        yield Stand(world, where, clients, target, floor.pid, disk, effort)
    finally:
        disk.close()
        clients.close()
        floor.close()

"""The system under measurement: every process of the sandbox, with the clients and the floor."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from safehand.consent.v1 import consent_pb2
from safehand_cli import seed
from safehand_cli.sandbox import Sandbox
from safehand_cli.system import System
from safehand_core import ids
from safehand_core.entropy import SystemEntropy
from safehand_store.engine import open_engine, require_durable

from bench import echo, stats
from bench.disk import Disk
from bench.load import Clients, Run, Target
from tests.harness import databases
from tests.harness.world import World

CLIENTS: Final = 8
"""Clients of a throughput figure."""
ENTROPY: Final = SystemEntropy()


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Rounds alternate between floor and operation, so that what else the machine does in the
    meantime falls on both.
    """

    rounds: int
    singles: int
    """Calls of a round by one client, of the operation and of the echo each."""
    each: int
    """Calls of a round by each of the eight clients."""

    @property
    def calls(self) -> int:
        """Operations of each client for one row, the warm-up included."""
        return WARM_UP + self.rounds * (self.singles + self.each)


WARM_UP: Final = 20
FULL: Final = Effort(rounds=5, singles=100, each=100)
QUICK: Final = Effort(rounds=2, singles=50, each=50)


@dataclass(frozen=True, slots=True)
class Measured:
    """One operation and the floor that was measured between its rounds. Seconds, calls/second."""

    single: list[float]
    rate: float
    echo_single: list[float]
    echo_rate: float
    fsync: list[float]
    many: list[float]
    cpu: float
    """Seconds of CPU that the server's process used for one call of the eight clients."""
    echo_cpu: float

    def floors(self) -> str:
        echo_p50, fsync = stats.p50(self.echo_single), stats.p50(self.fsync)
        return f"echo {stats.milliseconds(echo_p50)} + fsync {stats.milliseconds(fsync)}"

    def latency(self, row: str, goal: float | None) -> stats.Figure:
        """p50 of one client against echo p50 + fsync p50."""
        single = stats.p50(self.single)
        return stats.Figure(
            row,
            "p50, one client",
            stats.milliseconds(single),
            self.floors(),
            single / (stats.p50(self.echo_single) + stats.p50(self.fsync)),
            goal,
        )

    def throughput(self, row: str, goal: float) -> stats.Figure:
        """Calls per second of eight clients against those of the echo."""
        return stats.Figure(
            row,
            f"rate, {CLIENTS} clients",
            stats.rate(self.rate),
            f"echo {stats.rate(self.echo_rate)}",
            self.rate / self.echo_rate,
            goal,
            at_most=False,
        )

    def details(self, row: str) -> list[stats.Figure]:
        """For information: p99 of one client and of eight, and the server's CPU for one call."""
        return [
            stats.Figure(
                row,
                f"p99, one and {CLIENTS} clients",
                f"{stats.milliseconds(stats.p99(self.single))}, "
                f"{stats.milliseconds(stats.p99(self.many))}",
                f"echo p99 {stats.milliseconds(stats.p99(self.echo_single))}",
                0.0,
                None,
            ),
            stats.Figure(
                row,
                "CPU of the server, one call",
                stats.milliseconds(self.cpu),
                f"echo {stats.milliseconds(self.echo_cpu)}",
                self.cpu / self.echo_cpu,
                None,
            ),
        ]


@dataclass
class Stand:
    """Everything that a row needs. Rows share grants: see ``granted``."""

    world: World
    clients: Clients
    echo: Target
    echo_pid: int
    disk: Disk
    effort: Effort
    granted: list[tuple[bytes, list[str]]] = field(default_factory=list)
    """For each client a session and live grants, left by the row ``grant`` for ``stop``."""

    def target(self, party: str, service: str, path: str) -> Target:
        """A method of a running service, called with the certificate of ``party``."""
        found = self.world.party(party)
        address: str = getattr(found.addresses, service)
        return Target(address, service, found.tls, path)

    def measure(
        self,
        target: Target,
        requests: Sequence[Sequence[bytes]],
        *,
        process: str = "consent",
        answered: Callable[[int, list[bytes]], None] | None = None,
    ) -> Measured:
        """Measure one method of ``process``.

        ``requests[i]`` are the ``effort.calls`` requests of client i; ``answered`` gets each
        client's answers.
        """
        supply = [iter(mine) for mine in requests]

        def run(count: int, clients: int) -> Run:
            batches = [[next(one) for _ in range(count)] for one in supply[:clients]]
            done = self.clients.run(target, batches, keep=answered is not None)
            if answered is not None:
                for client, batch in enumerate(done.batches):
                    answered(client, batch.answers)
            return done

        everybody = len(self.clients)
        run(WARM_UP, everybody)
        self.run_echo(WARM_UP, everybody)
        single: list[float] = []
        echo_single: list[float] = []
        fsync: list[float] = []
        many: list[float] = []
        rates: list[float] = []
        echo_rates: list[float] = []
        for _ in range(self.effort.rounds):
            fsync += self.disk.sample(self.effort.singles)
            echo_single += self.run_echo(self.effort.singles, 1).latencies
            single += run(self.effort.singles, 1).latencies
        server = self.world.system.supervisor.pid(process)
        cpu = echo_cpu = 0.0
        for _ in range(self.effort.rounds):
            before = cpu_seconds(self.echo_pid)
            echo_rates.append(self.run_echo(self.effort.each, everybody).rate)
            echo_cpu += cpu_seconds(self.echo_pid) - before
            before = cpu_seconds(server)
            loaded = run(self.effort.each, everybody)
            cpu += cpu_seconds(server) - before
            rates.append(loaded.rate)
            many += loaded.latencies
        calls = len(many)
        return Measured(
            single,
            stats.median(rates),
            echo_single,
            stats.median(echo_rates),
            fsync,
            many,
            cpu / calls,
            echo_cpu / calls,
        )

    def run_echo(self, count: int, clients: int) -> Run:
        return self.clients.run(self.echo, [[_echo_request()] * count] * clients)


def cpu_seconds(pid: int) -> float:
    """CPU that a process has used so far, in user and in kernel mode (proc(5), ``stat``)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _echo_request() -> bytes:
    return consent_pb2.StopGrantRequest(
        request_id=ids.new_request_id(ENTROPY),
        session=ENTROPY.bytes(32),
        grant=ids.new_id(ENTROPY),
        mode=consent_pb2.STOP_MODE_STOP,
    ).SerializeToString()


@contextmanager
def stand(root: Path, effort: Effort, *, say: Callable[[str], None]) -> Iterator[Stand]:
    """The sandbox under ``root``, running and loaded with its TEST sample.

    Raises CONFIG_INVALID where its databases would not survive a power cut: no figure is printed
    for those.
    """
    sandbox = Sandbox(root)
    system = System(sandbox, say=say)
    clients: Clients | None = None
    floor: echo.EchoProcess | None = None
    try:
        system.start()
        seed.load(sandbox, say=say)
        for service in ("consent", "referral", "notify"):
            engine = open_engine(sandbox.data(service) / f"{service}.sqlite3")
            try:
                require_durable(engine)
            finally:
                engine.dispose()
        world = World(sandbox, system, databases.of_sandbox(sandbox))
        world.connect()
        say(f"starting the echo and {CLIENTS} clients")
        floor = echo.EchoProcess(sandbox.service_tls("consent"), sandbox.logs("echo"))
        clients = Clients(CLIENTS)
        disk = Disk(sandbox.data("consent"))
        target = Target(floor.address, "consent", world.party("her").tls, echo.PATH)
        try:
            yield Stand(world, clients, target, floor.pid, disk, effort)
        finally:
            disk.close()
            world.disconnect()
    finally:
        if clients is not None:
            clients.close()
        if floor is not None:
            floor.close()
        system.stop()

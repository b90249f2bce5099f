"""``python -m bench.drain``: how long it takes until everything has arrived after an outage.

Real are the bus (a child process with TLS, every write synced), the relay and notify (processes of
their own) and both databases. Two outages are measured:

- *bus*: the bus was away while consent wrote; it comes back, and relay and notify work at once;
- *notify*: notify was away while everything else worked; it comes back to a full stream.

Each event is for an agency, so each is a delivery. Figures of one run; the machine's load is
printed beside them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from safehand_core.errors import SafehandError
from safehand_store import inbox
from safehand_store.engine import begin_read, open_engine
from sqlalchemy import Engine

from bench import floor
from bench.report import Report, command_of
from bench.where import ENGINES, SQLITE, measured_on, refused
from tests.notify.world import World

EVENTS: Final = 10_000
MANY: Final = 100_000
CHUNK: Final = 1_000
"""Events of one write transaction while the bus is away."""
AGENCIES: Final = 20
POLL_S: Final = 0.05
LIMIT_S: Final = 1_800.0
"""A run that takes longer has failed."""
_RELAY: Final = """
import sys
from pathlib import Path
from safehand_bus.link import BusTls, NatsLink
from safehand_bus.worker_main import run_worker
from safehand_store.location import locate
url, seed, tls, database, wake = sys.argv[1:]
run_worker(database=locate(database), source="consent", wake_path=Path(wake),
           link=NatsLink(url, "consent", Path(seed), BusTls.in_dir(Path(tls))))
"""


def main() -> int:
    """0 whatever the figures are; 78 where the database is not durable."""
    parser = argparse.ArgumentParser(prog="python -m bench.drain", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, help=f"default {EVENTS}")
    parser.add_argument("--many", action="store_true", help=f"{MANY} events")
    parser.add_argument("--database", choices=ENGINES, default=SQLITE, help="source and notify")
    parser.add_argument("--dir", type=Path, help="where databases and store lie; default /tmp")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    count = MANY if options.many else options.events
    report = Report(command_of("bench.drain"))
    try:
        with measured_on(options.database, options.dir, "drain") as where:
            report.named("database", f"the source and notify: {where.version()}")
            report.named("floor", floor.measured(where.folder, where.disk))
            figures = _measure(where.folder, count)
    except SafehandError as error:
        return refused(error)
    report.line()
    rows = [[f"{count:,} events", "s", "events/s"]]
    for name, seconds in figures.items():
        each = "" if name.endswith("serves") else f"{count / seconds:,.0f}"
        rows.append([name, f"{seconds:.2f}", each])
    report.table(rows)
    report.line()
    report.end()
    report.write(options.json, {"events": count, "seconds": figures})
    return 0


def _measure(folder: Path, count: int) -> dict[str, float]:
    world = World(folder)
    try:
        return _outages(world, count)
    finally:
        world.close()


def _outages(world: World, count: int) -> dict[str, float]:
    consent, server = world.consent, world.bus.server
    consent.worker.stop()
    figures: dict[str, float] = {}
    with world.process():
        pass  # its database is there
    reader = open_engine(world.store.location, read_only=True)
    try:
        server.kill()
        _write(world, count)
        with _relay(world), world.process():
            server.start()
            begun = time.perf_counter()
            _until(lambda: consent.cursor() >= count)
            figures["bus away: all published"] = time.perf_counter() - begun
            _until(lambda: _applied(reader) >= count)
            figures["bus away: all delivered"] = time.perf_counter() - begun
        with _relay(world):
            _write(world, count)
            _until(lambda: consent.cursor() >= 2 * count)
        begun = time.perf_counter()
        with world.process():
            figures["notify away: it serves"] = time.perf_counter() - begun
            _until(lambda: _applied(reader) >= 2 * count)
            figures["notify away: all delivered"] = time.perf_counter() - begun
    finally:
        reader.dispose()
    return figures


def _write(world: World, count: int) -> None:
    for start in range(0, count, CHUNK):
        agency = f"agency/bench-{start // CHUNK % AGENCIES}"
        world.consent.write(min(CHUNK, count - start), audience=agency)


def _applied(reader: Engine) -> int:
    with begin_read(reader) as db:
        return inbox.position(db, "consent")


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, "not drained in time"
        time.sleep(POLL_S)


@contextmanager
def _relay(world: World) -> Iterator[subprocess.Popen[Any]]:
    bus, consent = world.bus, world.consent
    tls = bus.tls["consent"].cert.parent
    database = consent.store.url or consent.store.location
    arguments = (bus.server.url, bus.seeds["consent"], tls, database, consent.wake_path)
    child = subprocess.Popen(
        [sys.executable, "-c", _RELAY, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield child
    finally:
        child.terminate()
        child.wait(20)


if __name__ == "__main__":
    sys.exit(main())

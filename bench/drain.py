"""``python -m bench.drain``: how long it takes until everything has arrived after an outage.

Real are the bus (a child process with TLS, every write synced), the relay and notify (processes of
their own) and both databases. Two outages are measured:

- *bus*: the bus was away while consent wrote; it comes back, and relay and notify work at once;
- *notify*: notify was away while everything else worked; it comes back to a full stream.

Each event is for an agency, so each is a delivery. Raw figures of one run; the machine's load is
printed beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from safehand_store import inbox
from safehand_store.engine import begin_read, open_engine
from sqlalchemy import Engine

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
url, seed, tls, database, wake = sys.argv[1:]
run_worker(database=Path(database), source="consent", wake_path=Path(wake),
           link=NatsLink(url, "consent", Path(seed), BusTls.in_dir(Path(tls))))
"""


def main() -> int:
    """Print both figures; with ``--json`` write them down too."""
    parser = argparse.ArgumentParser(prog="python -m bench.drain", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, help=f"default {EVENTS}")
    parser.add_argument("--many", action="store_true", help=f"{MANY} events")
    parser.add_argument("--dir", type=Path, help="where databases and store lie; default /tmp")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    count = MANY if options.many else options.events
    folder = Path(tempfile.mkdtemp(prefix="safehand-drain-", dir=options.dir))
    try:
        figures = _measure(folder, count)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"events     {count}")
    print(f"cores      {os.cpu_count()}")
    print(f"load       {os.getloadavg()[0]:.1f} (one minute, at the end)")
    for name, seconds in figures.items():
        print(f"{name:<28} {seconds:8.2f} s {count / seconds:10.0f} events/s")
    if options.json is not None:
        report = {"events": count, "cores": os.cpu_count(), "seconds": figures}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
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
    arguments = (bus.server.url, bus.seeds["consent"], tls, consent.path, consent.wake_path)
    child = subprocess.Popen(
        [sys.executable, "-c", _RELAY, *map(str, arguments)], stderr=subprocess.DEVNULL
    )
    try:
        yield child
    finally:
        child.terminate()
        child.wait(20)


if __name__ == "__main__":
    sys.exit(main())

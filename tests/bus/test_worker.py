"""The worker process: killed after a publish, told to end, and the hint for who follows by gRPC."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safehand_bus.wake import WakeListener
from safehand_bus.worker_main import Worker

from tests.bus.world import Bus, Source, eventually
from tests.harness import database

PROGRAM = """
import sys
from pathlib import Path
from safehand_bus.link import BusTls, NatsLink
from safehand_bus.worker_main import run_worker
from safehand_store.location import locate
url, seed, tls, database, wake = sys.argv[1:]
run_worker(database=locate(database), source="consent", wake_path=Path(wake),
           link=NatsLink(url, "consent", Path(seed), BusTls.in_dir(Path(tls))))
"""


@contextmanager
def process(bus: Bus, consent: Source, failpoints: str = "") -> Iterator[subprocess.Popen[bytes]]:
    tls = bus.tls["consent"].cert.parent
    where = consent.store.url or consent.store.location
    arguments = (bus.server.url, bus.seeds["consent"], tls, where, consent.wake_path)
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        env={**os.environ, "SAFEHAND_FAILPOINTS": failpoints},
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def test_a_kill_between_publish_and_cursor_loses_and_repeats_nothing(
    bus: Bus, consent: Source
) -> None:
    consent.write(5)
    with process(bus, consent, "consent.relay.published=kill@3") as child:
        assert child.wait(20) == -signal.SIGKILL
    assert bus.ids("CONSENT") == ["consent:1", "consent:2", "consent:3"]
    assert consent.cursor() == 0
    with process(bus, consent) as child:
        eventually(lambda: consent.cursor() == 5)
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0
    assert bus.ids("CONSENT") == [f"consent:{n}" for n in range(1, 6)]
    assert not consent.wake_path.exists()


def test_a_worker_waits_for_the_database_of_its_service(bus: Bus, tmp_path: Path) -> None:
    store = database.new(tmp_path / "consent.sqlite3")
    worker = Worker(
        database=store.location,
        source="consent",
        link=bus.link("consent"),
        wake_path=tmp_path / "consent.wake",
    )
    worker.start()
    source = Source(tmp_path, "consent", bus, store=store)
    source.write(2)
    eventually(lambda: source.cursor() == 2)
    worker.stop()
    source.close()
    store.drop()


def test_a_consent_event_wakes_the_one_who_follows_by_grpc(
    bus: Bus, consent: Source, tmp_path: Path
) -> None:
    referral = Source(tmp_path, "referral", bus)
    follow = tmp_path / "referral-follow.wake"
    worker = Worker(
        database=referral.store.location,
        source="referral",
        link=bus.link("referral"),
        wake_path=referral.wake_path,
        hint_wake_path=follow,
    )
    with WakeListener(follow) as listener:
        consent.worker.start()
        worker.start()
        consent.write(1)
        assert listener.wait(5.0) is True
        bus.server.kill()
        bus.server.start()
        consent.write(1)
        assert listener.wait(5.0) is True
        worker.stop()
    referral.close()

"""The worker process: what the api committed reaches the bus at once, in order, saying little."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand.events.v1 import events_pb2
from safehand_consent_service.main import main
from safehand_core.process import EXIT_CONFIG

from tests.bus.world import Bus
from tests.consent.world import World

PATIENCE_S = 30.0


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    made = Bus(tmp_path / "bus")
    yield made
    made.server.kill()


def test_the_worker_needs_to_know_the_bus(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in world.environment().items():
        monkeypatch.setenv(name, value)
    assert main(["worker"]) == EXIT_CONFIG
    assert "SAFEHAND_CONSENT_NATS_URL" in capsys.readouterr().err


def test_her_stop_reaches_the_bus_without_a_word_about_her(
    world: World, her: bytes, bus: Bus
) -> None:
    grant = world.grant(her).grant.grant
    link = bus.link("consent")
    process = subprocess.Popen(
        [sys.executable, "-m", "safehand_consent_service", "worker"],
        env={
            **os.environ,
            **world.environment(),
            "SAFEHAND_CONSENT_TLS_CERT": str(bus.tls["consent"].cert),
            "SAFEHAND_CONSENT_TLS_KEY": str(bus.tls["consent"].key),
            "SAFEHAND_CONSENT_TLS_CA": str(bus.tls["consent"].ca),
            "SAFEHAND_CONSENT_NATS_URL": link.url,
            "SAFEHAND_CONSENT_NATS_SEED_FILE": str(link.seed_file),
        },
        stderr=subprocess.DEVNULL,
    )
    try:
        world.stop_grant(her, grant)
        wanted = [f"consent:{number}" for number in range(1, 5)]
        end = time.monotonic() + PATIENCE_S
        while bus.ids("CONSENT") != wanted:
            assert time.monotonic() < end, bus.ids("CONSENT")
            time.sleep(0.05)
        messages = bus.messages("CONSENT")
    finally:
        process.terminate()
        assert process.wait(20) == 0

    assert [subject for subject, _, _ in messages] == (
        ["safehand.v1.consent.granted"] * 2 + ["safehand.v1.consent.ended"] * 2
    )
    assert [events_pb2.Event.FromString(data) for _, _, data in messages] == world.events()
    for subject, headers, _ in messages:
        seen = subject + str(headers)
        for word in (grant, "haven", "legal", "housing", "her-at-haven"):
            assert word not in seen

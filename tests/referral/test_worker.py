"""The worker process against a real bus: events leave, and consent's events wake the follower."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from safehand_bus.connection import Connection
from safehand_bus.envelope import decode
from safehand_referral_service import follow
from safehand_store import outbox
from safehand_store.engine import begin_read

from tests.bus.world import Bus
from tests.referral.world import World

WAIT_S = 30.0
"""Longest wait for a process to start and work, on a busy machine."""


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    made = Bus(tmp_path_factory.mktemp("bus"))
    yield made
    made.server.stop()


@pytest.fixture
def worker(empty: World, bus: Bus) -> Iterator[subprocess.Popen[bytes]]:
    """The real worker process of ``empty``."""
    settings = empty.settings
    values = {
        "DATA_DIR": settings.data_dir,
        "DATABASE_URL": settings.database_url,
        "KEYS_DIR": settings.keys_dir,
        "TLS_CERT": bus.tls["referral"].cert,
        "TLS_KEY": bus.tls["referral"].key,
        "TLS_CA": bus.tls["referral"].ca,
        "CONSENT_ADDRESS_FILE": empty.root / "consent.address",
        "CONSENT_VKEY_FILE": empty.root / "vkey",
        "TOKEN_KEY_FILE": empty.root / "token.hex",
        "NATS_URL": bus.server.url,
        "NATS_SEED_FILE": bus.seeds["referral"],
    }
    environ = {f"SAFEHAND_REFERRAL_{name}": str(value) for name, value in values.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "safehand_referral_service", "worker"],
        env={**os.environ, **environ},
        stderr=subprocess.DEVNULL,
    )
    yield process
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_S) == 0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@pytest.mark.usefixtures("worker")
def test_events_leave_thin_and_in_order_and_consents_events_wake_the_follower(
    empty: World, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = empty
    world.set_up()
    draft = world.create()
    world.answer(draft, "ACCEPT")

    def relayed() -> bool:
        with begin_read(world.app.context.engine) as connection:
            return outbox.cursor(connection) == outbox.head(connection)

    until(relayed)
    messages = bus.messages("REFERRAL")
    assert [subject for subject, _, _ in messages] == [
        "safehand.v1.referral.created",
        "safehand.v1.referral.accepted",
    ]
    for subject, headers, data in messages:
        event = decode("referral", subject, headers, data)
        assert event.resource == f"referrals/{draft.referral}"
        said = " ".join([subject, *headers, *headers.values()])
        for word in (draft.referral, draft.grant, "a-agency", "b-agency", "legal"):
            assert word not in said

    # From here on only the bus can wake the follower in time.
    monkeypatch.setattr(follow, "POLL_S", 600.0)
    world.app.follower.catch_up()
    time.sleep(1.5)
    world.consent.ended(draft.grant)

    async def hint(connection: Connection) -> None:
        await connection.js.publish("safehand.v1.consent.ended", b"")

    bus.do("consent", hint)
    until(lambda: world.state(draft).sharing_stopped)

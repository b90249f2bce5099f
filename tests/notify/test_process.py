"""Notify as a process: killed at its failpoints, told to end, told wrong things."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.bus.world import eventually
from tests.notify.world import World


@pytest.mark.slow
@pytest.mark.parametrize("place", ["before_commit", "committed"])
def test_a_kill_around_the_commit_loses_and_repeats_nothing(world: World, place: str) -> None:
    world.referral.write(3, audience="agency/harbor")
    eventually(lambda: world.referral.cursor() == 3)
    with world.process(f"notify.consume.{place}=kill") as killed:
        assert killed.wait(20) == -signal.SIGKILL
    with world.process() as child:
        harbor = world.follow("harbor")
        harbor.wait_for(3)
        world.referral.write(1, audience="agency/harbor")
        harbor.wait_for(4)
        assert harbor.ids() == [f"referral:{n}" for n in range(1, 5)]
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0
        harbor.wait_end()
    rows = world.store.rows("SELECT agency, cursor, sequence FROM delivery ORDER BY cursor")
    assert rows == [("harbor", n, n) for n in range(1, 5)]


def test_a_wrong_command_or_setting_ends_with_a_fix(world: World) -> None:
    environment = world.environment()
    command = [sys.executable, "-m", "safehand_notify_service"]
    usage = subprocess.run([*command, "worker"], capture_output=True, text=True, check=False)
    assert usage.returncode == 64
    assert "api|migrate" in usage.stderr
    del environment["SAFEHAND_NOTIFY_NATS_URL"]
    wrong = subprocess.run(
        [*command, "api"], env=environment, capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 78
    assert wrong.stderr.startswith("CONFIG_INVALID: ")
    assert "SAFEHAND_NOTIFY_NATS_URL" in wrong.stderr

"""``safehand listen`` goes on when notify was restarted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.test_commands import SAFEHAND
from tests.harness.world import eventually, running


@pytest.mark.slow
def test_it_survives_a_restart_of_notify(tmp_path: Path) -> None:
    with running(tmp_path / "sandbox") as world, (tmp_path / "heard").open("w") as out:
        words = ["--json", "--dir", str(world.sandbox.root), "--as", "agency-b", "listen"]
        listening = subprocess.Popen([SAFEHAND, *words], stdout=out, stderr=subprocess.DEVNULL)
        try:

            def heard() -> list[str]:
                text = (tmp_path / "heard").read_text()
                return [json.loads(line)["resource"] for line in text.splitlines()]

            first = world.send(world.grant(world.person())).referral
            eventually(lambda: f"referrals/{first}" in heard(), "the first is heard")
            world.system.supervisor.hold("notify")
            second = world.send(world.grant(world.person())).referral
            world.system.supervisor.release("notify")
            eventually(lambda: f"referrals/{second}" in heard(), "the second is heard")
            assert len(heard()) == len(set(heard()))
            assert listening.poll() is None
        finally:
            listening.terminate()
            listening.wait(10)

"""The supervisor with children that do nothing else: restart, hold, and death together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from safehand_cli.supervisor import Child, Supervisor
from safehand_core.errors import SafehandError

from tests.harness.world import eventually


def sleeper(name: str, folder: Path) -> Child:
    return Child(
        name=name,
        argv=lambda: [sys.executable, "-c", "import time; time.sleep(600)"],
        environment=dict,
        ready=lambda: True,
        log=folder / "log",
    )


def alive(pid: int) -> bool:
    """Whether the process runs: a zombie that nobody has collected yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    supervisor = Supervisor()
    try:
        first = supervisor.start(sleeper("one", tmp_path))
        supervisor.kill("one")
        eventually(lambda: supervisor.pid("one") != first, "it was started again")
        assert supervisor.starts("one") == 2
        assert alive(supervisor.pid("one"))
    finally:
        supervisor.stop()


def test_a_start_that_fails_does_not_end_the_others(tmp_path: Path) -> None:
    supervisor = Supervisor()
    try:
        other = supervisor.start(sleeper("other", tmp_path))
        child = sleeper("one", tmp_path)
        supervisor.start(child)
        child.log = tmp_path / "log" / "cannot be made, as on a full disk"
        supervisor.kill("one")
        time.sleep(1.0)
        child.log = tmp_path / "log"
        eventually(lambda: supervisor.starts("one") == 2, "it was started again")
        assert alive(other)
    finally:
        supervisor.stop()


def test_what_a_child_that_ends_at_once_said_last_can_be_shown(tmp_path: Path) -> None:
    supervisor = Supervisor()
    child = sleeper("one", tmp_path)
    child.argv = lambda: [sys.executable, "-c", "raise SystemExit('first\\nno such setting')"]
    child.ready = lambda: False
    try:
        with pytest.raises(SafehandError) as refused:
            supervisor.start(child, timeout_s=2.0)
        assert refused.value.metadata == {"process": "one"}
        assert supervisor.last_words("one") == "no such setting"
        assert supervisor.last_words("nobody") == ""
    finally:
        supervisor.stop()


def test_a_program_that_is_not_there_is_tried_again(tmp_path: Path) -> None:
    supervisor = Supervisor()
    try:
        child = sleeper("one", tmp_path)
        supervisor.start(child)
        child.argv = lambda: ["/nowhere/at/all"]
        supervisor.kill("one")
        eventually(lambda: supervisor.starts("one") >= 3, "it was tried again")
        child.argv = sleeper("one", tmp_path).argv
        before = supervisor.starts("one")
        eventually(lambda: supervisor.starts("one") > before, "it was started")
        assert alive(supervisor.pid("one"))
    finally:
        supervisor.stop()


def test_a_held_child_stays_dead_until_it_is_released(tmp_path: Path) -> None:
    supervisor = Supervisor()
    try:
        supervisor.start(sleeper("one", tmp_path))
        supervisor.hold("one")
        time.sleep(0.5)
        assert not alive(supervisor.pid("one"))
        supervisor.release("one")
        assert alive(supervisor.pid("one"))
        assert supervisor.starts("one") == 2
    finally:
        supervisor.stop()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux: prctl(2)")
def test_children_die_with_the_supervisor(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from safehand_cli.supervisor import Supervisor
        from tests.cli.test_supervisor import sleeper
        supervisor = Supervisor()
        print(supervisor.start(sleeper("one", Path(sys.argv[1]))), flush=True)
        time.sleep(600)
        """
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    eventually(lambda: not alive(child), "the child died too")

"""A container is a process like another: it ends, it is signalled, and it never stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.harness import engine
from tests.harness.containers import ContainerProcess

NOBODY = (65534, 65534)


def _shell(script: str, folder: Path) -> ContainerProcess:
    return ContainerProcess(
        "postgres", ["/bin/sh", "-c", script], folders=[folder], user=NOBODY, network="none"
    )


def _forever(folder: Path) -> str:
    """A script that waits for what never comes."""
    never = folder / "never"
    if not never.exists():
        os.mkfifo(never, 0o600)
        os.chown(never, *NOBODY)
    return f"read -r line <{never}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "given"
    made.mkdir()
    made.chmod(0o777)
    return made


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    made = docker.from_env()
    yield made
    made.close()


def _labelled(client: docker.DockerClient, owner: str) -> int:
    label = f"{engine.OWNER_LABEL}={owner}"
    return len(client.containers.list(all=True, filters={"label": label}))


def test_it_ends_with_its_code_and_leaves_nothing(
    folder: Path, client: docker.DockerClient
) -> None:
    process = _shell("exit 7", folder)
    assert process.wait(30) == 7
    assert process.poll() == 7
    process.kill()  # nothing to kill
    assert not _labelled(client, engine.labels()[engine.OWNER_LABEL])


def test_signals_reach_it_from_both_sides(folder: Path) -> None:
    for by_number in (False, True):
        process = _shell(_forever(folder), folder)
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0)
        if by_number:
            os.kill(process.pid, signal.SIGKILL)
        else:
            process.kill()
        assert process.wait(30) == -signal.SIGKILL


def test_it_may_write_only_where_it_was_let(folder: Path) -> None:
    script = f"""
        echo yes >{folder}/written || exit 1
        for path in /tmp/x /x /etc/x /var/lib/postgresql/x; do
            (echo no >$path) 2>/dev/null && exit 2
        done
        exit 0
    """
    process = _shell(script, folder)
    status = Path(f"/proc/{process.pid}/status")
    text = status.read_text() if status.exists() else ""
    assert process.wait(30) == 0
    assert (folder / "written").read_text() == "yes\n"
    assert (folder / "written").stat().st_uid == NOBODY[0]
    for line in text.splitlines():
        if line.startswith(("CapEff:", "CapBnd:")):
            assert int(line.split()[1], 16) == 0


def test_what_a_killed_session_left_is_removed_by_the_next(
    folder: Path, client: docker.DockerClient
) -> None:
    script = _forever(folder)
    code = f"""
import os, signal
from pathlib import Path
from tests.harness import engine
from tests.harness.containers import ContainerProcess
ContainerProcess("postgres", ["/bin/sh", "-c", {script!r}],
                 folders=[Path({str(folder)!r})], user=(65534, 65534), network="none")
print(engine.labels()[engine.OWNER_LABEL], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    died = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    owner = died.stdout.strip()
    assert _labelled(client, owner) == 1
    mine = _shell(script, folder)
    assert engine.remove_containers(of_dead_owners=True) >= 1
    assert _labelled(client, owner) == 0
    assert mine.poll() is None  # the living keep theirs
    mine.kill()
    mine.wait(30)

"""When containers are used, and whose containers are removed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness import engine
from tests.harness.engine import Choice, NoEngineError

HERE = {"OSType": "linux", "KernelVersion": os.uname().release, "SecurityOptions": ["name=seccomp"]}


def _choose() -> Choice:
    return engine.choice.__wrapped__()


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[str]:
    """A socket on which nobody ever answers."""
    path = tmp_path / "docker.sock"
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(path))
        listening.listen()
        yield f"unix://{path}"


@pytest.mark.parametrize(
    "host", ["unix:///nowhere/docker.sock", "tcp://192.0.2.1:2375", "unix:///dev/null"]
)
def test_without_an_engine_servers_are_local(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    monkeypatch.setenv(engine.VARIABLE, "auto")
    chosen = _choose()
    assert not chosen.docker
    assert chosen.why
    monkeypatch.setenv(engine.VARIABLE, "docker")
    with pytest.raises(NoEngineError, match=chosen.why):
        _choose()


def test_an_engine_that_does_not_answer_is_none(
    monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", silent)
    monkeypatch.setenv(engine.VARIABLE, "auto")
    assert _choose() == Choice(docker=False, why="no Docker engine answers")


def test_local_is_not_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(engine.VARIABLE, "local")
    assert not _choose().docker
    monkeypatch.setenv(engine.VARIABLE, "podman")
    with pytest.raises(NoEngineError, match="auto, docker or local"):
        _choose()


def test_an_engine_must_be_this_machine_with_its_users() -> None:
    assert engine.unusable(HERE) == ""
    for other in (
        {"OSType": "windows"},
        {"KernelVersion": "6.6.0-linuxkit"},
        {"SecurityOptions": ["name=seccomp", "name=rootless"]},
        {"SecurityOptions": ["name=userns"]},
    ):
        assert engine.unusable(HERE | other), other


def test_an_owner_is_gone_when_its_process_ended() -> None:
    here = engine.labels()[engine.OWNER_LABEL]
    assert not engine.is_gone(here)
    code = "from tests.harness import engine; print(engine.labels()[engine.OWNER_LABEL])"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert ended.split()[0] == here.split()[0]
    assert engine.is_gone(ended)
    place, pid, started = here.split()
    host, _, boot = place.partition("/")
    assert engine.is_gone(f"{place} {pid} {int(started) + 1}")  # the number was given again
    assert engine.is_gone(f"{host}/{'0' * len(boot)} {pid} {started}")  # before a reboot
    assert not engine.is_gone(f"elsewhere:1/{boot} 1 1")  # not ours to judge


def test_only_a_clusters_folder_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ours, inside, other = (
        tmp_path / f"{engine.FOLDER_PREFIX}one",
        tmp_path / "deep" / f"{engine.FOLDER_PREFIX}two",
        tmp_path / "three",
    )
    for folder in (ours, inside, other):
        folder.mkdir(parents=True)
        engine.remove_folder(str(folder))
    engine.remove_folder("")
    assert not ours.exists()
    assert inside.exists()
    assert other.exists()

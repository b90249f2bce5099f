"""Which Docker engine serves the tests, if any; and an end to containers that nobody owns.

``SAFEHAND_TEST_SERVERS`` is ``auto`` (containers where a usable engine answers, else local
processes), ``docker`` (an error where none does) or ``local``.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

VARIABLE: Final = "SAFEHAND_TEST_SERVERS"
AUTO: Final = "auto"
DOCKER: Final = "docker"
LOCAL: Final = "local"
ANSWER_S: Final = 2
"""How long an engine may take to say what it is; the question is asked once per session."""
DEFAULT_HOST: Final = "unix:///var/run/docker.sock"
OWNER_LABEL: Final = "safehand.tests.owner"
"""Which process made a container."""
FOLDER_LABEL: Final = "safehand.tests.folder"
"""The folder that belongs to a container and goes with it."""
FOLDER_PREFIX: Final = "safehand-pg-"
"""Of every folder that a cluster makes for itself."""
BUILDER: Final = Path(__file__).resolve().parents[2] / "deploy" / "images" / "build.py"
_SHARED_NAMESPACES: Final = ("name=rootless", "name=userns")
"""Security options of engines whose containers have other user numbers than their files."""


class NoEngineError(Exception):
    """Containers were demanded, and cannot be had; the text says why."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Whether servers run in containers, and why."""

    docker: bool
    why: str


@functools.cache
def choice() -> Choice:
    """Decided once per process. Raises NoEngineError where containers are demanded in vain."""
    asked = os.environ.get(VARIABLE, AUTO)
    if asked not in (AUTO, DOCKER, LOCAL):
        raise NoEngineError(f"{VARIABLE} is auto, docker or local, not {asked!r}")
    if asked == LOCAL:
        return Choice(docker=False, why="asked for")
    objection = _objection()
    if objection and asked == DOCKER:
        raise NoEngineError(f"{VARIABLE}=docker, but {objection}")
    if objection:
        return Choice(docker=False, why=objection)
    return Choice(docker=True, why="asked for" if asked == DOCKER else "an engine answers")


@functools.cache
def image(name: str) -> str:
    """The tag of the image ``name``, built now where it is missing or out of date."""
    _prepare()
    done = subprocess.run(
        [sys.executable, BUILDER, name], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NoEngineError(f"the image {name} cannot be built: {done.stderr[-2000:]}")
    return done.stdout.rpartition(": ")[0]


def labels(folder: Path | None = None) -> dict[str, str]:
    """What a container of this process carries, so that it never outlives it for long."""
    carried = {OWNER_LABEL: _owner()}
    if folder:
        carried[FOLDER_LABEL] = str(folder)
    return carried


def remove_folder(path: str) -> None:
    """Remove a cluster's folder; any other path is left alone."""
    folder = Path(path)
    if folder.parent == Path(tempfile.gettempdir()) and folder.name.startswith(FOLDER_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


# --- the engine ----------------------------------------------------------------------------


def _objection() -> str:
    """Why no engine can be used; empty where one can."""
    host = os.environ.get("DOCKER_HOST", DEFAULT_HOST)
    if not host.startswith("unix://"):
        return "the engine is not reached by a local socket"
    try:
        if not stat.S_ISSOCK(Path(host.removeprefix("unix://")).stat().st_mode):
            return "no Docker engine answers"
    except OSError:
        return "no Docker engine answers"
    import docker  # costs a quarter of a second: only where there is a socket
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=ANSWER_S)
    except DockerException:
        return "no Docker engine answers"
    try:
        return unusable(client.info())
    except (DockerException, OSError):
        return "no Docker engine answers"
    finally:
        client.close()


def unusable(info: Mapping[str, Any]) -> str:
    """Why an engine that says ``info`` of itself cannot serve; empty where it can.

    Containers share our network and our files: it must be this machine, with the same users.
    """
    if info.get("OSType") != "linux" or info.get("KernelVersion") != os.uname().release:
        return "the engine runs on another machine"
    options = info.get("SecurityOptions") or ()
    if any(option.startswith(_SHARED_NAMESPACES) for option in options):
        return "the engine's containers have other users than this machine"
    return ""


@functools.cache
def _prepare() -> None:
    """Before the first container: nothing of earlier sessions, and nothing left at the end."""
    # No image of testcontainers' own reaper can be had without a registry; the labels replace it.
    from testcontainers.core.config import testcontainers_config

    testcontainers_config.ryuk_disabled = True
    remove_containers(of_dead_owners=True)
    atexit.register(remove_containers, of_dead_owners=False)


def remove_containers(*, of_dead_owners: bool) -> int:
    """Remove this process's containers, or those whose process is gone; says how many."""
    import docker
    from docker.errors import APIError

    client = docker.from_env()
    removed = 0
    try:
        found = client.containers.list(
            all=True, filters={"label": OWNER_LABEL}, ignore_removed=True
        )
        for container in found:
            owner = container.labels[OWNER_LABEL]
            if is_gone(owner) if of_dead_owners else owner == _owner():
                try:
                    container.remove(force=True, v=True)
                except APIError as error:  # another session removes it at the same moment
                    if error.status_code not in (404, 409):
                        raise
                remove_folder(container.labels.get(FOLDER_LABEL, ""))
                removed += 1
    finally:
        client.close()
    return removed


# --- owners --------------------------------------------------------------------------------


def _owner() -> str:
    """This process, such that no later one is taken for it."""
    return f"{_place()} {os.getpid()} {_started(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Whether the process that ``_owner`` named there has ended.

    One of another place (another machine, or container, that uses the same engine) is not ours
    to judge.
    """
    place, _, rest = owner.partition(" ")
    if place.partition("/")[0] != _place().partition("/")[0]:
        return False
    pid, _, started = rest.partition(" ")
    return place != _place() or _started(int(pid)) != started


def _place() -> str:
    """Host and process namespace, then the boot: of another boot nobody lives."""
    namespace = Path("/proc/self/ns/pid").stat().st_ino
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{socket.gethostname()}:{namespace}/{boot}"


def _started(pid: int) -> str:
    """When a process started, in ticks since the boot; empty where none has this number."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]  # proc(5): field 22, after the name

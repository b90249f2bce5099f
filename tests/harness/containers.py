"""The servers of the tests in containers, on this machine's network and with its files.

The same programs as locally, from the same wheels, with the same folders and arguments: a container
is only another way to begin a process. It has no capability and cannot gain any, and it can write
to nothing but the folders that it is given.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.harness import engine, postgres
from tests.harness.nats import Nats

NATS_READY_S: Final = 15.0
"""Seconds; a container begins in half a second on an idle machine."""
POLL_S: Final = 0.02
_SIGNALLED: Final = 128
"""A process ended by signal n has this exit code plus n, as a shell says it."""
_TO_LOG: Final = 'log=$1; shift; exec "$@" >>"$log" 2>&1'
_SOCKET_FOLDER: Final = re.compile(r"host=(/[^\s&]+)")


class ContainerProcess:
    """A container, handled as ``subprocess.Popen`` handles the process in it.

    Args:
        image: its name under ``deploy/images``.
        argv: replaces the image's own entry point.
        folders: what it may write, at the same paths as here.
        readable: what it may read besides.
        user: whose files it makes: user and group number.
        network: ``host`` for this machine's network, ``none`` for no network.
        mounts: further paths here that it may read, and where it finds them.
        belonging: a folder that a later session removes with it, when this one was killed.
    """

    def __init__(
        self,
        image: str,
        argv: Sequence[str],
        *,
        folders: Iterable[Path],
        readable: Iterable[Path] = (),
        user: tuple[int, int],
        network: str,
        mounts: Mapping[Path, str] | None = None,
        belonging: Path | None = None,
    ) -> None:
        from testcontainers.core.container import DockerContainer

        tag = engine.image(image)  # first: it prepares the configuration
        self.returncode: int | None = None
        self._made = DockerContainer(tag)
        for path in readable:
            self._made.with_volume_mapping(str(path), str(path), "ro")
        for path in folders:
            self._made.with_volume_mapping(str(path), str(path), "rw")
        for path, target in (mounts or {}).items():
            self._made.with_volume_mapping(str(path), target, "ro")
        self._made.with_kwargs(
            entrypoint=list(argv),
            network_mode=network,
            user=f"{user[0]}:{user[1]}",
            labels=engine.labels(belonging),
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
        )
        try:
            self._made.start()
            self._reload()
        except BaseException:
            self._forget()
            raise
        self.pid = int(self._state["Pid"])
        """Its number on this machine."""

    def poll(self) -> int | None:
        """The exit code, minus the signal's number after a signal; None while it runs."""
        if self.returncode is None:
            self._reload()
            if self._state["Status"] == "exited":
                code = int(self._state["ExitCode"])
                self.returncode = _SIGNALLED - code if code > _SIGNALLED else code
                self._forget()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; raises TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("container", timeout or 0.0)
            time.sleep(POLL_S)
        return code

    def send_signal(self, sent: int) -> None:
        """To its first process; nothing where it has ended."""
        from docker.errors import APIError

        if self.poll() is None:
            with suppress(APIError):  # it ended meanwhile
                self._made.get_wrapped_container().kill(signal=sent)

    def kill(self) -> None:
        """SIGKILL everything in it."""
        self.send_signal(signal.SIGKILL)

    def _reload(self) -> None:
        from docker.errors import NotFound

        self._state: Mapping[str, Any]
        try:
            self._made.reload()
        except NotFound:  # removed from outside, and killed with that
            self._state = {"Status": "exited", "ExitCode": _SIGNALLED + signal.SIGKILL}
        else:
            self._state = self._made.get_wrapped_container().attrs["State"]

    def _forget(self) -> None:
        from docker.errors import NotFound

        with suppress(NotFound):
            self._made.stop()
        self._made.get_docker_client().client.close()


class DockerNats(Nats):
    """The embedded server's directory and configuration, with its program in a container."""

    def start(self) -> None:
        if self.alive():
            return
        arguments = self.argv()[1:]
        started = ContainerProcess(
            "nats",
            ["/nats-server", *arguments],
            folders=[self.directory],
            readable=self._named_elsewhere(),
            user=(os.getuid(), os.getgid()),
            network="host",
        )
        self._process = started  # type: ignore[assignment]  # as a process, by its methods
        try:
            self._await_ready()
            self.provision()
        except BaseException:
            self.kill()
            raise

    def _await_ready(self) -> None:
        deadline = time.monotonic() + NATS_READY_S
        while not self.is_ready():
            if not self.alive():
                raise SafehandError(Reason.UNAVAILABLE, "nats-server ended; its log has the cause")
            if time.monotonic() > deadline:
                raise SafehandError(Reason.UNAVAILABLE, "nats-server is not ready in time")
            time.sleep(POLL_S)

    def _named_elsewhere(self) -> set[Path]:
        """The folders of files that its configuration names outside its own directory."""
        named = _paths(json.loads((self.directory / "nats.conf").read_text()))
        files = {path for path in named if path.is_file()}
        return {path.parent for path in files if not path.is_relative_to(self.directory)}


class DockerCluster(postgres.Cluster):
    """A cluster in its own folder, with every program of PostgreSQL in a container."""

    def _begin(self, *arguments: str) -> None:
        shell = ["/bin/sh", "-c", _TO_LOG, "sh", str(self.log)]
        process = self._contained([*shell, "postgres", *arguments], arguments)
        self._process = process  # type: ignore[assignment]  # as a process, by its methods

    def _run(self, program: str, *arguments: str) -> None:
        said = self.folder / "tool.log"
        shell = ["/bin/sh", "-c", _TO_LOG, "sh", str(said)]
        code = self._contained([*shell, program, *arguments], arguments).wait(postgres.START_S)
        assert code == 0, said.read_text()[-2000:]

    def _contained(self, argv: Sequence[str], arguments: Sequence[str]) -> ContainerProcess:
        owner = self.folder.stat()
        user = owner.st_uid, owner.st_gid
        names = self.folder / "passwd"
        names.write_text(f"postgres:x:{user[0]}:{user[1]}::/:\n")  # initdb asks for its name
        names.chmod(0o644)
        # A standby reaches its source through the source's socket.
        sources = {Path(found) for text in arguments for found in _SOCKET_FOLDER.findall(text)}
        return ContainerProcess(
            "postgres",
            argv,
            folders={self.folder, *sources},
            user=user,
            network="none",
            mounts={names: "/etc/passwd"},
            belonging=self.folder,
        )


def _paths(value: object) -> Iterator[Path]:
    """Every absolute path in a configuration."""
    if isinstance(value, str) and value.startswith("/"):
        yield Path(value)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _paths(part)
    elif isinstance(value, list):
        for part in value:
            yield from _paths(part)

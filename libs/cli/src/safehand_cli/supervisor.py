"""One process that starts the others, restarts one that dies, and takes all with it when it goes.

Children are started and watched by one thread, because Linux ties "die with the parent" to the
thread that started the child (prctl(2), PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

START_S = 90.0
"""Seconds until a child must be ready: a cold start imports gRPC from a slow disk."""
STOP_S = 15.0
"""Seconds for a drain on SIGTERM before SIGKILL."""
RESTART_S = 0.2
"""Seconds before the first restart of a child that died; doubled each time up to RESTART_MAX_S."""
RESTART_MAX_S = 5.0
STABLE_S = 30.0
"""A child that lived this long is restarted without back-off."""
POLL_S = 0.05
_LAUNCHER: Final = """
import ctypes, os, signal, sys
parent, command = int(sys.argv[1]), sys.argv[2:]
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == parent:
    os.execvp(command[0], command)
"""
"""Becomes the child, having asked to die with its parent (1 is PR_SET_PDEATHSIG). A program of
its own, because ``preexec_fn`` would fork this process with its gRPC threads in it, and such a
fork aborts now and then."""


@dataclass
class Child:
    """How to start one process.

    ``argv`` and ``environment`` are asked for again at every start, so that a restart can keep
    the port that the first start was given. ``ready`` says whether the process serves; after
    that, and after every restart, ``on_ready`` runs once, again until it does not raise.
    """

    name: str
    argv: Callable[[], Sequence[str]]
    environment: Callable[[], Mapping[str, str]]
    ready: Callable[[], bool]
    log: Path
    restart: bool = True
    on_ready: Callable[[], None] | None = None
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    started_at: float = 0.0
    backoff: float = RESTART_S
    stopping: bool = field(default=False)
    settled: bool = field(default=False)


class Supervisor:
    """Starts children in order and keeps them running."""

    def __init__(self) -> None:
        self._children: dict[str, Child] = {}
        self._requests: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def start(self, child: Child, *, timeout_s: float = START_S) -> int:
        """Start ``child`` and wait until it is ready; its pid.

        Raises UNAVAILABLE, which names the process, when it is not ready in time.
        """
        self.begin(child)
        self.wait_ready(child.name, timeout_s=timeout_s)
        return self.pid(child.name)

    def begin(self, child: Child) -> None:
        """Start ``child`` and do not wait: whoever needs it asks ``wait_ready``."""
        self._children[child.name] = child
        self._ask(lambda: self._spawn(child))

    def wait_ready(self, name: str, *, timeout_s: float = START_S) -> None:
        child = self._children[name]
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            process = child.process
            running = process is not None and process.poll() is None
            if running and child.ready() and (child.on_ready is None or child.settled):
                return
            if process is not None and process.poll() is not None and not child.restart:
                break
            time.sleep(POLL_S)
        raise SafehandError(
            Reason.UNAVAILABLE, "a process did not start", metadata={"process": name}
        )

    def last_words(self, name: str) -> str:
        """The last line of a child's log: what a process that ends at its start says last."""
        try:
            lines = self._children[name].log.read_text("utf-8", "replace").splitlines()
        except (KeyError, OSError):
            return ""
        return lines[-1] if lines else ""

    def pid(self, name: str) -> int:
        process = self._children[name].process
        return process.pid if process is not None else 0

    def make_way(self, name: str, niceness: int) -> None:
        """Let every thread of a child leave the CPU to those that are not as nice (nice(2))."""
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PGRP, self.pid(name), niceness)

    def names(self) -> list[str]:
        return list(self._children)

    def child(self, name: str) -> Child:
        return self._children[name]

    def starts(self, name: str) -> int:
        """How often it was started."""
        return self._children[name].starts

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal; a dead child is started again unless ``hold`` was called."""
        process = self._children[name].process
        if process is not None and process.poll() is None:
            process.send_signal(number)

    def hold(self, name: str) -> None:
        """Kill a child and leave it dead until ``release``."""
        child = self._children[name]
        child.restart = False
        self.kill(name)
        if child.process is not None:
            child.process.wait(STOP_S)

    def release(self, name: str, *, timeout_s: float = START_S) -> None:
        """Start a held child again and wait until it is ready."""
        child = self._children[name]

        def start() -> None:
            child.restart = True
            self._spawn(child)

        self._ask(start)
        self.wait_ready(name, timeout_s=timeout_s)

    def stop(self) -> None:
        """Stop all children, the last started first: SIGTERM, a drain, then SIGKILL."""
        for child in reversed(list(self._children.values())):
            child.stopping = True
            child.restart = False
            process = child.process
            if process is None or process.poll() is not None:
                continue
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_S)
        self._requests.put(None)
        self._thread.join(STOP_S)

    def _ask(self, action: Callable[[], None]) -> None:
        done = threading.Event()
        failure: list[BaseException] = []

        def run() -> None:
            try:
                action()
            except BaseException as error:
                failure.append(error)
            finally:
                done.set()

        self._requests.put(run)
        done.wait()
        if failure:
            raise failure[0]

    def _run(self) -> None:
        while True:
            try:
                request = self._requests.get(timeout=POLL_S)
            except queue.Empty:
                self._revive()
                self._settle()
                continue
            if request is None:
                return
            request()

    def _revive(self) -> None:
        now = time.monotonic()
        for child in list(self._children.values()):
            process = child.process
            if child.stopping or not child.restart or process is None or process.poll() is None:
                continue
            if now - child.started_at > STABLE_S:
                child.backoff = RESTART_S
            if now - child.started_at < child.backoff:
                continue
            child.backoff = min(child.backoff * 2, RESTART_MAX_S)
            # A full disk must not end this thread: all children would die with it.
            with contextlib.suppress(OSError):
                self._spawn(child)

    def _settle(self) -> None:
        for child in list(self._children.values()):
            process = child.process
            if child.on_ready is None or child.settled or process is None:
                continue
            if child.stopping or process.poll() is not None or not child.ready():
                continue
            # Whatever went wrong, the process is asked again at the next look.
            with contextlib.suppress(Exception):
                child.on_ready()
                child.settled = True

    def _spawn(self, child: Child) -> None:
        child.settled = False
        child.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("SAFEHAND_")
        }
        environment.update(child.environment())
        with child.log.open("ab") as log:
            child.process = subprocess.Popen(
                [sys.executable, "-ISc", _LAUNCHER, str(os.getpid()), *child.argv()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        child.starts += 1
        child.started_at = time.monotonic()

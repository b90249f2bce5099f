"""Processes of one service wake each other by an empty datagram on a Unix socket.

A wake-up is a hint: whoever sleeps also polls, so a lost one costs a second and nothing else.
Therefore waking never waits and never fails. ``unix(7)``: a socket path has at most 108 bytes on
Linux, so a long one is named through a descriptor of its directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

MAX_PATH_BYTES: Final = 100
"""Longest path used as it is: below ``sun_path`` of Linux (108) and of BSD and macOS (104)."""
_DESCRIPTORS: Final = Path("/proc/self/fd")
_HINT: Final = b"w"
_DRAIN_AT_MOST: Final = 1024
"""Datagrams read at one wake-up; a flood of hints must not keep the reader busy."""


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name of ``path`` that fits into a socket address, good inside the block."""
    if len(os.fsencode(path)) <= MAX_PATH_BYTES:
        yield str(path)
        return
    short_name = len(os.fsencode(path.name)) + len(os.fsencode(_DESCRIPTORS)) < MAX_PATH_BYTES - 12
    if not _DESCRIPTORS.is_dir() or not short_name:
        raise SafehandError(Reason.CONFIG_INVALID, "the path of the wake-up socket is too long")
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"{_DESCRIPTORS}/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


class Waker:
    """Wakes whoever listens on ``path``. Safe to share between threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def wake(self) -> None:
        """Send a hint. Never waits, never raises: nobody may be listening, or too slowly."""
        with contextlib.suppress(OSError, SafehandError), _short(self._path) as name:
            self._socket.sendto(_HINT, name)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()


class WakeListener:
    """Listens on ``path``; one listener at a time, the newest one wins.

    Use ``wait`` in a thread, or ``attach`` in asyncio, not both.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.setblocking(False)
            path.unlink(missing_ok=True)
            with _short(path) as name:
                self._socket.bind(name)
            path.chmod(0o600)
            self._inode = path.stat().st_ino
        except (OSError, SafehandError):
            self._socket.close()
            raise

    def __enter__(self) -> WakeListener:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def wait(self, timeout_s: float) -> bool:
        """Block until woken (True) or until ``timeout_s`` seconds are over (False)."""
        readable, _, _ = select.select([self._socket], [], [], timeout_s)
        if readable:
            self._drain()
        return bool(readable)

    def attach(self, woken: asyncio.Event) -> None:
        """Set ``woken`` at every hint, in the running loop; the waiter clears it."""

        def read() -> None:
            self._drain()
            woken.set()

        asyncio.get_running_loop().add_reader(self._socket.fileno(), read)

    def detach(self) -> None:
        """Undo ``attach``."""
        asyncio.get_running_loop().remove_reader(self._socket.fileno())

    def close(self) -> None:
        """Stop listening, and remove the socket where it is still ours."""
        self._socket.close()
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(_DRAIN_AT_MOST):
                self._socket.recv(16)

"""A way to a server that goes dark: connections stay, and nothing comes through any more.

As a proxy, a load balancer or a firewall does it whose other side is gone: every byte that is sent
is acknowledged, so that no timeout of the transport notices.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Final

CHUNK: Final = 65536


class Dark:
    """Listens on a free port of the loopback interface, before a server's Unix socket ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._dark = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]

    def begin(self) -> None:
        """From now on nothing passes, in either direction, on old connections and new ones."""
        self._dark.set()

    def __enter__(self) -> Dark:
        threading.Thread(target=self._accept, name="dark", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                self._sockets += [near, far]
                far.connect(str(self._path))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                if not self._dark.is_set():
                    target.sendall(data)
            if not self._dark.is_set():
                target.shutdown(socket.SHUT_WR)

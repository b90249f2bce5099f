"""The page that Prometheus reads: one address, one path, GET only.

On this machine's own address it is plain HTTP. Anywhere else it is mutual TLS, and only those
whom ``allowed`` knows may read it: numbers about stops are nobody else's.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from safehand_core import logs
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_telemetry import metrics

PATH: Final = "/metrics"
TIMEOUT_S: Final = 5.0
"""Seconds for one request, handshake included: a silent reader must not hold a thread."""
MOST: Final = 8
"""Readers at one time; further ones are hung up on."""
POLL_S: Final = 0.25
"""Seconds until the end is noticed."""
LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
"""Addresses that need no TLS: only this machine reaches them."""

Peer = Mapping[str, Any]
"""A certificate as ``ssl.SSLSocket.getpeercert`` describes it."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = TIMEOUT_S
    protocol_version = "HTTP/1.0"  # one request, one connection

    def setup(self) -> None:
        self.request.settimeout(TIMEOUT_S)
        if isinstance(self.request, ssl.SSLSocket):
            # Here and not in the accepting thread, which others wait for.
            self.request.do_handshake()
        super().setup()

    def do_GET(self) -> None:
        if not self._admitted():
            self._answer(HTTPStatus.FORBIDDEN, b"")
        elif self.path != PATH:
            self._answer(HTTPStatus.NOT_FOUND, b"")
        else:
            self._answer(HTTPStatus.OK, generate_latest(metrics.REGISTRY))

    def _admitted(self) -> bool:
        if not isinstance(self.connection, ssl.SSLSocket):
            return True
        return self.server.allowed(self.connection.getpeercert() or {})

    def _answer(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code: int, *_: object, **__: object) -> None:
        # The library's page repeats what the caller sent.
        with contextlib.suppress(OSError):
            self._answer(HTTPStatus(code), b"")

    def log_message(self, *_: object) -> None:
        """Nothing: who reads and how often is in the page itself."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = False

    def __init__(
        self,
        address: tuple[str, int],
        context: Callable[[], ssl.SSLContext] | None,
        allowed: Callable[[Peer], bool],
    ) -> None:
        self.allowed = allowed
        self._context = context
        self._free = threading.BoundedSemaphore(MOST)
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # The library's own asks the name service who this is.
        TCPServer.server_bind(self)

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self._context is None:
            return connection, address
        # Asked for each connection, so that renewed certificates need no restart.
        context = self._context()
        return (
            context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False),
            address,
        )

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that hangs up, or has no certificate, is no trouble of ours."""


class Page:
    """The page while it is served."""

    def __init__(self, server: _Server) -> None:
        self.port: int = server.server_address[1]
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever, name="metrics", daemon=True, args=(POLL_S,)
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(
    listen: str, context: Callable[[], ssl.SSLContext], allowed: Callable[[Peer], bool]
) -> Page:
    """Serve the page at ``listen`` (``host:port``, port 0 picks one).

    Args:
        context: asked for off this machine: mutual TLS, client certificate required. Raises
            OSError where the files are not as they must be.
        allowed: whether the holder of a verified certificate may read.

    Raises:
        SafehandError: CONFIG_INVALID for an address that is none, or taken.
    """
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit():
        raise SafehandError(Reason.CONFIG_INVALID, "the metrics address is not host:port")
    secure = None if host in LOOPBACK else context
    try:
        if secure is not None:
            secure()
        server = _Server((host, int(port)), secure, allowed)
    except (OSError, OverflowError):
        raise SafehandError(Reason.CONFIG_INVALID, "the metrics page cannot be served") from None
    page = Page(server)
    logs.get().info("metrics.served", port=page.port)
    return page

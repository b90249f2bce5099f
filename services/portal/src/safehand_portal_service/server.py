"""The web server: uvicorn without its words, its signals and its headers.

It tells nobody what it is, writes no line for a request, and takes no header section larger than
``HEAD_MAX``. With a certificate it follows the files when they are replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Generator
from typing import Final

import uvicorn
from safehand_core import logs
from safehand_core.errors import SafehandError
from safehand_core.keystore import read_mounted
from safehand_core.reasons import Reason
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from safehand_portal_service.guard import HEADERS
from safehand_portal_service.settings import PortalSettings

GRACE_S: Final = 5
"""Seconds that requests in flight get at the end."""
KEEP_ALIVE_S: Final = 15
"""Seconds that a silent connection is kept: from one page to the next press."""
HEAD_MAX: Final = 16 * 1024
"""Bytes of a request line and headers; browsers send one or two thousand."""
RELOAD_EVERY_S: Final = 30.0
"""How often replaced certificate files are looked for, in seconds."""
BACKLOG: Final = 512
HEAD_S: Final = 10.0
"""Seconds for the head of a request: from when its connection was made, or from its first byte on
one that is kept. Browsers send it at once; some open a connection ahead, and open another one."""
BODY_S: Final = 10.0
"""Seconds for a form to be whole once its head is: a few hundred bytes, on the slowest line too."""
CONNECTIONS_MAX: Final = 800
"""Connections at a time. Together with what the portal needs itself they fit into the 1,024 open
files that a process usually may have; beyond that nothing could be accepted or read at all."""


class _TooLarge(Exception):
    """The head goes on behind its bound; the parser turns it into a request that is not valid."""


class _Protocol(HttpToolsProtocol):
    """HTTP/1.1, with a bound on what comes before the body, and on how long a request takes to
    come. Who sends nothing, or half of something, does not keep a connection."""

    _unparsed = 0
    _parsed = 0
    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            self.transport.abort()
            return
        self._within(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._come()
        super().connection_lost(exc)

    def _within(self, seconds: float) -> None:
        self._come()
        self._due = self.loop.call_later(seconds, self.transport.abort)

    def _come(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def data_received(self, data: bytes) -> None:
        if self._due is None:
            # The first byte behind a whole request, whatever it is.
            self._within(HEAD_S)
        # What one header holds is told when it is whole; until then, what came is counted.
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > 2 * HEAD_MAX and not self.transport.is_closing():
            self.send_400_response("")

    def on_message_begin(self) -> None:
        self._parsed = 0
        if self._due is None:
            self._within(HEAD_S)  # came in one piece with the end of the one before
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._bounded(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._bounded(name, value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        # The body has a bound of its own (``forms``); the next request's head begins behind it.
        self._unparsed = -(1 << 62)
        self._within(BODY_S)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._unparsed = 0
        self._come()
        super().on_message_complete()

    def _bounded(self, *parts: bytes) -> None:
        self._parsed += sum(map(len, parts))
        if self._parsed > HEAD_MAX:
            raise _TooLarge

    def send_400_response(self, msg: str) -> None:
        """As uvicorn's, with our headers and without its words."""
        lines = [b"HTTP/1.1 400 Bad Request", b"connection: close", b"content-length: 0"]
        lines += [f"{name}: {value}".encode() for name, value in HEADERS.items()]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n")
        self.transport.close()


class _Server(uvicorn.Server):
    """Signals belong to the process's own main."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class WebServer:
    """A bound socket and what serves it; ``run`` in an event loop, ``stop`` from anywhere."""

    def __init__(self, app: ASGIApp, settings: PortalSettings) -> None:
        self._settings = settings
        self._socket = _listen(*settings.listen_address)
        self.port = int(self._socket.getsockname()[1])
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            loop="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
            ssl_context_factory=self._context if settings.web_cert_file else None,
        )
        self._server = _Server(config)
        self._tls: ssl.SSLContext | None = None
        try:
            config.load()
        except BaseException:
            self._socket.close()
            raise

    def stop(self) -> None:
        """Let requests in flight end, then end."""
        self._server.should_exit = True

    async def run(self, serving: Callable[[], None]) -> None:
        """Serve; ``serving`` is called once requests are answered."""

        async def announce() -> None:
            while not self._server.started:
                await asyncio.sleep(0.01)
            serving()
            while self._tls is not None:
                await asyncio.sleep(RELOAD_EVERY_S)
                self._reload()

        telling = asyncio.create_task(announce())
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            telling.cancel()
            self._socket.close()

    def _context(self, *_: object) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load(made)
        self._tls = made
        return made

    def _load(self, context: ssl.SSLContext) -> None:
        cert, key = self._settings.web_cert_file, self._settings.web_key_file
        if cert is None or key is None:
            raise SafehandError(Reason.CONFIG_INVALID, "the web certificate is missing")
        try:
            read_mounted(key)  # refuses a key that everyone may read
            context.load_cert_chain(cert, key)
        except (OSError, ValueError):  # ssl.SSLError is an OSError
            raise SafehandError(
                Reason.CONFIG_INVALID, "the web certificate or its key cannot be read"
            ) from None

    def _reload(self) -> None:
        """New connections get the files as they are; the last good pair stays otherwise."""
        if self._tls is None:
            return
        try:
            self._load(self._tls)
        except SafehandError:
            logs.get().warning("tls.not_reloaded")


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        made = socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG)
        # Its connections inherit it. Without it each page waits 40 ms for an acknowledgement,
        # because headers and body are two writes.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made
    except OSError:
        raise SafehandError(Reason.CONFIG_INVALID, "the address cannot be listened on") from None

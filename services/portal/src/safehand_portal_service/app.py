"""The portal in one process: the only place where its parts are put together."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from collections.abc import Awaitable, Callable
from typing import Final

from safehand_core.clock import Clock
from safehand_core.entropy import Entropy
from safehand_core.errors import SafehandError
from safehand_core.keystore import make_private_dir, write_atomic
from safehand_core.reasons import Reason
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from safehand_portal_service import doors, neutral, views, words
from safehand_portal_service.backend import Backend
from safehand_portal_service.guard import Guard
from safehand_portal_service.lanes import Lanes
from safehand_portal_service.page import Portal, Route
from safehand_portal_service.pages import (
    asked,
    errors,
    find,
    home,
    info,
    lang,
    leaving,
    seen,
    sharing,
    signin,
    start,
    steps,
)
from safehand_portal_service.peer import SALT_BYTES
from safehand_portal_service.server import WebServer
from safehand_portal_service.settings import PortalSettings
from safehand_portal_service.views import Asset
from safehand_portal_service.watched import Watched

PAGES: Final = (
    start,
    signin,
    home,
    sharing,
    asked,
    steps,
    seen,
    find,
    info,
    lang,
    leaving,
    errors,
)
"""In this order the routes are tried."""

FOREVER: Final = "public, max-age=31536000, immutable"
"""For the two files whose address changes with their content: neutral, and of nobody."""
_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class App:
    """The portal; ``start`` answers the port. Made by ``build``."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.asgi = Watched(Guard(_starlette(portal), portal.settings.host_names))
        self.port = 0
        self._server: WebServer | None = None
        self._thread: threading.Thread | None = None

    async def run(self, serving: Callable[[], None], server: WebServer | None = None) -> None:
        """Serve until the server is told to stop, then drain and close."""
        server = server or self.bound()
        try:
            await server.run(serving)
        finally:
            self.portal.backend.close()

    def bound(self) -> WebServer:
        """A server on its port, which is written down, not yet serving."""
        settings = self.portal.settings
        make_private_dir(settings.data_dir)
        server = WebServer(self.asgi, settings)
        self.port = server.port
        write_atomic(settings.port_file, f"{server.port}\n".encode())
        return server

    def start(self) -> int:
        """Serve in a thread of its own; returns the port."""
        server = self._server = self.bound()
        ready = threading.Event()

        def run() -> None:
            asyncio.run(self.run(ready.set, server))

        self._thread = threading.Thread(target=run, name="portal", daemon=True)
        self._thread.start()
        if not ready.wait(10.0):
            raise SafehandError(Reason.UNAVAILABLE, "the portal did not start")
        return self.port

    def stop(self) -> None:
        """Drain and close what ``start`` began. A second stop changes nothing."""
        thread, self._thread = self._thread, None
        if thread is not None and self._server is not None:
            self._server.stop()
            thread.join(15.0)


def build(settings: PortalSettings, *, clock: Clock, entropy: Entropy) -> App:
    """The portal, not yet serving. Raises CONFIG_INVALID for what settings or texts are not."""
    neutral.check(settings.name, settings.hosts, settings.web_cert_file, settings.exit_url)
    portal = Portal(
        settings=settings,
        backend=Backend(settings),
        catalogues=words.Catalogues.load(
            words.LOCALE, settings.allow_unreviewed, zone=settings.zone, phone=settings.phone
        ),
        templates=views.environment(),
        css=views.asset("s.css", "text/css; charset=utf-8"),
        js=views.asset("s.js", "text/javascript; charset=utf-8"),
        clock=clock,
        entropy=entropy,
        salt=entropy.bytes(SALT_BYTES),
        proxies=tuple(ipaddress.ip_network(text) for text in settings.proxies),
    )
    return App(portal)


def _starlette(portal: Portal) -> Starlette:
    by_path: dict[str, list[Route]] = {}
    for page in PAGES:
        for route in page.ROUTES:
            by_path.setdefault(route.path, []).append(route)
    lanes = Lanes()
    routes = [
        StarletteRoute(path, doors.endpoint(portal, lanes, *found), methods=_METHODS)
        for path, found in by_path.items()
    ]
    for file in (portal.css, portal.js, views.icon()):
        routes.append(StarletteRoute(file.path, _file(file), methods=["GET"]))
    unknown = doors.unknown(portal, lanes)
    made = Starlette(routes=routes, exception_handlers={404: unknown, 405: unknown})
    # Its redirect would repeat the Host header and the query.
    made.router.redirect_slashes = False
    return made


def _file(file: Asset) -> Callable[[Request], Awaitable[Response]]:
    smaller = len(file.compressed) < len(file.content)

    async def send(request: Request) -> Response:
        headers = {"cache-control": FOREVER}
        if smaller and "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            return Response(file.compressed, 200, headers, file.media_type)
        return Response(file.content, 200, headers, file.media_type)

    return send

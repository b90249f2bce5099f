"""What the tests of the portal's core need: raw requests, as any client could send them."""

from __future__ import annotations

import base64
import http.client
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from safehand_portal_service import catalogue, words
from safehand_portal_service.app import App, build
from safehand_portal_service.catalogue import Catalogue
from safehand_portal_service.settings import PortalSettings

from tests.consent.portal.world import ENTROPY, PortalWorld

TIMEOUT_S = 30.0
PHONE = "+1 555 0100"
EXIT = "https://news.example/today"
_READ = catalogue.read
_SHIPPED: dict[Path, Catalogue] = {}
TEMPLATE_FIELD = re.compile(r'name="(c|request_id)" value="([^"]+)"')


def _read_once(folder: Path, source: Catalogue | None = None) -> Catalogue:
    """The shipped languages are parsed once for all portals of this process."""
    if folder.parent != words.LOCALE:
        return _READ(folder, source)
    if folder not in _SHIPPED:
        _SHIPPED[folder] = _READ(folder, source)
    return _SHIPPED[folder]


words.read = _read_once  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Answer:
    """One answer, as it was on the wire. ``headers``: every pair, names in lower case."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def header(self, name: str) -> str:
        """The one value of ``name``; empty where it is missing."""
        found = [value for key, value in self.headers if key == name]
        assert len(found) < 2, f"{name} stands twice"
        return found[0] if found else ""

    @property
    def session(self) -> bytes:
        """The session that it sets; empty where it sets none or takes it away."""
        value = self.header("set-cookie").partition(";")[0].removeprefix("__Host-s=")
        return base64.urlsafe_b64decode(value + "=") if value else b""

    def hidden(self, name: str) -> str:
        """The first hidden field of that name."""
        return next(str(value) for key, value in TEMPLATE_FIELD.findall(self.text) if key == name)


def cookie(session: bytes) -> str:
    return "__Host-s=" + base64.urlsafe_b64encode(session).rstrip(b"=").decode()


@dataclass(frozen=True)
class Client:
    """Sends exactly what it is told to 127.0.0.1."""

    port: int

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            pairs = [(name.lower(), value) for name, value in answer.getheaders()]
            return Answer(answer.status, pairs, answer.read())
        finally:
            connection.close()

    def get(self, path: str, session: bytes = b"", **headers: str) -> Answer:
        return self.send("GET", path, headers=self._headers(session, headers))

    def post(
        self, path: str, fields: Mapping[str, str], session: bytes = b"", **headers: str
    ) -> Answer:
        """As one of our own pages sends a form, unless ``headers`` (with _ for -) say otherwise."""
        given = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Sec-Fetch-Site": "same-origin",
            **self._headers(session, headers),
        }
        given = {name: value for name, value in given.items() if value}
        return self.send("POST", path, urlencode(fields).encode(), given)

    @staticmethod
    def _headers(session: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        named = {name.replace("_", "-").title(): value for name, value in headers.items()}
        return {**({"Cookie": cookie(session)} if session else {}), **named}


class CoreWorld(PortalWorld):
    """A real consent service, and the portal in front of it. Referral is not there."""

    portal_app: App
    web_port = 0

    def open_portal(self) -> None:
        tls = self.tls("service", "portal")
        values = {
            "PROFILE": "test",
            "DATA_DIR": str(self.directory / "portal"),
            "TLS_CERT": str(tls.cert),
            "TLS_KEY": str(tls.key),
            "TLS_CA": str(tls.ca),
            "CONSENT_ADDRESS": f"127.0.0.1:{self.port}",
            "REFERRAL_ADDRESS": "127.0.0.1:1",
            "PHONE": PHONE,
            "ALLOW_UNREVIEWED": "true",
            "PROXIES": "127.0.0.1/32",
            "EXIT_URL": EXIT,
        }
        settings = PortalSettings.load(
            {f"SAFEHAND_PORTAL_{name}": value for name, value in values.items()}
        )
        self.portal_app = build(settings, clock=self.clock, entropy=ENTROPY)
        self.web_port = self.portal_app.start()


@contextmanager
def core_world(directory: Path) -> Iterator[CoreWorld]:
    """Both services, until the block ends."""
    made = CoreWorld(directory)
    made.start().set_up()
    try:
        made.open_portal()
        try:
            yield made
        finally:
            made.portal_app.stop()
    finally:
        made.stop()
        made.store.drop()

"""Her pages beside a running world, and the place to which they let her leave.

``Outside`` is another web server on this machine: the page that she came from, the page to which
Leave takes her, and whatever a test lets strangers show there. It keeps what browsers asked it.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from safehand.consent.v1 import portal_pb2, portal_pb2_grpc
from safehand_cli.sample_person import settle
from safehand_cli.story import PURPOSE
from safehand_cli.system import PORTAL_HOST, TEST_PHONE
from safehand_client import Fetched, SurvivorClient
from safehand_core.clock import SystemClock
from safehand_core.entropy import SystemEntropy
from safehand_core.errors import SafehandError
from safehand_portal_service.app import build
from safehand_portal_service.settings import PortalSettings
from safehand_rpc.dial import connect

from tests.harness.world import CATEGORIES, WORKER, Person, World

BEFORE: Final = "/before"
"""A page of ``Outside`` that she read before she came."""
AFTER: Final = "/after"
"""Where Leave takes her."""
CLOCK: Final = "/bye"
"""Where Leave takes her if no other place is set."""
TOLD: Final = "addEventListener('pageshow', e => document.body.dataset.kept = e.persisted)"
"""A page says whether it came back from the browser's memory."""
COOKIE: Final = "__Host-s"
LINK: Final = re.compile(r'href="(/[^"?#]*)')
NUMBER: Final = re.compile(r"\d{10}")
OPEN: Final = ("/", "/in", "/find", "/info", "/lang", "/bye")
"""Pages for everybody."""


@dataclass
class Asked:
    """One request that came to the outside."""

    path: str
    headers: dict[str, str]


@dataclass
class Outside:
    """The rest of the web.

    Attributes:
        url: its origin, a number and no name.
        asked: what browsers asked it.
        pages: what more stands there, by path: HTML.
    """

    url: str
    asked: list[Asked] = field(default_factory=list)
    pages: dict[str, str] = field(default_factory=dict)

    @property
    def before(self) -> str:
        return self.url + BEFORE

    @property
    def after(self) -> str:
        return self.url + AFTER

    @property
    def near(self) -> str:
        """The same server under the name that the portal has, on another port: another origin, but
        for cookies the same site."""
        return self.url.replace("127.0.0.1", PORTAL_HOST)


@dataclass(frozen=True, slots=True)
class Seated:
    """A person, and a session of hers."""

    person: Person
    session: bytes

    @property
    def cookie(self) -> str:
        """What her browser keeps."""
        return base64.urlsafe_b64encode(self.session).rstrip(b"=").decode()

    @staticmethod
    def session_of(cookie: str) -> bytes:
        """The session that a browser's cookie carries."""
        return base64.urlsafe_b64decode(cookie + "=")


@dataclass(frozen=True, slots=True)
class Shares(Seated):
    """She shares something: the grant that is on, and the referral under it as agency B has it."""

    grant: str
    fetched: Fetched


@dataclass(frozen=True, slots=True)
class Portal:
    """Her pages at ``url``, in front of ``world``."""

    world: World
    url: str
    outside: Outside
    clock: bool = False
    """Whether Leave goes to the portal's own clock."""

    @property
    def exit(self) -> str:
        """Where Leave takes her."""
        return self.url + CLOCK if self.clock else self.outside.after

    def person(self) -> Seated:
        """Somebody with a card and a PIN that nobody else has seen, who is signed in."""
        made = self.world.person()
        settled = settle(self.world.party("her"), made.card, made.pin, SystemEntropy())
        return Seated(Person(made.subject_ref, made.card, settled.pin), settled.session)

    def speak(self, seated: Seated, language: str) -> None:
        """Let a session's pages be in ``language``."""
        her = self.world.party("her")
        with connect(her.addresses.consent, her.tls, "consent") as channel:
            portal_pb2_grpc.PortalServiceStub(channel).SetLanguage(
                portal_pb2.SetLanguageRequest(session=seated.session, language=language)
            )

    def sharing(self) -> Shares:
        """Somebody whose pages have one of everything: a sharing that is on, with a referral under
        it, a look and a refused try; one that was stopped and one that ended; a question; and
        something that a worker wrote down."""
        world, seated = self.world, self.person()
        ref, a, b = seated.person.subject_ref, world.agency_a, world.agency_b
        her = SurvivorClient(world.party("her"))
        her.session = seated.session
        try:
            ended, stopped = _grant(her), _grant(her)
            a.ask_consent(
                subject_ref=ref,
                worker_ref=WORKER,
                releasing="agency-a",
                recipient="agency-b",
                purpose=PURPOSE,
                categories=("HEALTH", "EVENTS", "LOCATION"),
                days=30,
            )
            a.record_consent(
                subject_ref=ref,
                worker_ref=WORKER,
                medium="spoken",
                releasing="agency-a",
                recipient="agency-b",
                purpose=PURPOSE,
                categories=("CONTACT",),
            )
            on = _grant(her)
            sent = world.send(on)
            fetched = b.fetch(sent.referral)
            b.confirm_delivery(sent.referral)
            b.acknowledge(sent.referral)
            with contextlib.suppress(SafehandError):  # before a yes a name is refused: that is seen
                b.open(fetched, "NAME", worker_ref=WORKER)
            b.accept(fetched)
            b.open(fetched, "NAME", worker_ref=WORKER)
            her.stop(stopped)
            her.stop(ended, destroy_now=True)
        finally:
            her.stubs.close()
        return Shares(seated.person, seated.session, on, fetched)


def _grant(her: SurvivorClient) -> str:
    return her.grant(
        releasing="agency-a", recipient="agency-b", purpose=PURPOSE, categories=CATEGORIES
    ).grant.grant


@contextmanager
def outside() -> Iterator[Outside]:
    """The other web server; it ends with the block."""
    found = Outside("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(Asked(self.path, {k.lower(): v for k, v in self.headers.items()}))
            own = f"<p>{self.path[1:]}<script>{TOLD}</script>"
            inner = found.pages.get(self.path, own if self.path in (BEFORE, AFTER) else "")
            body = f"<!doctype html><title>{self.path[1:]}</title>{inner}".encode()
            self.send_response(200 if inner else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def beside(world: World, out: Outside) -> Portal:
    """Her pages beside ``world``, started where they do not run; ``out`` is where Leave goes."""
    world.system.extra.setdefault("portal", {})["SAFEHAND_PORTAL_EXIT_URL"] = out.after
    return Portal(world, world.system.start_portal(), out)


@contextmanager
def without_exit(portal: Portal, folder: Path) -> Iterator[Portal]:
    """Her pages once more, in this process and for the same people, where nothing says to which
    page Leave goes: as the sandbox runs them. ``folder``: its own, empty."""
    world = portal.world
    tls = world.sandbox.service_tls("portal")
    addresses = world.party("her").addresses
    values = {
        "PROFILE": "test",
        "DATA_DIR": str(folder),
        "TLS_CERT": str(tls / "cert.pem"),
        "TLS_KEY": str(tls / "key.pem"),
        "TLS_CA": str(tls / "ca.pem"),
        "CONSENT_ADDRESS": addresses.consent,
        "REFERRAL_ADDRESS": addresses.referral,
        "PHONE": TEST_PHONE,
        "ALLOW_UNREVIEWED": "true",
    }
    settings = PortalSettings.load({f"SAFEHAND_PORTAL_{k}": v for k, v in values.items()})
    app = build(settings, clock=SystemClock(), entropy=SystemEntropy())
    try:
        yield replace(portal, url=f"http://{PORTAL_HOST}:{app.start()}", clock=True)
    finally:
        app.stop()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came over the wire, without a browser."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def asked_for(
    portal: Portal,
    path: str,
    seated: Seated | None = None,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Ask for a page, or with ``form`` send one as her browser would."""
    sent = dict(headers or {})
    if seated is not None:
        sent["Cookie"] = f"{COOKIE}={seated.cookie}"
    body = None
    if form is not None:
        sent["Content-Type"] = "application/x-www-form-urlencoded"
        sent.setdefault("Sec-Fetch-Site", "same-origin")
        body = urlencode(form)
    host = portal.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=30)
    try:
        connection.request("GET" if form is None else "POST", path, body, sent)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read())
    finally:
        connection.close()


def crawled(portal: Portal, seated: Seated) -> list[str]:
    """Every page that links lead to from home, one of each shape, in the order of finding."""
    found: dict[str, str] = {}
    waiting = ["/home", "/list", "/steps", "/seen", "/list/all", "/list/stopped"]
    while waiting:
        path = waiting.pop(0)
        shape = NUMBER.sub("{n}", path)
        if shape in found or path.startswith(("/x", "/s-")):
            continue
        found[shape] = path
        waiting += LINK.findall(asked_for(portal, path, seated).text)
    return list(found.values())


def bodies(portal: Portal, seated: Seated) -> dict[str, str]:
    """Every page of hers by its path, as text."""
    return {path: asked_for(portal, path, seated).text for path in crawled(portal, seated)}

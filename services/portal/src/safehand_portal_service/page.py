"""One request for a page: who asks, in which language, and how it is answered.

A module of ``pages`` gives ``ROUTES``; each handler is a plain function ``(Page) -> Response`` that
runs in a thread of its own, so that it may call the services::

    def shown(page: Page) -> Response:
        answer = page.ask(page.backend.her.ListSharing, pb.ListSharingRequest())
        return page.render("list.html", of="list", sharings=answer.sharings)

    ROUTES = [Route("/list", get=shown)]

What goes wrong at the services is raised as a ``backend.Problem``; a handler catches what it can
say something better about, the rest becomes the page that fits (``doors``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from markupsafe import Markup
from safehand.consent.v1 import portal_pb2
from safehand_core import ids
from safehand_core.clock import Clock
from safehand_core.entropy import Entropy
from starlette.responses import Response

from safehand_portal_service import seat
from safehand_portal_service.backend import TIMEOUT_S, Backend, Method, call
from safehand_portal_service.forms import Form
from safehand_portal_service.lanes import Lane
from safehand_portal_service.peer import Network
from safehand_portal_service.settings import PortalSettings
from safehand_portal_service.views import Asset
from safehand_portal_service.words import Catalogues, Words

NO_SCRIPT_TYPE: Final = "text/html; charset=utf-8"
GO_TYPE: Final = "text/plain"
"""What our own script accepts in the place of a redirect: the path alone, so that the result is
asked for once, by the page that replaces this one."""

OPEN_PATHS: Final = ("/", "/in", "/in/again", "/find", "/info", "/lang", "/bye")
"""Pages for everybody: a link to them carries the chosen language."""

LEFT_MAX_S: Final = 600
"""A session ends this long after the last press, in seconds (``Seat.expires_at``)."""
LEFT_MIN_S: Final = 180
"""A page does not warn sooner than a minute after it was shown, in seconds."""

REFERENCE_DIGITS: Final = 8
"""Decimal digits of a reference: few enough to read out, enough that two faults in one log hardly
ever share them. Digits, since every language of hers has words for them; and as many as neither a
card nor a PIN has, so that nobody takes it for one of these."""
_REFERENCE_BYTES: Final = 16
"""Bytes that it is drawn from: so many that no digit is seen to come more often."""


class _HasSession(Protocol):
    session: bytes


class _HasSeat(Protocol):
    @property
    def seat(self) -> portal_pb2.Seat: ...


Q = TypeVar("Q", bound=_HasSession)
R = TypeVar("R", bound=_HasSeat)


@dataclass(frozen=True, slots=True)
class Portal:
    """What every request shares; nothing in it changes."""

    settings: PortalSettings
    backend: Backend
    catalogues: Catalogues
    templates: Any
    css: Asset
    js: Asset
    clock: Clock
    entropy: Entropy
    salt: bytes
    proxies: tuple[Network, ...]


@dataclass(slots=True)
class Page:
    """One request.

    Attributes:
        portal: what all requests share.
        path: of the address, without the query.
        params: what the route took out of the path.
        form: what she sent; empty for a page that was only asked for.
        session: 32 bytes, or empty where nobody is signed in.
        language: of ``?l=``; empty where it is missing or not ours.
        accept_language: what the browser asked for.
        network: an opaque word for the network of the request and the browser in it.
        scripted: whether our own script sent the form.
        leaving: whether the browser says that it goes to this page (not: embeds it).
        here: a page that can be asked for again: where she goes back to from a choice of language.
        covered: whether the session waits for the PIN, so that it takes no choice of hers.
        open: whether anybody may have this page; until the route is known, it is taken for one.
        seat: how the session stands, once a service has said so.
    """

    portal: Portal
    path: str
    params: Mapping[str, str]
    form: Form
    session: bytes
    language: str
    accept_language: str
    network: bytes
    scripted: bool = False
    leaving: bool = True
    here: str = "/home"
    covered: bool = False
    open: bool = True
    seat: portal_pb2.Seat | None = None
    _cookie: str = field(default="", repr=False)
    _reference: str = field(default="", repr=False)
    _unchecked: set[str] = field(default_factory=set, repr=False)

    # --- her session ------------------------------------------------------------------------------

    @property
    def backend(self) -> Backend:
        return self.portal.backend

    @property
    def settings(self) -> PortalSettings:
        return self.portal.settings

    @property
    def signed_in(self) -> bool:
        """Whether a service has confirmed her session in this request."""
        return self.seat is not None

    @property
    def left(self) -> int:
        """Seconds until the session ends unless she does something: what the page warns before."""
        ends = self.seat.expires_at.seconds if self.seat is not None else 0
        return max(LEFT_MIN_S, min(LEFT_MAX_S, ends - self.now()))

    @property
    def csrf(self) -> str:
        """What each form of hers carries; empty for nobody's."""
        return seat.token(self.session)

    def request_id(self) -> str:
        """A fresh one for a form: pressed twice, it is one entry."""
        return ids.new_request_id(self.portal.entropy)

    def reference(self) -> str:
        """Digits for a page that says that we failed; the log line of this request has them too.

        Drawn at random for this answer, from nothing of hers. Empty on a page for everybody: it is
        the same bytes for all, and who has no session has nothing to ask about.
        """
        if not self.open and not self._reference:
            drawn = int.from_bytes(self.portal.entropy.bytes(_REFERENCE_BYTES))
            digits = f"{drawn % 10**REFERENCE_DIGITS:0{REFERENCE_DIGITS}}"
            half = REFERENCE_DIGITS // 2
            self._reference = f"{digits[:half]}-{digits[half:]}"
        return self._reference

    @property
    def told(self) -> str:
        """The reference, where a page was made with one; else empty."""
        return self._reference

    def now(self) -> int:
        """Seconds since 1970, UTC."""
        return self.portal.clock.wall()

    def ask(self, method: Method[Q, R], request: Q, *, timeout_s: float = TIMEOUT_S) -> R:
        """One call in her name: the session is filled in, and how it stands is read from the
        answer. Raises a ``backend.Problem``."""
        request.session = self.session
        answer = call(method, request, timeout_s=timeout_s)
        self.seat = answer.seat
        return answer

    def keep(self, session: bytes, how: portal_pb2.Seat | None) -> None:
        """From this answer on the browser carries ``session``."""
        self.session, self.seat = session, how
        self._cookie = seat.kept(session)

    def forget(self) -> None:
        """From this answer on the browser carries none."""
        self.session, self.seat = b"", None
        self._cookie = seat.cleared()

    # --- words ------------------------------------------------------------------------------------

    @property
    def words(self) -> Words:
        """Her language: the session's, else the link's, else the browser's, else English."""
        chosen = self.seat.language if self.seat is not None else ""
        found = self.portal.catalogues.best(self.language, chosen, self.accept_language)
        return found.noting(self._unchecked)

    def t(self, key: str, **values: str | int) -> Markup:
        """A text of this page's language."""
        return self.words.t(key, **values)

    def link(self, path: str) -> str:
        """``path`` of ours; a page for everybody keeps the language that she chose."""
        return self.tongued(path) if path in OPEN_PATHS else path

    def tongued(self, path: str) -> str:
        """``path`` with the chosen language, whoever may have it."""
        chosen = (self.seat.language if self.seat is not None else "") or self.language
        return f"{path}?l={chosen}" if self.portal.catalogues.known(chosen) else path

    def onward(self, path: str) -> str:
        """``path`` of hers; where no service says her language, with the one in this address: it
        would be lost with the next page."""
        return path if self.signed_in else self.tongued(path)

    # --- answers ----------------------------------------------------------------------------------

    def render(
        self,
        template: str,
        *,
        of: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        neutral: bool = False,
        **values: Any,
    ) -> Response:
        """A page.

        Args:
            template: its file.
            of: its catalogue; decides whether unreviewed words may be shown.
            status: of HTTP.
            headers: more of them.
            neutral: the same for whoever asks: nothing of the session is in it.
            values: what the template needs beside what each has.
        """
        words = self.words.sensitive(of)
        in_session = self.session != b"" and not neutral
        body = self.portal.templates.get_template(template).render(
            page=self,
            words=words,
            t=words.t,
            n=words.n,
            settings=self.settings,
            link=self.link,
            css=self.portal.css.path,
            js=self.portal.js.path,
            csrf="" if neutral else self.csrf,
            signed_in=self.signed_in and not neutral,
            in_session=in_session,
            traces=not (self.seat is not None and not self.seat.shared_device) or neutral,
            **values,
        )
        return self.sent(Response(body, status, dict(headers or {}), NO_SCRIPT_TYPE))

    def see_other(self, path: str) -> Response:
        """Go to ``path``, one of ours: nothing that she sent is ever in it."""
        if not path.startswith("/") or path.startswith("//") or not path.isascii():
            raise ValueError("not a path of ours")
        if self.scripted:
            return self.sent(Response(path, 200, None, GO_TYPE))
        return self.sent(Response(b"", 303, {"location": path}))

    def nothing(self) -> Response:
        """Done, and nothing to show."""
        return self.sent(Response(b"", 204))

    def sent(self, response: Response) -> Response:
        """``response`` with the cookie that this request changed."""
        if self._cookie:
            response.headers["set-cookie"] = self._cookie
        return response


Handler = Callable[[Page], Response]


@dataclass(frozen=True, slots=True)
class Route:
    """One address.

    Args:
        path: Starlette's form, ``/list/{n}``.
        get, post: what answers it; without one, such a request gets the neutral page.
        open: whether anybody may have it. Else nothing of it runs without a session, and no form
            without the session's token.
        lane: whose threads it runs in (``lanes``).
        harmless: whether a form that anybody made for her may be answered: it changes nothing.
        renews: whether its form puts another session in the place of this one. Pressed twice, the
            second finds the session over though the first was done.
        later: for a form with a PIN, the address, before its minutes, of the page that says that
            it was not looked at. Without script the form itself would stand behind Back, and
            whoever sends it again would be let in, or would have what the PIN is for.
    """

    path: str
    get: Handler | None = None
    post: Handler | None = None
    open: bool = False
    lane: Lane = Lane.COMMON
    harmless: bool = False
    renews: bool = False
    later: str = ""


Routes = list[Route]

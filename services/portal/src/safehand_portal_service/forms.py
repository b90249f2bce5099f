"""Reading a form: small, of one shape, and from one of our own pages."""

from __future__ import annotations

from enum import Enum
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import ClientDisconnect, Request

from safehand_portal_service import digits
from safehand_portal_service.guard import BODY_MAX, own_host

FIELDS_MAX: Final = 64
"""Fields of one form; the largest of ours has about twenty."""
_TYPE: Final = "application/x-www-form-urlencoded"


class BadForm(Exception):
    """The body is no form of ours, or too large."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


class Form:
    """What she sent: names to values, in their order."""

    def __init__(self, pairs: list[tuple[str, str]] | None = None) -> None:
        self._pairs = pairs or []

    def field(self, name: str) -> str:
        """The first value, or empty. Never longer than the form; its caller checks its shape."""
        return next((value for key, value in self._pairs if key == name), "")

    def fields(self, name: str) -> list[str]:
        """Every value of ``name``."""
        return [value for key, value in self._pairs if key == name]

    def digits(self, name: str) -> str:
        """The first value as ASCII digits, without spaces and dashes."""
        return digits.plain(self.field(name))


async def read(request: Request) -> Form:
    """The form in the body. Raises ``BadForm``."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != _TYPE:
        raise BadForm(415)
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_MAX:
                raise BadForm(413)
    except ClientDisconnect:
        # The line broke, or the rest did not come in time (``server.BODY_S``): nobody reads this.
        raise BadForm(400) from None
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except ValueError:
        raise BadForm(400) from None
    return Form(pairs)


class Sender(Enum):
    """Whose page sent a form, as far as the browser says it."""

    OURS = "ours"
    OTHER = "other"
    UNSAID = "unsaid"


def sender(request: Request, hosts: frozenset[str]) -> Sender:
    """What the browser says of where this form comes from.

    ``Sec-Fetch-Site`` decides where there is one; it cannot be set by a page. ``Origin`` decides
    elsewhere. Under ``Referrer-Policy: no-referrer`` browsers send ``Origin: null`` with a plain
    form, so that null says nothing, as a missing one does: an old browser with one of our own pages
    sends it, and so does somebody else's page.
    """
    headers = request.headers
    if len(headers.getlist("sec-fetch-site")) > 1 or len(headers.getlist("origin")) > 1:
        return Sender.OTHER
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin", "null")
    if origin != "null" and not _same(origin, headers.get("host", ""), hosts):
        return Sender.OTHER
    if site is not None:
        return Sender.OURS if site == "same-origin" else Sender.OTHER
    return Sender.UNSAID if origin == "null" else Sender.OURS


def _same(origin: str, host: str, hosts: frozenset[str]) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    # A TLS proxy on this machine speaks HTTP to us: the scheme of ``Origin`` is its own.
    whole = parts.scheme in ("http", "https") and origin == f"{parts.scheme}://{parts.netloc}"
    ours = own_host(host, hosts)
    return whole and ours is not None and parts.netloc.lower() == ours

"""What holds for every answer and every request, around all pages: headers, host, size.

Pure ASGI, outermost: an answer that an error made has the same headers as a page.
"""

from __future__ import annotations

import re
from typing import Final

from safehand_core import logs
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS: Final = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "font-src 'self'; media-src 'self'; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": (
        "accelerometer=(), autoplay=(), browsing-topics=(), camera=(), display-capture=(), "
        "encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), hid=(), "
        "magnetometer=(), microphone=(), midi=(), payment=(), publickey-credentials-get=(), "
        "screen-wake-lock=(), serial=(), usb=(), xr-spatial-tracking=()"
    ),
    "x-robots-tag": "noindex, nofollow",
    "strict-transport-security": "max-age=31536000",
    "vary": "Cookie, Accept-Language, Accept",
}
"""On every answer. ``data:`` is for the icon, which stands in the page itself: one request fewer.
A page may replace ``cache-control`` alone (the two files of its looks)."""

BODY_MAX: Final = 16 * 1024
"""Bytes of a form: the largest of ours has a few hundred."""

_HOST: Final = re.compile(r"([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?")
_SAFE_VALUE: Final = re.compile(r"[\x20-\x7e]*")


class Guard:
    """Wraps the whole application.

    Args:
        app: the pages.
        hosts: names that ``Host`` may have, in lower case.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        answered = False

        async def headed(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                message = {**message, "headers": _headers(message["headers"])}
            await send(message)

        refusal = self._refusal(scope)
        if refusal:
            await _plain(headed, refusal)
            return
        try:
            await self._app(scope, receive, headed)
        except Exception as error:
            logs.get().error("page.failed", exception=type(error).__name__)
            if not answered:
                await _plain(headed, 500)

    def _refusal(self, scope: Scope) -> int:
        """A status, or 0 for a request that may pass."""
        values: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            values.setdefault(name, []).append(value)
        host = values.get(b"host", [])
        if len(host) != 1 or own_host(host[0].decode("latin-1"), self._hosts) is None:
            return 421
        lengths = values.get(b"content-length", [])
        if lengths and (len(lengths) > 1 or not lengths[0].isdigit()):
            return 400
        return 413 if lengths and int(lengths[0][:20]) > BODY_MAX else 0


def own_host(header: str, hosts: frozenset[str]) -> str | None:
    """``header``, a ``Host`` value, in lower case if it is one of ``hosts``; else None."""
    found = _HOST.fullmatch(header.lower())
    return header.lower() if found and found[1] in hosts else None


def _headers(given: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """All of ``HEADERS`` and what the page set, without anything that could split an answer."""
    kept = [
        (name.lower(), value)
        for name, value in given
        if _SAFE_VALUE.fullmatch(value.decode("latin-1"))
    ]
    set_by_page = {name for name, _ in kept}
    for name, value in HEADERS.items():
        if name == "cache-control" and b"cache-control" in set_by_page:
            continue
        kept = [pair for pair in kept if pair[0] != name.encode()]
        kept.append((name.encode(), value.encode()))
    return kept


async def _plain(send: Send, status: int) -> None:
    """An answer without a word, for what no browser of hers sends."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-length", b"0"), (b"connection", b"close")],
        }
    )
    await send({"type": "http.response.body", "body": b""})

"""One log line, one count and, where traces are on, one span for each page: which kind of page, how
it ended, how long it took.

Never which item, which session, or from where. Leaving is neither logged, counted nor traced; one
that failed is logged and counted as some page that failed. No line ties a departure to anybody, or
tells how many there were.
"""

from __future__ import annotations

import time
from typing import Final

from safehand_core import logs
from safehand_telemetry import metrics, names, tracing
from starlette.types import ASGIApp, Message, Receive, Scope, Send

START: Final = "start"
FILE: Final = "file"
"""The one style sheet and the one script."""
OTHER: Final = "other"
LEAVING: Final = frozenset({"x", "bye"})
REFERENCE: Final = "safehand.reference"
"""Where a request's scope holds what her page tells her to read out about a fault of ours."""
FAULT: Final = "safehand.fault"
"""Where a request's scope holds the status of a fault that is told on another page."""
FAILED: Final = 500
"""HTTP statuses from here on are failures of ours."""


class Watched:
    """``app``, with every answer counted."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        metrics.pages_served()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        word = first_word(scope["path"])
        span = tracing.NOTHING if word in LEAVING else tracing.page(page_of(word))
        began = time.perf_counter()
        status = FAILED

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        # Inside of the span, so that the line has its numbers.
        with tracing.working(span):
            try:
                await self._app(scope, receive, note)
            finally:
                seconds = time.perf_counter() - began
                _ended(word, scope.get(FAULT, status), seconds, scope.get(REFERENCE, ""))


def first_word(path: str) -> str:
    """``list`` of ``/list/0123456789/stop``."""
    return path.split("/", 2)[1] if path.startswith("/") else ""


def page_of(word: str) -> str:
    """The page that the first word of a path names, from ``names.PAGES``."""
    if not word:
        return START
    if word.startswith("s-"):
        return FILE
    return word if word in names.PAGES - {START, FILE} else OTHER


def _ended(word: str, status: int, seconds: float, reference: str) -> None:
    failed = status >= FAILED
    if word in LEAVING and not failed:
        return
    page = page_of(word)
    metrics.page_answered(page, status=status, seconds=seconds)
    fields: dict[str, str | int | float] = {
        "page": page,
        "http_status": status,
        "duration_ms": round(seconds * 1000, 1),
    }
    if reference:
        fields["reference"] = reference
    if failed:
        logs.get().error("page.failed", **fields)
    elif page != FILE:
        logs.get().info("page.answered", **fields)

"""What is said when something did not work. Each says only what is known to be true.

Whom to call stands inside of what is said after any form, and where there is a reference to read
out. What a page for everybody says of a fault has none (``Page.reference``).
"""

from __future__ import annotations

import math
import re
from typing import Final

from starlette.responses import Response

from safehand_portal_service.page import Page, Routes

MINUTE_S: Final = 60
OURS_FROM: Final = 500
"""HTTP statuses from here on say that the fault is ours (RFC 9110, section 15.6)."""
RETRY_AFTER_S: Final = 30
"""When to look again at a service that does not answer, in seconds."""

_AWAY: Final = ("errors.down", "errors.failed")
"""What is said where nobody can say how anything of hers stands."""
_STOPPED: Final = re.compile(r"/list/(?:[0-9]{10}/)?stopped")

ROUTES: Final[Routes] = []


def down(page: Page, changes: bool) -> Response:
    """A service does not answer. Whether a form of hers was taken, nobody here knows."""
    headers = {"retry-after": str(RETRY_AFTER_S)}
    if _of_a_stop(page, changes):
        return _said(page, 503, "errors.unseen", call=True, headers=headers)
    return _said(
        page,
        503,
        "errors.down",
        second="errors.down_sent" if changes else "",
        call=changes,
        headers=headers,
    )


def past(page: Page, sent: bool) -> Response:
    """As ``down``, said once more at an address that can be asked for: no fault of this answer."""
    headers = {"retry-after": str(RETRY_AFTER_S)}
    second = "errors.down_sent" if sent else ""
    return _said(page, 200, "errors.down", second=second, call=True, headers=headers)


def busy(page: Page) -> Response:
    """Too many wait for the same already: nothing was begun, and she is told at once."""
    headers = {"retry-after": str(RETRY_AFTER_S)}
    return _said(page, 503, "errors.down", call=True, headers=headers)


def failed(page: Page, changes: bool) -> Response:
    """A fault of ours."""
    if _of_a_stop(page, changes):
        return _said(page, 500, "errors.unseen", call=True)
    return _said(
        page, 500, "errors.failed", second="errors.down_sent" if changes else "", call=changes
    )


def refused(page: Page, changes: bool) -> Response:
    """A service understood it and said no: nothing of it was done."""
    return _said(page, 400, "errors.refused", call=changes)


def not_ours(page: Page) -> Response:
    """The form came from somewhere else, or from a page of another session."""
    return _said(page, 403, "errors.not_ours", call=True)


def old_browser(page: Page) -> Response:
    """The browser does not say whose page signs her in: it could be a stranger's, with the card of
    a stranger. With script it does."""
    return _said(page, 403, "errors.old_browser", call=True)


def bad_form(page: Page, status: int) -> Response:
    """The form has not the shape of ours."""
    key = "errors.too_large" if status == 413 else "errors.refused"
    return _said(page, status, key, call=True)


def throttled(page: Page, seconds: int, changes: bool) -> Response:
    """Too many tries; said in minutes, never as a countdown."""
    of = _of(page)
    return page.render(
        "errors.html",
        of=of,
        status=429,
        headers={"retry-after": str(seconds)},
        first=page.words.sensitive(of).n("errors.wait", minutes(seconds)),
        second=None,
        call=changes,
        reference="",
    )


def minutes(seconds: int) -> int:
    """Whole minutes that are surely enough; at least one."""
    return max(1, math.ceil(seconds / MINUTE_S))


def _of_a_stop(page: Page, changes: bool) -> bool:
    """Whether it is the page that says what a stop did: the stop itself may well be done."""
    return not changes and _STOPPED.fullmatch(page.path) is not None


def _of(page: Page) -> str:
    """What failed at the pages of sharing, a stop above all, is said in words that are held back as
    theirs are."""
    return "list" if page.path.startswith("/list") else "errors"


def _said(
    page: Page,
    status: int,
    key: str,
    *,
    second: str = "",
    call: bool = False,
    headers: dict[str, str] | None = None,
) -> Response:
    of = _of(page)
    if of == "list" and key in _AWAY and not second:
        # Who came to stop something is told how else, as on the first page.
        second, call = "errors.down_stop", True
    words = page.words.sensitive(of)
    reference = page.reference() if status >= OURS_FROM else ""
    return page.render(
        "errors.html",
        of=of,
        status=status,
        headers=headers,
        first=words.t(key),
        second=words.t(second) if second else None,
        call=call or bool(reference),
        reference=reference,
    )

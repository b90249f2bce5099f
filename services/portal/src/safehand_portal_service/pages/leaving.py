"""Leaving: the session ends on the server first, then the browser forgets, then it goes elsewhere.

A link, not a form: browsers block a form that is redirected to another site (``form-action``), and
leave the page on the screen.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from safehand_portal_service.lanes import Lane
from safehand_portal_service.page import Page, Route, Routes
from safehand_portal_service.pages.signin import end_session

CLEAR: Final = '"cookies", "storage"'


def left(page: Page) -> Response:
    """Only for a browser that goes there: an image on somebody's page must not sign her out."""
    target = page.settings.exit_url or page.link("/bye")
    response = Response(b"", 303, {"location": target})
    if page.leaving:
        end_session(page)
        page.forget()
        response.headers["clear-site-data"] = CLEAR
    return page.sent(response)


def clock(page: Page) -> Response:
    """A plain clock, for where no other page is set."""
    return page.render("bye.html", of="leave", neutral=True)


ROUTES: Final[Routes] = [
    Route("/x", get=left, open=True, lane=Lane.LEAVING),
    Route("/bye", get=clock, open=True, lane=Lane.WORDS),
]

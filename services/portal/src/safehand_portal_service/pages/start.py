"""The first page: what this is, how to leave, and the ways in. For everybody, without a cookie."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from safehand_portal_service.page import Page, Route, Routes


def shown(page: Page) -> Response:
    """Says the same to everybody, signed in or not."""
    return page.render("start.html", of="start", neutral=True)


ROUTES: Final[Routes] = [Route("/", get=shown, open=True)]

"""The language: a link while nobody is signed in, else kept with the session and nowhere else."""

from __future__ import annotations

import contextlib
import re
from typing import Final

from safehand.consent.v1 import portal_pb2 as pb
from starlette.responses import Response

from safehand_portal_service import backend
from safehand_portal_service.page import OPEN_PATHS, Page, Route, Routes

_PAGE: Final = re.compile(
    r"(?!/list/all)/(?:home|list|steps|seen|lang|find|info|in/pin)(?:/[a-z0-9]{1,16}){0,3}"
)
"""Pages to which she goes back after she has chosen: they can be asked for again, and are true
without the press that led to them."""


def shown(page: Page) -> Response:
    """All languages, each in its own script."""
    if page.session:
        with contextlib.suppress(backend.Problem):  # the links work without
            page.ask(page.backend.her.GetHome, pb.GetHomeRequest())
    return page.render("lang.html", of="common")


def chosen(page: Page) -> Response:
    """Keep it, and show the page that she came from in it."""
    tag = page.portal.catalogues.known(page.form.field("l"))
    to = page.form.field("to")
    if not _PAGE.fullmatch(to):
        to = "/home"
    try:
        if tag:
            page.ask(page.backend.her.SetLanguage, pb.SetLanguageRequest(language=tag))
    except backend.Problem as problem:
        # What can be shown without her session is shown in it all the same, by its address.
        if to not in OPEN_PATHS and not isinstance(problem, backend.Down):
            raise
        if isinstance(problem, backend.SessionOver):
            page.forget()
        return page.see_other(f"{to}?l={tag}")
    return page.see_other(page.link(to))


ROUTES: Final[Routes] = [Route("/lang", get=shown, open=True), Route("/lang", post=chosen)]

"""The language: a link while nobody is signed in, else kept with the session and nowhere else."""

from __future__ import annotations

import contextlib
import re
from typing import Final

from safehand.consent.v1 import portal_pb2 as pb
from starlette.responses import Response

from safehand_portal_service import backend
from safehand_portal_service.page import Page, Route, Routes

_PAGE: Final = re.compile(r"/(?:home|list|steps|seen|lang|in/pin)(?:/[a-z0-9]{1,16}){0,2}")
"""Pages to which she goes back after she has chosen: they can be asked for again."""


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
    if tag:
        page.ask(page.backend.her.SetLanguage, pb.SetLanguageRequest(language=tag))
    return page.see_other(to if _PAGE.fullmatch(to) else "/home")


ROUTES: Final[Routes] = [Route("/lang", get=shown, open=True), Route("/lang", post=chosen)]

"""``/seen``: who looked, who tried and was refused, and what this list cannot know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from safehand.consent.v1 import portal_pb2
from starlette.responses import Response

from safehand_portal_service.page import Page, Route, Routes
from safehand_portal_service.pages import numbers, shown_seen
from safehand_portal_service.pages.steps import hide_item

PAGE_SIZE: Final = 20
"""Looks on one page."""
TOKEN_MAX: Final = 512
"""Characters of a page token; consent takes no more."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which looks. ``path`` is its address, ``title`` the key of its title."""

    path: str = "/seen"
    title: str = "seen.title"
    new: bool = False
    refused: bool = False
    organisation: str = ""
    sharing: str = ""


ALL: Final = Filter()
NEW: Final = Filter("/seen/new", "seen.title.new", new=True)
REFUSED: Final = Filter("/seen/refused", "seen.title.refused", refused=True)


def everything(page: Page) -> Response:
    return _listed(page, ALL)


def since_last(page: Page) -> Response:
    return _listed(page, NEW)


def refused(page: Page) -> Response:
    return _listed(page, REFUSED)


def by(page: Page) -> Response:
    number = numbers.of_path(page)
    return _listed(page, Filter(f"/seen/by/{number}", "seen.title.by", organisation=number))


def under(page: Page) -> Response:
    number = numbers.of_path(page)
    return _listed(page, Filter(f"/seen/for/{number}", "seen.title.under", sharing=number))


def hide(page: Page) -> Response:
    hide_item(page)
    return page.see_other("/seen")


def _listed(page: Page, chosen: Filter) -> Response:
    """One page of it. Where to go on is in a form, never in an address."""
    token = page.form.field("page")[:TOKEN_MAX]
    answer = page.ask(
        page.backend.her.ListSeen,
        portal_pb2.ListSeenRequest(
            since_last=chosen.new,
            refused_only=chosen.refused,
            organisation=chosen.organisation,
            sharing=chosen.sharing,
            page_size=PAGE_SIZE,
            page_token=token,
        ),
    )
    words = page.words.sensitive("seen")
    now = page.now()
    heard = [shown_seen.heard(words, one, now) for one in answer.organisations]
    return page.render(
        "seen.html",
        of="seen",
        chosen=chosen,
        older=bool(token),
        items=[shown_seen.shown(words, one) for one in answer.seen],
        next_page=answer.next_page_token,
        organisations=heard,
        since=words.date(answer.since.seconds) if answer.HasField("since") else "",
    )


ROUTES: Final[Routes] = [
    Route("/seen", get=everything, post=everything),
    Route("/seen/new", get=since_last, post=since_last),
    Route("/seen/refused", get=refused, post=refused),
    Route("/seen/by/{n}", get=by, post=by),
    Route("/seen/for/{n}", get=under, post=under),
    Route("/seen/{n}/hide", post=hide),
]

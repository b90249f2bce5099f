"""What holds on every page, those behind presses too: one walk through all of them in a language.

WCAG 2.2 AA by axe, reflow at 400 per cent, wider spacing, Leave within reach, the focus uncovered,
targets, headers and traces (S-00.4, S-00.6, S-00.9, S-00.10, S-00.13, S-00.14).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Response
from safehand_portal_service import pseudo
from safehand_portal_service.app import PAGES

from tests.browser import checks
from tests.browser.checks import BANNED, LARGE, SMALL, ZOOMED
from tests.browser.conftest import Walker
from tests.browser.rare import RareWorld, rare, serving
from tests.browser.tour import Shown, tour
from tests.browser.walk import Walk
from tests.harness.portal import Portal

pytestmark = [pytest.mark.timeout(1800), pytest.mark.slow]
WAYS_OUT: Final = frozenset({"/x"})
"""It shows no page of ours: it leads away. What it does is in ``test_leaving``."""
WRONG: Final = frozenset({400, 403, 413, 429, 500, 503})
"""Every status with which a page says that something did not work."""


@dataclass
class Toured:
    """What was on the screen.

    Attributes:
        names: of the pages, in order; a name stands for one page.
        paths: addresses that were asked for, as routes write them.
        statuses: of what was answered.
    """

    names: list[str] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    statuses: set[int] = field(default_factory=set)

    def add(self, page: Shown) -> None:
        assert page.name not in self.names
        self.names.append(page.name)
        shown = [answer for answer in page.walk.answered if is_page(answer)]
        if shown:
            # The last one is what is on the screen; those before it led there.
            self.statuses.add(shown[-1].status)
            if shown[-1].request.method == "GET":
                self.paths.add(route_of(urlsplit(shown[-1].url).path))


def routes() -> list[str]:
    """Every address that can be asked for, in the order in which they are tried."""
    return [route.path for page in PAGES for route in page.ROUTES if route.get is not None]


def route_of(path: str) -> str:
    """The one that ``path`` belongs to; "" where it is none of ours."""
    for route in routes():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), path):
            return route
    return ""


def is_page(answer: Response) -> bool:
    return answer.headers.get("content-type", "").startswith("text/html")


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RareWorld]:
    with serving(tmp_path_factory.mktemp("few")) as made:
        yield made


def shown(
    walker: Walker, portal: Portal, few: RareWorld, language: str, toured: Toured
) -> Iterator[Shown]:
    """Every page in ``language``, on a small phone."""

    def make(*seated: object, **options: Any) -> Walk:
        return walker(*seated, viewport=SMALL, **options)

    for way in (tour(make, portal, language), rare(make, few, language)):
        with closing(way) as pages:
            for page in pages:
                toured.add(page)
                yield page
                page.walk.answered.clear()


def missing(toured: Toured) -> list[str]:
    """Pages that nobody was at."""
    wanted = set(routes())
    assert wanted > WAYS_OUT
    return [
        *(f"nobody was at {path}" for path in sorted(wanted - WAYS_OUT - toured.paths)),
        *(f"nobody saw a {status}" for status in sorted(WRONG - toured.statuses)),
    ]


def reflow(page: Shown) -> list[str]:
    """What a window at 400 per cent does not show."""
    page.walk.page.set_viewport_size(ZOOMED)
    return checks.overflow(page.walk) + checks.clipped(page.walk)


def reach(page: Shown) -> list[str]:
    """What cannot be pressed in a window, at each of three sizes; the last is the first again."""
    found = []
    for size in (ZOOMED, LARGE, SMALL):
        page.walk.page.set_viewport_size(size)
        found += checks.too_small(page.walk)
        if page.leave:
            found += checks.out_of_reach(page.walk, page.leave, size)
    return found


def followed(page: Shown) -> list[str]:
    """What has the focus and is covered, where the window is as low as it gets."""
    if page.window:
        return []
    page.walk.page.set_viewport_size(ZOOMED)
    found = checks.covered(page.walk)
    page.walk.page.set_viewport_size(SMALL)
    return found


@pytest.mark.parametrize("language", ["en", "ar"])
def test_every_page_is_for_everybody_and_keeps_nothing(
    walker: Walker, portal: Portal, few: RareWorld, language: str
) -> None:
    found: list[str] = []
    walks: list[Walk] = []
    toured = Toured()
    for page in shown(walker, portal, few, language, toured):
        walk = page.walk
        if walk not in walks:
            walks.append(walk)
        wrong = checks.violations(walk) + checks.traces(walk) + checks.told(walk.answered)
        if walk.page.get_attribute("html", "lang") != language:
            wrong.append("speaks another language")
        wrong += reflow(page) + reach(page) + checks.spaced(walk) + followed(page)
        wrong += checks.printed(walk, header=bool(page.leave) and not page.window)
        found += [f"{page.name}: {one}" for one in wrong]
    for walk in walks:
        found += [f"console: {one}" for one in walk.wrong if "status of" not in one]
        ours = walk.portal.url + "/"
        for url in walk.asked:
            if not url.startswith((ours, "data:")) or BANNED.search(url.removeprefix(ours)):
                found.append(f"asked for {url}")
    assert found + missing(toured) == [], "\n".join(found + missing(toured))


@pytest.mark.parametrize("language", ["es", pseudo.TAG])
def test_longer_words_fit(walker: Walker, portal: Portal, few: RareWorld, language: str) -> None:
    """In the pseudo-locale every text is 40 per cent longer."""
    found: list[str] = []
    for page in shown(walker, portal, few, language, Toured()):
        found += [f"{page.name}: {one}" for one in reflow(page)]
        page.walk.page.set_viewport_size(SMALL)
    assert found == [], "\n".join(found)

"""What holds on every page, those behind presses too: one walk through all of them in a language.

WCAG 2.2 AA by axe, reflow at 400 per cent, wider spacing, Leave within reach, targets, headers and
traces (S-00.4, S-00.6, S-00.9, S-00.10, S-00.13, S-00.14).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Final

import pytest
from safehand_portal_service import pseudo

from tests.browser import checks
from tests.browser.checks import BANNED, LARGE, SMALL, ZOOMED
from tests.browser.conftest import Walker
from tests.browser.tour import Shown, tour
from tests.browser.walk import Walk
from tests.harness.portal import Portal

pytestmark = pytest.mark.timeout(500)
PAGES: Final = 60
"""A tour is at least so long: fewer pages were walked past."""


def shown(walker: Walker, portal: Portal, language: str) -> Iterator[Shown]:
    """Every page in ``language``, on a small phone; a name stands for one page."""
    names: list[str] = []

    def make(*seated: object) -> Walk:
        return walker(*seated, viewport=SMALL)

    with closing(tour(make, portal, language)) as pages:
        for page in pages:
            assert page.name not in names
            names.append(page.name)
            yield page
    assert len(names) >= PAGES, names


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


@pytest.mark.parametrize("language", ["en", "ar"])
def test_every_page_is_for_everybody_and_keeps_nothing(
    walker: Walker, portal: Portal, language: str
) -> None:
    found: list[str] = []
    walks: list[Walk] = []
    for page in shown(walker, portal, language):
        walk = page.walk
        if walk not in walks:
            walks.append(walk)
        wrong = checks.violations(walk) + checks.traces(walk) + checks.told(walk.answered)
        walk.answered.clear()
        if walk.page.get_attribute("html", "lang") != language:
            wrong.append("speaks another language")
        wrong += reflow(page) + reach(page) + checks.spaced(walk)
        found += [f"{page.name}: {one}" for one in wrong]
    for walk in walks:
        found += [f"console: {one}" for one in walk.wrong if "status of" not in one]
        for url in walk.asked:
            if not url.startswith(portal.url + "/") or BANNED.search(url.removeprefix(portal.url)):
                found.append(f"asked for {url}")
    assert found == [], "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("language", ["es", pseudo.TAG])
def test_longer_words_fit(walker: Walker, portal: Portal, language: str) -> None:
    """In the pseudo-locale every text is 40 per cent longer."""
    found: list[str] = []
    for page in shown(walker, portal, language):
        found += [f"{page.name}: {one}" for one in reflow(page)]
        page.walk.page.set_viewport_size(SMALL)
    assert found == [], "\n".join(found)

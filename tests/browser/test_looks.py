"""What a person sees and can reach: the focus, colours of her own, right to left, a light page.

S-00.9, S-00.13 and S-00.14. What holds on every page alike is in ``test_every_page``.
"""

from __future__ import annotations

import re
from typing import Final

import pytest
from playwright.sync_api import ViewportSize
from safehand_portal_service.views import STATIC

from tests.browser import checks
from tests.browser.checks import LARGE, SMALL, ZOOMED
from tests.browser.conftest import Walker
from tests.browser.walk import LEAVE, Walk
from tests.harness.portal import OPEN, Portal, Shares, asked_for, crawled

pytestmark = pytest.mark.slow  # every page at every size

LANGUAGES: Final = ("en", "ar")
WEIGHT_BYTES: Final = 60 * 1024
REQUESTS: Final = 3


@pytest.fixture(scope="module")
def shares(portal: Portal) -> Shares:
    return portal.sharing()


@pytest.fixture(scope="module")
def paths(portal: Portal, shares: Shares) -> list[str]:
    """Every page of hers, one of each shape, and the pages for everybody."""
    found = crawled(portal, shares)
    return [*found, *(path for path in OPEN if path not in found)]


def speak(walk: Walk, language: str) -> None:
    """Let pages of hers, and of everybody, be in ``language``."""
    if walk.seated is not None:
        walk.portal.speak(walk.seated, language)


@pytest.mark.parametrize("size", [SMALL, ZOOMED], ids=["small", "400 %"])
def test_what_has_the_focus_is_never_covered(
    walker: Walker, shares: Shares, paths: list[str], size: ViewportSize
) -> None:
    """WCAG 2.4.11: the bar with Leave stays where it is, and the focus is beside it. What a press
    leads to is in ``test_every_page``."""
    walk = walker(shares, viewport=size)
    speak(walk, "en")
    found = []
    for path in [*paths, "/in/pin"]:
        walk.go(path)
        found += [f"{path}: {one}" for one in checks.covered(walk)]
    assert found == [], "\n".join(found)


def test_with_colours_of_her_own_everything_is_still_told_apart(
    walker: Walker, shares: Shares, paths: list[str]
) -> None:
    walk = walker(shares, viewport=SMALL, forced_colors="active")
    speak(walk, "en")
    for path in paths:
        walk.go(path)
        for button in walk.page.locator("main .button, .away a.leave").all():
            if button.is_visible():
                width = button.evaluate(
                    "e => parseFloat(getComputedStyle(e).borderTopWidth)"
                    " + parseFloat(getComputedStyle(e).outlineWidth) * "
                    "(getComputedStyle(e).outlineStyle === 'none' ? 0 : 1)"
                )
                assert width > 0, (path, button.inner_text())
    walk.go("/home")
    walk.page.keyboard.press("Tab")
    outline = walk.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def test_right_to_left_puts_leave_at_the_left_and_leaves_numbers_alone(
    walker: Walker, portal: Portal, shares: Shares
) -> None:
    walk = walker(shares, viewport=LARGE)
    speak(walk, "ar")
    walk.go("/list")
    assert walk.page.get_attribute("html", "dir") == "rtl"
    box = walk.page.locator(LEAVE).bounding_box()
    assert box is not None
    assert box["x"] + box["width"] / 2 < LARGE["width"] / 2
    speak(walk, "en")
    walk.go("/list")
    box = walk.page.locator(LEAVE).bounding_box()
    assert box is not None
    assert box["x"] + box["width"] / 2 > LARGE["width"] / 2
    nobody = walker(viewport=LARGE)
    nobody.go("/in?l=ar")
    assert nobody.page.get_attribute("input[name=card]", "dir") == "ltr"
    assert nobody.page.locator("a[href^='tel:'] [dir=ltr], a[href^='tel:'][dir=ltr]").count()


def test_the_style_sheet_knows_no_left_and_no_right() -> None:
    text = re.sub(r"/\*.*?\*/", "", (STATIC / "s.css").read_text("utf-8"), flags=re.DOTALL)
    assert re.findall(r"(?<![-\w])(?:margin|padding|border|inset)?-?(?:left|right)\s*:", text) == []
    assert re.findall(r"text-align:\s*(?:left|right)|float:\s*(?:left|right)", text) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_first_view_is_light(walker: Walker, portal: Portal, language: str) -> None:
    walk = walker()
    sizes: list[int] = []
    walk.page.on(
        "requestfinished",
        lambda request: sizes.append(
            sum(request.sizes()[part] for part in ("responseBodySize", "responseHeadersSize"))
        ),
    )
    walk.go(f"/?l={language}")
    walk.page.wait_for_load_state("networkidle")
    asked = [url for url in walk.asked if not url.startswith("data:")]
    assert len(asked) <= REQUESTS, asked
    assert 0 < sum(sizes) <= WEIGHT_BYTES
    answer = asked_for(portal, f"/?l={language}", headers={"Accept-Encoding": "gzip"})
    assert len(answer.body) < WEIGHT_BYTES

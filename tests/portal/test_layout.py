"""Where the text stands on a wide screen: in the middle, on every page, and never below Leave."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.harness.browser import browsers, program
from tests.portal.open_app import nobody, opened

PATHS = ("/", "/in", "/find", "/info")
MIDDLE = (1000, 1100, 1280)
BESIDE = (641, 700, 800, 900, 980, *MIDDLE)
HEIGHT = 800
MOST_OFF = 1.0
"""How far off the middle a rounding may put it, in CSS pixels."""


@pytest.fixture(scope="module")
def seen() -> Iterator[Page]:
    with browsers(program()) as found, found.context() as context:
        yield context.new_page()


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with opened(tmp_path_factory.mktemp("looks"), nobody(), allow_unreviewed=True) as found:
        yield found


def edges(page: Page, selector: str) -> tuple[float, float]:
    box: Any = page.locator(selector).first.bounding_box()
    return box["x"], box["x"] + box["width"]


@pytest.mark.parametrize("tag", ["en", "ar"])
@pytest.mark.parametrize("path", PATHS)
def test_on_a_wide_screen_the_text_is_in_the_middle(
    port: int, seen: Page, path: str, tag: str
) -> None:
    seen.goto(f"http://127.0.0.1:{port}{path}?l={tag}")
    for width in MIDDLE:
        seen.set_viewport_size({"width": width, "height": HEIGHT})
        inner = seen.evaluate("document.documentElement.clientWidth")
        for part in ("header", "main", ".help"):
            start, end = edges(seen, part)
            assert abs(start - (inner - end)) <= MOST_OFF, (width, part, start, end)


@pytest.mark.parametrize("tag", ["en", "ar"])
def test_the_clock_is_in_the_middle_at_every_width(port: int, seen: Page, tag: str) -> None:
    seen.goto(f"http://127.0.0.1:{port}/bye?l={tag}")
    for width in (360, *BESIDE):
        seen.set_viewport_size({"width": width, "height": HEIGHT})
        inner = seen.evaluate("document.documentElement.clientWidth")
        start, end = edges(seen, "time")
        assert abs(start - (inner - end)) <= MOST_OFF, (width, start, end)


@pytest.mark.parametrize("tag", ["en", "es", "ar"])
@pytest.mark.parametrize("text", ["100%", "125%", "150%"])
def test_the_text_never_runs_below_the_way_out(port: int, seen: Page, tag: str, text: str) -> None:
    seen.goto(f"http://127.0.0.1:{port}/?l={tag}")
    seen.evaluate("size => { document.documentElement.style.fontSize = size }", text)
    for width in BESIDE:
        seen.set_viewport_size({"width": width, "height": HEIGHT})
        start, end = edges(seen, "main")
        leave_start, leave_end = edges(seen, ".away a.leave")
        assert end <= leave_start or leave_end <= start, (width, start, end, leave_start)
        assert start >= 0

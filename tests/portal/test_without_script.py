"""Where no script runs, or has not come yet, nothing is promised that only the script keeps."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from safehand_portal_service.words import Catalogues

from tests.consent.portal.world import Her
from tests.portal import pages_world
from tests.portal.pages_world import PagesWorld

ALL = Catalogues.load(allow_unreviewed=True)
TAGS = [language.tag for language in ALL.languages]
OPEN = ("/", "/in", "/find", "/info", "/lang", "/bye")
HERS = ("/home", "/list", "/list/kind", "/list/stopped", "/steps", "/seen", "/in/pin")
PROMISES = ("start.leave_shift", "start.leave_fewer", "signin.shared_yes_hint")
KEPT = {"/": "start.leave_kept", "/in": "signin.shared_yes_kept"}
"""What is said in their place."""
VOID = frozenset({"input", "meta", "link", "br"})


class Screen(HTMLParser):
    """The words that a browser shows while no script has touched the page.

    Args:
        off: whether scripts are switched off; else the page's own has not come yet.
    """

    def __init__(self, html: str, *, off: bool) -> None:
        super().__init__()
        self.off = off
        self._open: list[tuple[str, bool]] = []
        self._words: list[str] = []
        self.feed(html)

    @property
    def text(self) -> str:
        return " ".join("".join(self._words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in VOID:
            return
        unseen = (
            "hidden" in dict(attrs)
            or tag in ("script", "style", "title")
            or (tag == "dialog" and "open" not in dict(attrs))
            or (tag == "noscript" and not self.off)
        )
        self._open.append((tag, unseen))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not any(unseen for _, unseen in self._open):
            self._words.append(data)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesWorld]:
    with pages_world.serving(tmp_path_factory.mktemp("plain")) as made:
        yield made


@pytest.fixture(scope="module")
def she(world: PagesWorld) -> Her:
    her = world.her()
    world.give(her)
    return her


def said(tag: str, key: str) -> str:
    return str(ALL.words(tag).t(key).striptags())


@pytest.mark.parametrize("off", [True, False], ids=["switched off", "not come yet"])
@pytest.mark.parametrize("tag", TAGS)
def test_nothing_is_promised_that_only_the_script_keeps(
    world: PagesWorld, she: Her, tag: str, off: bool
) -> None:
    browser = world.browser(she, tag)
    one = f"/list/{world.only(she).number}"
    for path in (*OPEN, *HERS, one):
        page = browser.open(path if path in HERS or path == one else f"{path}?l={tag}")
        text = Screen(page.html, off=off).text

        assert page.status == 200, path
        assert text, path
        assert "Shift" not in text, path
        for key in PROMISES:
            assert said(tag, key) not in text, (path, key)
        kept = {said(tag, key) for key in KEPT.values()}
        shown = {said(tag, KEPT[path])} if off and path in KEPT else set()
        assert {one for one in kept if one in text} == shown, path


@pytest.mark.parametrize("tag", TAGS)
def test_what_holds_either_way_is_said_either_way(world: PagesWorld, tag: str) -> None:
    html = world.browser(world.her(), tag).open(f"/?l={tag}").html

    for off in (True, False):
        text = Screen(html, off=off).text
        for key in ("leave_how", "leave_limits", "leave_typed", "leave_device"):
            assert said(tag, f"start.{key}") in text, (key, off)

"""The first page, for somebody who has nothing yet: no cookie, no words beside the way out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from safehand_portal_service.words import Catalogues

from tests.portal.browser import Browser
from tests.portal.open_app import PHONE, nobody, opened

ALL = Catalogues.load(allow_unreviewed=True)
TAGS = [language.tag for language in ALL.languages]
NEUTRAL = ("/x", "#m", "/")
"""Where a link may lead before she has read anything: away, to the text, to this page."""
SAFETY = (
    *("moment_title", "moment", "leave_how", "leave_shift", "leave_fewer", "leave_kept"),
    *("leave_limits", "leave_typed", "leave_device"),
)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with opened(tmp_path_factory.mktemp("start"), nobody(), allow_unreviewed=True) as found:
        yield found


class _Order(HTMLParser):
    """Texts and links as they follow each other in the document."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "a":
            self.found.append(("link", values.get("href") or ""))
        if tag == "form":
            self.found.append(("link", values.get("action") or ""))

    def handle_data(self, data: str) -> None:
        self.found.append(("text", " ".join(data.split())))


def in_order(html: str) -> list[tuple[str, str]]:
    reader = _Order()
    reader.feed(html)
    return reader.found


def test_all_of_it_works_without_cookies(port: int) -> None:
    browser = Browser(port)
    start = browser.open("/")

    assert start.status == 200
    ways = {href for _, href in start.links if href.startswith(("/", "?")) and href != "/x"}
    assert {"/in", "/find", "/info"} <= ways
    assert len([way for way in ways if way.startswith("?")]) == len(TAGS)
    for way in ways:
        page = browser.sent("GET", way if way.startswith("/") else f"/{way}", None)
        assert page.status == 200, way
        assert "set-cookie" not in page.headers, way
        assert not browser.session, way
    assert "set-cookie" not in start.headers


def test_a_cookie_that_is_not_ours_changes_nothing(port: int) -> None:
    assert Browser(port, "B" * 43).open("/").html == Browser(port).open("/").html


@pytest.mark.parametrize("tag", TAGS)
def test_safety_and_limits_come_before_the_first_way_in(port: int, tag: str) -> None:
    words = ALL.words(tag)
    found = in_order(Browser(port).open(f"/?l={tag}").html)

    first = next(
        place
        for place, (kind, text) in enumerate(found)
        if kind == "link" and not text.startswith("?") and text.partition("?")[0] not in NEUTRAL
    )
    assert re.fullmatch(rf"/(in|find|info)\?l={tag}", found[first][1])
    before = "\n".join(text for kind, text in found[:first] if kind == "text")
    for key in SAFETY:
        assert str(words.t(f"start.{key}").striptags()) in before, key


def test_who_lost_her_card_is_promised_nothing_that_nobody_does(port: int) -> None:
    """No method replaces a card: she is told what can be done for her, and by whom."""
    text = Browser(port).open("/in").text
    _, lost = text.split("I lost my card")

    assert "They can stop sharing for you." in lost
    assert "A worker can stop sharing for you on the phone." in lost
    assert PHONE in lost
    assert "new" not in lost.split(PHONE)[0].lower().split()

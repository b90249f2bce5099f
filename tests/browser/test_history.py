"""What a device keeps once she has left: the browser's own history, and its other files.

In a profile that lies on the disk, as a phone's does. What the browser lists is read from its own
page, ``chrome://history``, and from its database: a visit is listed where it ends a chain of
redirects, and a page that another one replaced by script does not end one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.checks import BANNED
from tests.browser.tour import STOP_ONE
from tests.browser.walk import LEAVE, Walk
from tests.harness.browser import Browsers
from tests.harness.portal import NUMBER, Portal, Shares, without_exit

pytestmark = pytest.mark.slow  # a browser's own database after each way out

WORD: Final = "localhost"
"""A word of the portal's address, for which somebody searches."""
OTHER: Final = f"/{WORD}-news"
"""A page of somebody else with that word in its address: searching finds something."""
CHAIN_END: Final = 0x20000000
"""Chromium's ``PAGE_TRANSITION_CHAIN_END``."""
LISTED: Final = """SELECT urls.url, urls.title FROM visits JOIN urls ON urls.id = visits.url
    WHERE visits.transition & ? AND NOT urls.hidden ORDER BY visits.id"""
KEPT: Final = "SELECT url, title, hidden FROM urls"
WAY: Final = ("/", "/in", "/home", "/list", "/list/{n}/stopped")
"""Her journey, as routes write it."""


@dataclass(frozen=True, slots=True)
class Device:
    """A browser's profile on the disk; ``make`` opens it as her tab, for a block."""

    folder: Path
    chromium: Browsers
    portal: Portal

    @contextmanager
    def opened(self, *, javascript: bool = True) -> Iterator[Walk]:
        with self.chromium.kept(self.folder, javascript=javascript) as context:
            yield Walk(self.portal, context, None, javascript)

    def history(self) -> list[tuple[str, str]]:
        """What the browser's database says is listed: addresses and titles, in order."""
        return [(str(url), str(title)) for url, title in self._rows(LISTED, CHAIN_END)]

    def listed(self) -> list[str]:
        """The portal's listed pages by path, as routes write them."""
        ours = (urlsplit(url) for url, _ in self.history() if url.startswith(self.portal.url))
        return [NUMBER.sub("{n}", parts.path) for parts in ours]

    def kept(self) -> list[tuple[str, str, int]]:
        """Every row of the portal's that is still in the database, listed or not."""
        rows = self._rows(KEPT)
        return [(u, t, h) for u, t, h in rows if u.startswith(self.portal.url)]

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / "Default" / "History")) as database:
            return list(database.execute(query, values))

    def holds(self, text: str) -> list[str]:
        """Files of the profile in which ``text`` stands, in either of the browser's encodings."""
        needles = (text.encode(), text.encode("utf-16-le"))
        return [
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*")
            if path.is_file() and not path.is_symlink()
            if any(needle in path.read_bytes() for needle in needles)
        ]


Make = Callable[[Portal], Device]


@pytest.fixture
def device(chromium: Browsers, tmp_path: Path) -> Make:
    """A new device, for the pages at a place."""
    return lambda portal: Device(tmp_path / "profile", chromium, portal)


def journey(walk: Walk, shares: Shares, *, shared: bool = True) -> None:
    """A page of the web, start, sign-in, home, list, a stop."""
    walk.page.goto(walk.portal.outside.before)
    walk.sign_in(shares.person, shared=shared)
    walk.click('main a[href="/list"]')
    walk.click(f"{STOP_ONE} >> nth=0")
    assert walk.path.endswith("/stopped")


def leave(walk: Walk, how: str = "press") -> None:
    if how == "press":
        walk.page.click(LEAVE)
    else:
        for _ in range(3):
            walk.page.keyboard.press("Shift")
    walk.page.wait_for_url(walk.portal.exit)
    walk.page.wait_for_load_state()


def listed_by(context: BrowserContext, search: str, until: str) -> list[str]:
    """The addresses that the browser's own page of its history lists, once ``until`` is there."""
    page = context.new_page()
    page.goto(f"chrome://history/{search}")
    page.wait_for_selector(f'history-item a[href="{until}"]')
    found: list[str] = page.locator("history-item").evaluate_all(
        "items => items.map(item => item.shadowRoot.querySelector('a[href]').href)"
    )
    page.close()
    return found


def neutral(device: Device, shares: Shares, *, shared: bool = True) -> None:
    """Whatever rows and files stay name neither what the pages are about nor whose they are; only
    where she said that nobody else uses the device may the browser keep what she typed."""
    for url, title, _ in device.kept():
        assert not BANNED.search(url.removeprefix(device.portal.url)), url
        assert not BANNED.search(title), title
    for text in ("Lantern Law Centre", shares.person.card)[: 2 if shared else 1]:
        assert device.holds(text) == [], text


@pytest.mark.parametrize("how", ["press", "shift"])
def test_with_script_the_browsers_history_lists_no_page_of_hers(
    device: Make, portal: Portal, how: str
) -> None:
    shares, outside = portal.sharing(), portal.outside
    outside.pages[OTHER] = "<p>news"
    mine = device(portal)
    with mine.opened() as walk:
        walk.page.goto(outside.url + OTHER)
        journey(walk, shares)
        leave(walk, how)
        # What somebody sees who looks there, and who searches there for her address.
        whole = listed_by(walk.context, "", outside.after)
        assert whole == [outside.after, outside.before, outside.url + OTHER]
        assert listed_by(walk.context, f"?q={WORD}", outside.url + OTHER) == [outside.url + OTHER]
    listed = [url for url, _ in mine.history() if not url.startswith("chrome:")]
    assert listed == [*reversed(whole)], "the database says what the page says"
    # It is not gone: whoever reads the file itself finds addresses, which say nothing more.
    paths = {NUMBER.sub("{n}", urlsplit(url).path) for url, _, _ in mine.kept()}
    assert paths == {*WAY, "/x"}
    neutral(mine, shares)


def test_where_no_exit_is_set_the_clock_stays_in_the_history(
    device: Make, portal: Portal, tmp_path: Path
) -> None:
    shares = portal.sharing()
    with without_exit(portal, tmp_path / "clock") as clock:
        mine = device(clock)
        with mine.opened() as walk:
            journey(walk, shares)
            leave(walk)
    assert mine.listed() == ["/bye"]
    assert mine.history()[-1][1] == "Clock"
    neutral(mine, shares)


def test_who_closes_the_tab_leaves_its_last_page_in_the_history(
    device: Make, portal: Portal
) -> None:
    shares = portal.sharing()
    mine = device(portal)
    with mine.opened() as walk:
        journey(walk, shares)
        walk.page.close()
    assert mine.listed() == [WAY[-1]]
    neutral(mine, shares)


@pytest.mark.parametrize(
    ("javascript", "shared", "stays"),
    [
        pytest.param(False, True, [*WAY], id="no script"),
        pytest.param(True, False, ["/home", "/list"], id="only me"),
    ],
)
def test_else_pages_of_hers_stay_in_the_history(
    device: Make, portal: Portal, javascript: bool, shared: bool, stays: list[str]
) -> None:
    """As the pages say: without script, and, but for those before the sign-in and the last one,
    on a device that she says is hers alone."""
    shares = portal.sharing()
    mine = device(portal)
    with mine.opened(javascript=javascript) as walk:
        journey(walk, shares, shared=shared)
        leave(walk)
    assert mine.listed() == stays
    neutral(mine, shares, shared=shared)

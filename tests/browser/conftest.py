"""One world, one portal and one browser for all tests of this folder.

The browser ends with the folder: while it runs, this thread counts as one with an event loop, and
tests elsewhere run loops of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.walk import Walk
from tests.harness.browser import Browsers, browsers, program
from tests.harness.portal import Outside, Portal, Seated, beside, outside
from tests.harness.world import World

Walker = Callable[..., Walk]


@pytest.fixture(scope="session")
def away() -> Iterator[Outside]:
    """The rest of the web: where she came from, and where Leave takes her."""
    program()
    with outside() as found:
        yield found


@pytest.fixture(scope="session")
def portal(world: World, away: Outside) -> Portal:
    """Her pages in front of the shared world."""
    return beside(world, away)


@pytest.fixture(scope="package")
def chromium(portal: Portal) -> Iterator[Browsers]:
    with browsers(program()) as found:
        yield found


@pytest.fixture
def walker(chromium: Browsers, portal: Portal) -> Iterator[Walker]:
    """Makes walks: ``walker(seated, javascript=True, bfcache=False, at=portal, **options)``, each
    with a profile of its own."""
    with ExitStack() as undo:

        def make(
            seated: Seated | None = None,
            *,
            javascript: bool = True,
            bfcache: bool = False,
            at: Portal | None = None,
            **options: Any,
        ) -> Walk:
            context: BrowserContext = undo.enter_context(
                chromium.context(javascript=javascript, bfcache=bfcache, **options)
            )
            return Walk(at or portal, context, seated, javascript)

        yield make

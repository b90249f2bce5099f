"""A real browser for the tests of her pages: Debian's Chromium, headless.

``SAFEHAND_CHROMIUM`` names the program, else ``chromium`` is looked up. Where there is none its
tests are skipped and say what to install; with ``SAFEHAND_REQUIRE_BROWSER=1`` that is an error.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, sync_playwright

PROGRAM: Final = "SAFEHAND_CHROMIUM"
REQUIRED: Final = "SAFEHAND_REQUIRE_BROWSER"
MISSING: Final = (
    f"no Chromium: apt-get install chromium, or name one with {PROGRAM}=/path/to/chromium"
)
ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Tests run as root and offline: nothing of the browser's own may be on the wire."""
NO_BFCACHE: Final = "--disable-back-forward-cache"
"""What Playwright always asks for, and what no real browser does."""
TIMEOUT_MS: Final = 20_000
"""Bounds a hang, on a machine that others load too; it measures nothing."""


def located() -> str:
    """The path of Chromium; "" where there is none."""
    found = os.environ.get(PROGRAM) or shutil.which("chromium") or ""
    return found if os.access(found, os.X_OK) else ""


def program() -> str:
    """The path of Chromium; skips the test, or fails it where a browser is required."""
    found = located()
    if found:
        return found
    if os.environ.get(REQUIRED):
        pytest.fail(MISSING)
    pytest.skip(MISSING)


@dataclass
class Browsers:
    """Chromium with and without its back-forward cache, each started when it is first asked for."""

    playwright: Playwright
    executable: str
    _running: dict[bool, Browser] = field(default_factory=dict)

    @contextmanager
    def context(
        self, *, javascript: bool = True, bfcache: bool = False, **options: Any
    ) -> Iterator[BrowserContext]:
        """A profile of its own, as a fresh phone; ``options`` are Playwright's."""
        made = self._browser(bfcache).new_context(java_script_enabled=javascript, **options)
        made.set_default_timeout(TIMEOUT_MS)
        try:
            yield made
        finally:
            made.close()

    @contextmanager
    def kept(self, folder: Path, *, javascript: bool = True) -> Iterator[BrowserContext]:
        """A profile that lies in ``folder`` and stays there, as on a device: with a history, and
        with the back-forward cache. All is written once the block has ended."""
        made = self.playwright.chromium.launch_persistent_context(
            folder,
            executable_path=self.executable,
            args=[*ARGUMENTS],
            ignore_default_args=[NO_BFCACHE],
            java_script_enabled=javascript,
        )
        made.set_default_timeout(TIMEOUT_MS)
        try:
            yield made
        finally:
            made.close()

    def _browser(self, bfcache: bool) -> Browser:
        if bfcache not in self._running:
            self._running[bfcache] = self.playwright.chromium.launch(
                executable_path=self.executable,
                args=[*ARGUMENTS],
                ignore_default_args=[NO_BFCACHE] if bfcache else None,
            )
        return self._running[bfcache]

    def close(self) -> None:
        for browser in self._running.values():
            browser.close()


@contextmanager
def browsers(executable: str) -> Iterator[Browsers]:
    """All browsers end with the block. Inside it this thread counts as one that runs an event loop,
    so it must not last longer than the tests that need it."""
    with sync_playwright() as playwright:
        made = Browsers(playwright, executable)
        try:
            yield made
        finally:
            made.close()

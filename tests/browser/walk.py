"""A browser tab at her pages, and what a test does there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Response

from tests.harness.portal import COOKIE, Portal, Seated
from tests.harness.world import Person

LEAVE: Final = ".away a.leave"
BACK_MS: Final = 1500
"""How long a step back may take to show something: where there is nothing behind, nothing comes."""


@dataclass
class Walk:
    """One tab. ``seated``: who is signed in; her cookie is put into the browser."""

    portal: Portal
    context: BrowserContext
    seated: Seated | None = None
    javascript: bool = True
    page: Page = field(init=False)
    asked: list[str] = field(default_factory=list)
    """Every address that this tab asked for."""
    answered: list[Response] = field(default_factory=list)
    """Every answer that came to this tab."""
    wrong: list[str] = field(default_factory=list)
    """What the page complained of in its console, and scripts that failed."""

    def __post_init__(self) -> None:
        if self.seated is not None:
            self.sit(self.seated)
        self.page = self.tab()

    def tab(self) -> Page:
        page = self.context.new_page()
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("response", lambda answer: self.answered.append(answer))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", self._said)
        return page

    def _said(self, line: ConsoleMessage) -> None:
        if line.type == "error":
            self.wrong.append(line.text)

    def sit(self, seated: Seated) -> None:
        """Put her session into the browser, as the sign-in does."""
        self.context.add_cookies(
            [
                {
                    "name": COOKIE,
                    "value": seated.cookie,
                    "domain": "localhost",
                    "path": "/",
                    "secure": True,
                    "httpOnly": True,
                    "sameSite": "Lax",
                }
            ]
        )

    def url(self, path: str) -> str:
        return self.portal.url + path

    def go(self, path: str, **options: Any) -> Response:
        answer = self.page.goto(self.url(path), **options)
        assert answer is not None
        return answer

    def click(self, selector: str) -> None:
        """Press, and wait for the page that comes, however it comes: by a link, by a form, or put
        by our own script into the place of the one that is shown."""
        if not self.javascript:
            with self.page.expect_navigation():
                self.page.click(selector)
            return
        with self.another():
            self.page.click(selector)

    @contextmanager
    def another(self) -> Iterator[None]:
        """What happens in the block brings another page, or another content of this one."""
        self.page.evaluate("document.body.dataset.before = '1'")
        yield
        # By a selector: a condition in words would be compiled, which our headers forbid.
        self.page.wait_for_selector("body:not([data-before])", state="attached")
        self.page.wait_for_load_state()

    def sign_in(self, person: Person, *, shared: bool = True) -> None:
        """By the form, from the start page. ``shared``: somebody else uses this device too."""
        self.go("/")
        self.click('main a[href^="/in"]')
        if not shared:
            self.page.check("input[name=shared][value=no]")
        self.fill_in(person.card, person.pin)

    def fill_in(self, card: str, pin: str) -> None:
        self.page.fill("input[name=card]", card)
        self.page.fill("input[name=pin]", pin)
        self.click("main form button[type=submit]:not(.quiet)")

    @property
    def path(self) -> str:
        return self.page.url.removeprefix(self.portal.url)

    @property
    def text(self) -> str:
        return self.page.inner_text("body")

    def storage(self) -> dict[str, Any]:
        """Everything that the browser keeps for this page's origin, but for its cookies."""
        found: dict[str, Any] = self.page.evaluate(
            """async () => ({
              local: {...localStorage}, session: {...sessionStorage},
              databases: (await indexedDB.databases()).map(d => d.name),
              caches: await caches.keys(),
              workers: (await navigator.serviceWorker.getRegistrations()).length,
              cookies: document.cookie,
            })"""
        )
        return found


NOTHING_KEPT: Final = {
    "local": {},
    "session": {},
    "databases": [],
    "caches": [],
    "workers": 0,
    "cookies": "",
}

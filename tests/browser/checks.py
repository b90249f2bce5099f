"""What has to hold on every page, whatever is on it. Each check says what is wrong there."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any, Final

from playwright.sync_api import Response, ViewportSize

from tests.browser.walk import NOTHING_KEPT, Walk
from tests.harness.portal import COOKIE

AXE: Final = (resources.files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
TAGS: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
SMALL: Final[ViewportSize] = {"width": 320, "height": 568}
LARGE: Final[ViewportSize] = {"width": 1280, "height": 800}
ZOOMED: Final[ViewportSize] = {"width": 320, "height": 200}
"""A window of 1280 by 800 at 400 per cent."""
TARGET_PX: Final = 44
TABS_MAX: Final = 120
"""Presses of Tab that go through any page."""
TARGETS: Final = "main a.button, main button, .away a, .choice, dialog .button"
SPACING: Final = (
    "* { line-height: 1.5 !important; letter-spacing: 0.12em !important;"
    " word-spacing: 0.16em !important; } p { margin-bottom: 2em !important; }"
)
"""WCAG 1.4.12."""
NEVER_PRINTED: Final = "nav, form, button, a.button, a.skip, dialog, #cover, #seat"
HEADERS: Final = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; font-src 'self'; media-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-robots-tag": "noindex",
    "strict-transport-security": "max-age=",
    "permissions-policy": "camera=()",
}
BANNED: Final = re.compile(
    "abuse|violen|victim|surviv|traffic|shelter|refuge|police|rape|assault|exploit|asylum|immigr|"
    "consent|complain|referr|case|safe|crisis|hotline",
    re.IGNORECASE,
)
PRELOADS: Final = 'link:is([rel~=prefetch],[rel~=prerender],[rel~=preload],[rel~=preconnect],' \
    "[rel~=dns-prefetch],[rel~=manifest])"  # fmt: skip
STATIC: Final = re.compile(r"/s-[0-9a-f]+\.(css|js)|/favicon\.ico")
"""Of nobody, and alike for all: these may be kept."""


def violations(walk: Walk) -> list[str]:
    """What axe finds: WCAG 2.2, A and AA."""
    # Evaluated, as an extension does: a script element is what our headers forbid.
    walk.page.evaluate("scrollTo(0, 0)")  # what the bar covers while she scrolls is not too small
    if not walk.page.evaluate("'axe' in window"):
        walk.page.evaluate(AXE)
    found = walk.page.evaluate(
        "tags => axe.run({runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']})",
        list(TAGS),
    )
    return [
        f"{one['id']}: {node['html'][:160]}: {node.get('failureSummary', '')[:300]}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def overflow(walk: Walk) -> list[str]:
    """What is wider than the window; the page itself first."""
    found: list[str] = walk.page.evaluate(
        """() => {
          const wide = document.documentElement.clientWidth;
          if (document.documentElement.scrollWidth <= wide) return [];
          return ['page ' + document.documentElement.scrollWidth].concat(
            [...document.body.querySelectorAll('*')]
              .filter(e => { const b = e.getBoundingClientRect();
                             return b.width && (b.right > wide + 1 || b.left < -1); })
              .slice(0, 5).map(e => e.outerHTML.slice(0, 120)));
        }"""
    )
    return found


def clipped(walk: Walk) -> list[str]:
    """Elements whose text does not fit into them."""
    found: list[str] = walk.page.evaluate(
        """() => [...document.querySelectorAll('main *, header *, aside *, .away *')]
          .filter(e => getComputedStyle(e).overflow !== 'visible'
                       && !e.closest('.vh') && e.tagName !== 'INPUT'
                       && (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1)
                       && e.clientWidth > 1)
          .map(e => 'clipped ' + e.outerHTML.slice(0, 120))"""
    )
    return found


def spaced(walk: Walk) -> list[str]:
    """What wider spacing hides."""
    # By hand, as an extension does: a style element is what our headers forbid.
    walk.page.evaluate(
        """css => { const sheet = new CSSStyleSheet(); sheet.replaceSync(css);
                    document.adoptedStyleSheets = [sheet]; }""",
        SPACING,
    )
    found = overflow(walk) + clipped(walk)
    walk.page.evaluate("() => { document.adoptedStyleSheets = []; }")
    return [f"with wider spacing: {one}" for one in found]


def out_of_reach(walk: Walk, leave: str, size: ViewportSize) -> list[str]:
    """Where the way out cannot be pressed, wherever she has scrolled to in a window of ``size``."""
    found = []
    for share in (0, 0.5, 1):
        box = walk.page.evaluate(
            """([leave, share]) => {
              window.scrollTo(0, share * document.documentElement.scrollHeight);
              const e = document.querySelector(leave);
              const b = e ? e.getBoundingClientRect() : null;
              const hit = b && document.elementFromPoint(b.x + b.width / 2, b.y + b.height / 2);
              return b && {x: b.x, y: b.y, width: b.width, height: b.height,
                           top: !!hit?.closest(leave)}; }""",
            [leave, share],
        )
        if not (
            box
            and box["top"]
            and box["height"] >= TARGET_PX
            and box["width"] >= TARGET_PX
            and box["y"] >= -1
            and box["y"] + box["height"] <= size["height"] + 1
            and box["x"] >= -1
            and box["x"] + box["width"] <= size["width"] + 1
        ):
            found.append(f"leave at {size['width']} by {size['height']}, {share}: {box}")
    return found


def covered(walk: Walk) -> list[str]:
    """What has the focus and is not to be seen, as Tab goes through the page (WCAG 2.4.11)."""
    # From the first thing on: where it begins else is where the page had put the focus.
    walk.page.evaluate("scrollTo(0, 0); document.querySelector('a.skip')?.focus()")
    found: list[str] = []
    for presses in range(TABS_MAX):
        seen: str | None = walk.page.evaluate(
            """presses => { const e = document.activeElement;
              if (!e || e === document.body || presses && e.matches('a.skip[data-x]')) return null;
              const b = e.getBoundingClientRect();
              if (!b.width || !b.height) return 'hidden ' + e.outerHTML.slice(0, 80);
              const inside = [0.1, 0.5, 0.9].some(part => {
                const hit = document.elementFromPoint(b.left + b.width / 2,
                                                      b.top + b.height * part);
                return hit && (e.contains(hit) || hit.contains(e)
                               || hit.closest('label')?.contains(e)); });
              return inside ? '' : 'covered ' + e.outerHTML.slice(0, 80); }""",
            presses,
        )
        if seen is None:
            return found
        if seen:
            found.append(seen)
        walk.page.keyboard.press("Tab")
    return [*found, f"more than {TABS_MAX} presses of Tab"]


def printed(walk: Walk, header: bool = True) -> list[str]:
    """What paper shows and must not, or does not show: its head is the neutral name alone."""
    walk.page.emulate_media(media="print")
    found: list[str] = walk.page.evaluate(
        """([never, header]) => {
          const name = document.querySelector('header.top .name');
          return [...document.querySelectorAll(never)].filter(e => e.checkVisibility())
            .map(e => 'printed: ' + e.outerHTML.slice(0, 120))
            .concat(!header || name?.checkVisibility() && name.innerText.trim() === 'Home'
                    ? [] : ['printed without its neutral head']); }""",
        [NEVER_PRINTED, header],
    )
    walk.page.emulate_media(media="screen")
    return found


def too_small(walk: Walk) -> list[str]:
    """What is pressed and is too low for a thumb."""
    found: list[str] = walk.page.evaluate(
        """([targets, least]) => [...document.querySelectorAll(targets)]
          .filter(e => e.checkVisibility() && e.getBoundingClientRect().height < least)
          .map(e => 'low: ' + e.outerHTML.slice(0, 120))""",
        [TARGETS, TARGET_PX],
    )
    return found


def told(answers: list[Response]) -> list[str]:
    """Answers of ours whose headers let something be kept, or told."""
    found = []
    for answer in answers:
        if STATIC.search(answer.url):
            continue
        where = f"{answer.request.method} {answer.status} {answer.url}"
        for name, value in HEADERS.items():
            if value not in answer.headers.get(name, ""):
                found.append(f"{where}: {name} is {answer.headers.get(name)}")
        if "server" in answer.headers:
            found.append(f"{where}: names its server")
        if BANNED.search(answer.headers.get("content-disposition", "")):
            found.append(f"{where}: content-disposition")
    return found


def traces(walk: Walk) -> list[str]:
    """What the browser keeps of this page, and what others read over her shoulder."""
    found = []
    kept: dict[str, Any] = walk.storage()
    if kept != NOTHING_KEPT:
        found.append(f"kept: {kept}")
    if walk.page.locator(PRELOADS).count():
        found.append("something is loaded ahead")
    if {cookie["name"] for cookie in walk.context.cookies()} - {COOKIE}:
        found.append(f"cookies: {walk.context.cookies()}")
    metas = walk.page.evaluate(
        "[...document.querySelectorAll('meta[content]')].map(m => m.content)"
    )
    for public in (walk.page.title(), walk.path, *metas):
        if BANNED.search(public):
            found.append(f"in public: {public}")
    return found

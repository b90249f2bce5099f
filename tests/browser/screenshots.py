"""``make screenshots``: every page of hers, in each language, on a phone and on a desk.

From a sandbox of its own that really runs, with TEST people who share something. The pictures
and ``index.html``, a sheet with all of them, are for people to look at: nothing is compared.
"""

from __future__ import annotations

import argparse
import html
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

from tests.browser.rare import RareWorld, rare, serving
from tests.browser.tour import Shown, tour
from tests.browser.walk import Walk
from tests.harness.browser import MISSING, Browsers, browsers, located
from tests.harness.portal import Portal, Seated, beside, outside
from tests.harness.world import running

LANGUAGES: Final = ("en", "es", "ar")
WIDTHS: Final = {360: 740, 1280: 800}
"""Width of the window to its height, in CSS pixels: a small phone, a desk."""
TOGETHER: Final = (
    ("en", "hers-home"),
    ("en", "hers-list"),
    ("es", "hers-seen"),
    ("ar", "stopped"),
)
"""Language and page of ``docs/img/her-pages.png``, which is a copy that a person took."""
OUT: Final = Path("out") / "screenshots"


def taken(found: Browsers, portal: Portal, few: RareWorld, out: Path) -> Iterator[Path]:
    """Take them all; each path as it is written."""
    for language in LANGUAGES:
        with ExitStack() as stack:

            def make(seated: Seated | None = None, at: Portal = portal, **options: Any) -> Walk:
                return Walk(at, stack.enter_context(found.context(**options)), seated)

            number = 0
            for way in (tour(make, portal, language), rare(make, few, language)):
                with closing(way) as pages:
                    for page in pages:
                        yield from _taken(page, f"{number:03d}-{page.name}.png", out / language)
                        number += 1


def _taken(page: Shown, name: str, folder: Path) -> Iterator[Path]:
    """The page that is on the screen, in each width."""
    for width, height in WIDTHS.items():
        file = folder / str(width) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        page.walk.page.set_viewport_size({"width": width, "height": height})
        page.walk.page.evaluate("scrollTo(0, 0)")
        page.walk.page.screenshot(path=file, full_page=not page.window, animations="disabled")
        yield file


def sheet(out: Path) -> None:
    """``index.html``: each page in a row, its languages and widths beside each other."""
    files = sorted(out.rglob("*.png"))
    names = sorted({file.name for file in files})
    rows = []
    for name in names:
        cells = [
            f'<figure><a href="{html.escape(str(file.relative_to(out)))}">'
            f'<img loading="lazy" alt="" src="{html.escape(str(file.relative_to(out)))}"></a>'
            f"<figcaption>{file.parent.parent.name} {file.parent.name}</figcaption></figure>"
            for file in files
            if file.name == name
        ]
        rows.append(f"<h2>{html.escape(name[4:-4])}</h2><div>{''.join(cells)}</div>")
    (out / "index.html").write_text(
        "<!doctype html><meta charset=utf-8><title>Every page</title><style>"
        "body{font:14px system-ui;margin:2rem;background:#eee}div{display:flex;gap:1rem;"
        "overflow-x:auto;align-items:flex-start}figure{margin:0}img{max-height:26rem;"
        "background:#fff;border:1px solid #bbb}</style>" + "".join(rows),
        encoding="utf-8",
    )


def together(found: Browsers, out: Path) -> Path:
    """``together.png``: some of the pages beside each other, as the README shows them."""
    folder = out.absolute()
    pictures = [next((folder / tag / "360").glob(f"???-{name}.png")) for tag, name in TOGETHER]
    frames = "".join(f'<div><img alt="" src="{file.as_uri()}"></div>' for file in pictures)
    page = folder / "together.html"
    page.write_text(
        "<!doctype html><meta charset=utf-8><style>body{margin:0;background:#d9d3c7}"
        "main{display:flex;gap:24px;padding:24px;width:max-content}div{width:360px;height:900px;"
        "overflow:hidden;border-radius:20px;box-shadow:0 4px 18px #0004}img{display:block}"
        f"</style><main>{frames}</main>",
        encoding="utf-8",
    )
    with found.context() as context:
        shown = context.new_page()
        shown.goto(page.as_uri())
        shown.locator("main").screenshot(path=out / "together.png")
    page.unlink()
    return out / "together.png"


def main() -> int:
    """0 when every page was taken, 1 where there is no browser."""
    parser = argparse.ArgumentParser(prog="make screenshots ARGS=...", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help=f"default {OUT}; emptied first")
    out: Path = parser.parse_args().out
    executable = located()
    if not executable:
        print(MISSING, file=sys.stderr)
        return 1
    if out.exists():
        shutil.rmtree(out)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="safehand-")))
        world = stack.enter_context(running(folder / "sandbox"))
        portal = beside(world, stack.enter_context(outside()))
        few = stack.enter_context(serving(folder / "few"))
        found = stack.enter_context(browsers(executable))
        count = sum(1 for _ in taken(found, portal, few, out))
        sheet(out)
        together(found, out)
    print(f"{count} pictures; see {out / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

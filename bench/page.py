"""``python -m bench.page FOLDER``: put what the commands printed into ``docs/performance.md``.

On the page a line ``<!-- output NAME -->`` begins what ``FOLDER/NAME.json`` holds (or ``NAME.txt``,
where there is none), word for word, and ``<!-- end -->`` ends it. What stands between them is
written anew; everything else on the page is a person's. So no figure is ever copied by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parent.parent / "docs" / "performance.md"
BLOCK: Final = re.compile(r"(<!-- output ([a-z0-9-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    """0 when every block has its file; 1 when some were left as they are, which it names."""
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    parser.add_argument("folder", type=Path, help="holds the files of --json, or text")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    text, missing = filled(options.page.read_text(encoding="utf-8"), options.folder)
    options.page.write_text(text, encoding="utf-8")
    for name in missing:
        print(f"{name}: no such file; left as it is", file=sys.stderr)
    return 1 if missing else 0


def filled(text: str, folder: Path) -> tuple[str, list[str]]:
    """``text`` with the outputs of ``folder``, and the names for which there was none."""
    missing: list[str] = []

    def block(match: re.Match[str]) -> str:
        output = _output(folder, match[2])
        if output is None:
            missing.append(match[2])
            return match[0]
        return f"{match[1]}```text\n{output.rstrip()}\n```\n{match[3]}"

    return BLOCK.sub(block, text), missing


def _output(folder: Path, name: str) -> str | None:
    figures, text = folder / f"{name}.json", folder / f"{name}.txt"
    if figures.exists():
        return str(json.loads(figures.read_text(encoding="utf-8"))["output"])
    return text.read_text(encoding="utf-8") if text.exists() else None


if __name__ == "__main__":
    sys.exit(main())

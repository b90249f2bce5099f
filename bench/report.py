"""What a command of ours prints, kept word for word so that a page can show it.

``docs/performance.md`` holds no figure that a person typed: ``bench.page`` puts the ``output`` of
these files there.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any, Final

WIDTH: Final = 10
"""Characters of a name at the left edge."""


class Report:
    """Prints lines, and keeps them. ``command`` is how to get the same again."""

    def __init__(self, command: str, *, say: bool = True) -> None:
        self._lines: list[str] = []
        self._say = say
        self.command = command
        self.line(f"$ {command}")
        self.named("machine", machine())
        self.named("begun", f"{_now()}, load {load()}")

    @property
    def output(self) -> str:
        """Everything that was printed."""
        return "\n".join(self._lines) + "\n"

    def line(self, text: str = "") -> None:
        self._lines.extend(text.split("\n"))
        if self._say:
            print(text, flush=True)

    def named(self, name: str, value: str) -> None:
        self.line(f"{name:<{WIDTH}} {value}")

    def table(self, rows: list[list[str]]) -> None:
        """Rows in columns, the first of them a heading; numbers stand at the right."""
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for number, row in enumerate(rows):
            cells = [
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            self.line("  ".join(cells).rstrip())
            if number == 0:
                self.line("-" * (sum(widths) + 2 * (len(widths) - 1)))

    def end(self) -> None:
        """The last line: how busy the machine was."""
        self.named("ended", f"{_now()}, load {load()}")

    def write(self, path: Path | None, data: dict[str, Any]) -> None:
        """Keep the lines and ``data`` in the file ``path``, whole or not at all."""
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        found = {"command": self.command, "output": self.output, "data": data}
        fresh.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        fresh.replace(path)


def command_of(module: str) -> str:
    """``module`` with the arguments of this process, but for those that say where files go."""
    given, kept, places = iter(sys.argv[1:]), [], {"--json", "--dir"}
    for argument in given:
        if argument in places:
            next(given, None)
        elif argument.partition("=")[0] not in places:
            kept.append(argument)
    return " ".join(["python -m", module, *kept])


def machine() -> str:
    cpus = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{cpus} CPUs, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def load() -> str:
    """The load averages of one and of five minutes."""
    one, five, _ = os.getloadavg()
    return f"{one:.1f} (1 min), {five:.1f} (5 min)"


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())

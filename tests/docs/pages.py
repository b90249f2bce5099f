"""The pages for people, and what is in them: code blocks, links, headings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.shared_data import REPO

LANGUAGES: Final = ("sh", "python", "toml", "text")
"""Every block says which it is; a ``text`` block is output, or is never run."""

_FENCE: Final = re.compile(r"^```(\S*)[ ]?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fence:
    """One code block. ``line`` is its first line; ``after`` is the text up to the next block."""

    language: str
    info: str
    code: str
    line: int
    after: str


def pages() -> list[Path]:
    """README, CHANGELOG and everything under docs/, by path."""
    return [REPO / "README.md", REPO / "CHANGELOG.md", *sorted((REPO / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    return page.relative_to(REPO).as_posix()


def fences(page: Path) -> list[Fence]:
    text = page.read_text("utf-8")
    found = list(_FENCE.finditer(text))
    ends = [*(match.start() for match in found), len(text)][1:]
    return [
        Fence(m[1], m[2], m[3], text.count("\n", 0, m.start()) + 1, text[m.end() : end])
        for m, end in zip(found, ends, strict=True)
    ]


def links(page: Path) -> list[str]:
    return _LINK.findall(_FENCE.sub("", page.read_text("utf-8")))


def anchors(page: Path) -> list[str]:
    """The anchors of the headings, as GitHub makes them."""
    seen: dict[str, int] = {}
    out = []
    for heading in _HEADING.findall(_FENCE.sub("", page.read_text("utf-8"))):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        number = seen.get(slug, 0)
        seen[slug] = number + 1
        out.append(f"{slug}-{number}" if number else slug)
    return out

"""Write the generated parts of docs/: ``python docs/build.py`` (``make docs``), or ``--check``.

A generated part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``; the rest of a
page is written by hand. To generate another part, add a row to ``PARTS``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from safehand_core import words

HERE = Path(__file__).resolve().parent


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def code_words() -> str:
    """The closed lists of section 6 of formats.md."""

    def quoted(items: Iterable[str]) -> str:
        return ", ".join(f"`{item}`" for item in items)

    def listed(items: dict[str, str]) -> list[tuple[str, ...]]:
        return [(f"`{code}`", text) for code, text in items.items()]

    def span(seconds: int) -> str:
        hours = seconds // 3600
        return f"{hours} h" if hours <= 72 else f"{hours // 24} days"

    urgency = [(f"`{code}`", span(seconds)) for code, seconds in words.URGENCY_ANSWER_S.items()]
    return "\n".join(
        (
            table(("category", "as she reads it"), listed(words.CATEGORIES)),
            table(("purpose", "as she reads it"), listed(words.PURPOSES)),
            table(("urgency", "to be answered within"), urgency),
            table(("decline reason", "as she reads it"), listed(words.DECLINE_REASONS)),
            f"Stages: {quoted(words.STAGES)}.\n",
            f"`given_how`: {quoted(words.CONSENT_GIVEN_HOW)}.\n",
            f"`present`: {quoted(words.CONSENT_PRESENT)}.\n",
        )
    )


PARTS: dict[tuple[str, str], Callable[[], str]] = {
    # (page, name of the part): what writes it
    ("formats.md", "words"): code_words,
}


def rendered(page: str) -> str:
    """The text of ``page`` with its generated parts written anew."""
    text = (HERE / page).read_text("utf-8")
    for (where, name), write in PARTS.items():
        if where != page:
            continue
        pattern = rf"(<!-- generated: {name} -->\n).*?(<!-- end -->\n)"
        text, count = re.subn(
            pattern,
            lambda found, write=write: f"{found[1]}{write()}{found[2]}",  # type: ignore[misc]
            text,
            flags=re.DOTALL,
        )
        if count != 1:
            raise SystemExit(f"{page} has {count} places for the generated part {name}")
    return text


def stale() -> list[str]:
    """The pages whose generated parts are not up to date."""
    pages = sorted({page for page, _ in PARTS})
    return [page for page in pages if rendered(page) != (HERE / page).read_text("utf-8")]


def main(arguments: list[str]) -> int:
    old = stale()
    if "--check" not in arguments:
        for page in old:
            (HERE / page).write_text(rendered(page), "utf-8")
        return 0
    for page in old:
        print(f"docs/{page} is not up to date: run make docs", file=sys.stderr)
    return 1 if old else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

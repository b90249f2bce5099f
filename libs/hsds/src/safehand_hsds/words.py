"""Text as words: how names of needs, areas and situations are compared."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
MAX_WORDS = 16
"""Words of one query that count; nobody types more, and each costs a scan."""


def split(text: str) -> tuple[str, ...]:
    """The words of ``text``: letters and digits, case folded, without accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return tuple(_WORD.findall("".join(c for c in plain if not unicodedata.combining(c))))


def padded(text: str) -> str:
    """`` word word word `` with a blank at both ends, so that `` word`` finds a word's start."""
    return f" {' '.join(split(text))} "


def query(text: str) -> tuple[str, ...]:
    """The words to look for, in order, each once."""
    return tuple(dict.fromkeys(split(text)))[:MAX_WORDS]


_AREA_FILLER = frozenset(("county", "of", "the", "all"))


def area_words(text: str) -> tuple[str, ...]:
    """The words that tell one area from another: "Broward County" and "broward" are one."""
    words = query(text)
    return tuple(w for w in words if w not in _AREA_FILLER) or words

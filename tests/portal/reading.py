"""How hard an English text is to read: Flesch-Kincaid, with a syllable counter of its own.

0.39 x words per sentence + 11.8 x syllables per word - 15.59. A package that does it needs a word
list from the network; the few rules below are right for nearly every word that her pages use.
"""

from __future__ import annotations

import re
from typing import Final

GRADE_MAX: Final = 5.0
"""What a child of ten reads. She may read in a language that she still learns, and in fear."""

WORDS_MAX: Final = 16
"""Words in one sentence."""

WORDS_TO_GRADE: Final = 9
"""Fewer words have no grade: one long word alone would make a label of two words unreadable."""

SYLLABLES_MAX: Final = 4
"""Of one word, where a text is too short for a grade."""

_FEW: Final = {
    "anyone": 3,
    "area": 3,
    "everyone": 3,
    "people": 2,
    "someone": 2,
    "something": 2,
    "sometimes": 2,
}


def words(text: str) -> list[str]:
    """Words of ``text``; a number is one word."""
    return re.findall(r"[A-Za-z][A-Za-z'’]*|\d[\d:.,/-]*", text)


def sentences(text: str) -> list[str]:
    """Sentences of ``text``; a colon, and a line of its own, ends one too."""
    return [part for part in re.split(r"[.!?:]+(?:\s+|$)|\n", text) if words(part)]


def syllables(word: str) -> int:
    """Syllables of an English word: groups of vowels, less the silent ones."""
    word = re.sub(r"'s$|’s$", "", word.lower())
    if word in _FEW:
        return _FEW[word]
    silent = re.search(r"[^aeiouyl]e$|[^aeiouylcghsxz]es$|[^aeiouytd]ed$|[aeiouyrw]les?$", word)
    groups = len(re.findall(r"[aeiouy]+", word)) + len(re.findall(r"i[ao]|[^q]u[ao]|eo", word))
    groups -= len(re.findall(r"[ct]io|[cst]ia", word)) + (1 if silent else 0)
    return max(groups, 1)


def grade(text: str) -> float:
    """The school grade at which a child reads ``text``."""
    found = words(text)
    per_sentence = len(found) / max(len(sentences(text)), 1)
    per_word = sum(map(syllables, found)) / max(len(found), 1)
    return 0.39 * per_sentence + 11.8 * per_word - 15.59

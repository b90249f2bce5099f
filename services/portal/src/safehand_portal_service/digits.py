"""Digits as people type them, and as their language writes them.

She may type her card and PIN with the digits of any script. Everything behind this module sees
ASCII digits alone. What is shown follows the language, but a code or a phone number never does:
it must look as it does on the card.
"""

from __future__ import annotations

import unicodedata
from typing import Final

ASCII: Final = "0123456789"

_ZERO: Final = {
    # CLDR's name of a numbering system: its digit zero; the other nine follow it
    "arab": 0x0660,
    "arabext": 0x06F0,
    "beng": 0x09E6,
    "deva": 0x0966,
    "gujr": 0x0AE6,
    "guru": 0x0A66,
    "khmr": 0x17E0,
    "knda": 0x0CE6,
    "laoo": 0x0ED0,
    "latn": 0x0030,
    "mlym": 0x0D66,
    "mymr": 0x1040,
    "orya": 0x0B66,
    "tamldec": 0x0BE6,
    "telu": 0x0C66,
    "thai": 0x0E50,
    "tibt": 0x0F20,
}

_DROPPED: Final = frozenset({"Zs", "Zl", "Zp", "Pd", "Cf"})
"""Unicode categories that carry nothing in a number: spaces (NBSP is one), dashes, and format
characters (bidi marks, zero-width joiners, soft hyphens), which a paste brings along unseen."""

_DROPPED_TOO: Final = frozenset("\t\n\r\v\f\u2212")
"""Control white space, and the minus sign, which is no dash to Unicode."""


def plain(text: str) -> str:
    """``text`` with the digits of every script as ASCII digits, without spaces, dashes and marks.

    Anything else stays, so that the caller's own check refuses it: "12a4" never becomes "124".
    """
    out = []
    for char in text:
        digit = unicodedata.decimal(char, None)
        if digit is not None:
            out.append(ASCII[digit])
        elif unicodedata.category(char) not in _DROPPED and char not in _DROPPED_TOO:
            out.append(char)
    return "".join(out)


def shaped(text: str, system: str) -> str:
    """``text`` with its ASCII digits written in CLDR's numbering system ``system``.

    An unknown system leaves ASCII digits, which everybody who reads a phone can read.
    """
    zero = _ZERO.get(system, _ZERO["latn"])
    if zero == _ZERO["latn"]:
        return text
    return text.translate({ord(char): zero + value for value, char in enumerate(ASCII)})

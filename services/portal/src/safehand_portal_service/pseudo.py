"""The pseudo-locale ``xx``: English with accents, longer by two fifths, in brackets.

It shows what no translation is needed for: a text that stands in a template (it has no brackets),
one that is cut off (its end is missing) and one that has no room to grow.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from babel import Locale

from safehand_portal_service.catalogue import Catalogue, Entry, parts

TAG: Final = "xx"

LONGER: Final = 0.4
"""How much longer than English a text becomes; German and Somali need about that much."""

_ACCENTED: Final = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "áƀčďéƒǧȟíǰķľɱñóƥɋŕšťúṽẁẋýžÁɃČĎÉƑǦȞÍɈĶĽṀÑÓƤɊŔŠŤÚṼẀẊÝŽ",
)
_PAD: Final = "~ "


def made(source: Catalogue) -> Catalogue:
    """The pseudo-locale of ``source``. Nobody has reviewed any of it."""
    entries = {
        key: Entry(key, tuple(map(_changed, entry.forms)), entry.plural, reviewed=False)
        for key, entry in source.entries.items()
    }
    return Catalogue(TAG, Locale.parse("en"), entries, source.pages, source.plural, source.plurals)


def _changed(text: str) -> str:
    shown = "".join(
        literal.translate(_ACCENTED) + (f"{{{name}}}" if name else "")
        for literal, name in parts(text)
    )
    pad = (_PAD * ceil(len(text) * LONGER))[: ceil(len(text) * LONGER)]
    return f"[{shown} {pad.strip()}]"

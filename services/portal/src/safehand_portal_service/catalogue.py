"""One language's texts, as they lie in its folder of PO files.

A folder under ``locale/`` is a language, its name the BCP 47 tag. Each page is one PO file; a
``msgid`` is a key (``list.stop``, where ``list`` is the page), its ``msgstr`` the text. A text is
plain: no markup, and ``{name}`` stands for a value. Each entry carries one comment that says
whether people have reviewed it::

    # reviewed: no
    # reviewed: 2026-05-02 translator, survivor advocate [9f3c2a1b77d0]

The twelve hex digits stamp the English text and the translation as the two people read them
(``stamp``). When either is edited later, the entry counts as not reviewed again.
"""

from __future__ import annotations

import gettext
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import PoFileError, read_po
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

SOURCE: Final = "en"
"""The language of record: every other one has exactly its keys."""

_KEY: Final = re.compile(r"[a-z]+(\.[A-Za-z0-9_]+)+")
_FIELD: Final = re.compile(r"[a-z][a-z0-9_]*")
_REVIEWED: Final = re.compile(
    r"reviewed: (?:no|(?P<day>\d{4}-\d{2}-\d{2}) (?P<who>[^,\[\]]+, [^,\[\]]+) "
    r"\[(?P<stamp>[0-9a-f]{12})\])"
)

_LINE: Final = re.compile(
    r'(?:#.*|(?:(?:msgid|msgid_plural|msgstr|msgstr\[\d\]) )?"(?:[^"\\]|\\["\\n])*")?'
)
"""A line of a catalogue. Babel's reader takes others too, and loses letters of them."""

Part = tuple[str, str]
"""Literal text, then the name of the value behind it; empty behind the last literal."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One text: its plural forms (one, where it counts nothing), and whether it was reviewed."""

    key: str
    forms: tuple[str, ...]
    plural: bool
    reviewed: bool

    @property
    def fields(self) -> frozenset[str]:
        """The names of its values, over all forms."""
        return frozenset(name for form in self.forms for _, name in parts(form) if name)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One language: ``entries`` by key, ``pages`` in the order of their file names."""

    tag: str
    locale: Locale
    entries: dict[str, Entry]
    pages: tuple[str, ...]
    plural: Callable[[int], int]
    plurals: int

    def unreviewed(self, *pages: str) -> list[str]:
        """The keys that nobody has reviewed, of these pages."""
        chosen = frozenset(pages)
        return [
            key
            for key, entry in self.entries.items()
            if key.split(".", 1)[0] in chosen and not entry.reviewed
        ]


def parts(text: str) -> tuple[Part, ...]:
    """``text`` cut at its values.

    Raises:
        ValueError: a brace that is no ``{name}``.
    """
    found = []
    for literal, name, spec, conversion in Formatter().parse(text):
        if name is not None and (spec or conversion or not _FIELD.fullmatch(name)):
            raise ValueError("a placeholder is {name} alone")
        found.append((literal, name or ""))
    return tuple(found)


def stamp(key: str, source: tuple[str, ...], forms: tuple[str, ...]) -> str:
    """Twelve hex digits over the key, the English forms and the language's own forms."""
    text = "\0".join([key, "", *source, "", *forms])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read(folder: Path, source: Catalogue | None = None) -> Catalogue:
    """Read a language's folder. ``source`` is the English one, and absent for English itself.

    Raises:
        SafehandError: CONFIG_INVALID; metadata names the file or the key, never a text.
    """
    tag = folder.name
    try:
        locale = Locale.parse(tag, sep="-")
    except (UnknownLocaleError, ValueError):
        raise refused("a language folder has no known tag", tag) from None
    entries: dict[str, Entry] = {}
    rules: set[tuple[int, str]] = set()
    files = sorted(folder.glob("*.po"))
    for file in files:
        catalog = _parsed(file, tag)
        rules.add((catalog.num_plurals, catalog.plural_expr))
        for entry in _entries(file.stem, catalog, source):
            entries[entry.key] = entry
    if len(rules) != 1:
        raise refused("the files of a language have no common plural rule", tag)
    count, expression = rules.pop()
    catalogue = Catalogue(
        tag, locale, entries, tuple(f.stem for f in files), gettext.c2py(expression), count
    )
    for key, entry in entries.items():
        if len(entry.forms) != (count if entry.plural else 1) or not all(entry.forms):
            raise refused("a text or a plural form is missing", f"{tag}/{key}")
    if source is not None:
        _same(catalogue, source)
    return catalogue


def refused(detail: str, where: str) -> SafehandError:
    """CONFIG_INVALID with the place."""
    return SafehandError(Reason.CONFIG_INVALID, detail, metadata={"where": where})


def _parsed(file: Path, tag: str) -> Catalog:
    where = f"{tag}/{file.name}"
    text = file.read_text(encoding="utf-8")
    if not all(_LINE.fullmatch(line) for line in text.split("\n")):
        raise refused("a catalogue has a line of another shape", where)
    try:
        with file.open("rb") as lines:
            catalog = read_po(lines, abort_invalid=True)
    except (PoFileError, ValueError):
        raise refused("a catalogue cannot be read", where) from None
    if str(catalog.locale_identifier).replace("_", "-") != tag:
        raise refused("a catalogue's Language is not its folder's", where)
    if "Plural-Forms:" not in text:
        raise refused("a catalogue has no plural rule", where)
    if len(re.findall(r'^msgid "(?!")', text, re.M)) != sum(1 for m in catalog if m.id):
        raise refused("a catalogue has a key twice", where)
    return catalog


def _entries(page: str, catalog: Catalog, source: Catalogue | None) -> Iterator[Entry]:
    for message in catalog:
        if not message.id:
            continue
        plural = isinstance(message.id, (tuple, list))
        key = str(message.id[0] if plural else message.id)
        where = f"{catalog.locale_identifier}/{key}"
        if not _KEY.fullmatch(key) or key.split(".", 1)[0] != page:
            raise refused("a key does not begin with its page", where)
        forms = tuple(message.string or ()) if plural else (str(message.string or ""),)
        try:
            for form in forms:
                parts(form)
        except ValueError:
            raise refused("a placeholder is not {name} alone", where) from None
        english = source.entries.get(key) if source else None
        yield Entry(key, forms, plural, _reviewed(message, key, english, forms, where))


def _reviewed(
    message: Message, key: str, english: Entry | None, forms: tuple[str, ...], where: str
) -> bool:
    lines = [line for line in message.user_comments if line.startswith("reviewed:")]
    found = _REVIEWED.fullmatch(lines[0]) if len(lines) == 1 else None
    if found is None:
        raise refused("an entry does not say whether it was reviewed", where)
    if found["day"] is None or message.fuzzy:
        return False
    return found["stamp"] == stamp(key, english.forms if english else (), forms)


def _same(catalogue: Catalogue, source: Catalogue) -> None:
    """Refuse another set of keys, and values that English does not have or that are lost."""
    for key in source.entries.keys() ^ catalogue.entries.keys():
        raise refused("a key is missing, or is not in English", f"{catalogue.tag}/{key}")
    for key, entry in catalogue.entries.items():
        english = source.entries[key]
        lost = english.fields ^ entry.fields
        # A form for "one" or "two" may say the number in a word.
        if entry.plural != english.plural or lost - ({"count"} if entry.plural else set()):
            raise refused("a text has other values than the English one", f"{catalogue.tag}/{key}")

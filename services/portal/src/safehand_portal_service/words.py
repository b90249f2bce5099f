"""Texts for her pages: which language, which text, and how a value stands in it.

``Catalogues`` is read once at the start and never changes; ``Words`` is one language of it, and is
what a template is given. A text that nobody has reviewed never stands on a page on which she says
yes, stops, or reads her rights: that whole page is in English then, and says so in English and in
her language (``sensitive``). Any other page that shows such a text is marked (``notice``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.lists import format_list
from markupsafe import Markup, escape
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_portal_service import dates, pseudo
from safehand_portal_service.catalogue import SOURCE, Catalogue, Entry, parts, read, refused

LOCALE: Final = Path(__file__).parent / "locale"
"""The shipped languages."""

SENSITIVE: Final = frozenset({"list", "asked", "info"})
"""Pages on which she says yes, stops, sees what a stop did, or reads her rights."""

CHROME: Final = ("common", "leave")
"""Catalogues that every page shows a part of."""

FAILING: Final = "errors"
"""The catalogue of what is said where a sensitive page failed: held back with it."""

_ACCEPT_MAX: Final = 512
"""Characters of Accept-Language that are read; browsers send far fewer."""

_TAG: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}")
_RANGE: Final = re.compile(
    r"\s*(?P<tag>[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,3})\s*(?:;\s*q=(?P<q>[01](?:\.\d{0,3})?)\s*)?"
)
_ISOLATE: Final = ("\u2068", "\u2069")
"""FIRST STRONG ISOLATE and its end: what ``<bdi>`` is where there is no markup."""

Value = str | int


@dataclass(frozen=True, slots=True)
class Language:
    """A line of the language switcher; ``name`` is in its own script."""

    tag: str
    name: str
    dir: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line in another language than the page around it."""

    lang: str
    dir: str
    text: Markup


class Words:
    """One language for one page.

    Attributes:
        lang: the tag of the texts that are shown.
        dir: ``ltr`` or ``rtl``.
        wanted: the tag that she chose; another than ``lang`` where the page fell back to English.
            Links and forms carry this one.
        hers: where the page fell back, the line that says so and whom to call, in her language.
    """

    __slots__ = ("_all", "_catalogue", "_notice", "_unchecked", "dir", "hers", "lang", "wanted")

    def __init__(
        self,
        all_: Catalogues,
        catalogue: Catalogue,
        wanted: str,
        notice: Markup | None = None,
        hers: Line | None = None,
        unchecked: set[str] | None = None,
    ) -> None:
        self._all = all_
        self._catalogue = catalogue
        self._notice = Markup() if notice is None else notice
        self._unchecked = unchecked
        self.lang = catalogue.tag
        self.dir = str(catalogue.locale.text_direction)
        self.wanted = wanted
        self.hers = hers

    def noting(self, unchecked: set[str]) -> Words:
        """The same, which adds its tag to ``unchecked`` where it gives out a text that nobody has
        reviewed: from whatever catalogue a page takes its words, it is marked."""
        return Words(self._all, self._catalogue, self.wanted, self._notice, self.hers, unchecked)

    @property
    def notice(self) -> Markup:
        """A line that the page shows on top, empty where there is none; to be asked for when the
        rest of the page is made."""
        if self._notice or not self._unchecked or self.lang not in self._unchecked:
            return self._notice
        return self.t("common.unreviewed")

    @property
    def languages(self) -> tuple[Language, ...]:
        """Every language that she can choose."""
        return self._all.languages

    def t(self, key: str, **values: Value) -> Markup:
        """The text of ``key``; each value is escaped and isolated (``<bdi>``).

        Raises:
            KeyError: no such key, or a value is missing.
        """
        return _filled(self._entry(key).forms[0], values, self._catalogue.locale)

    def n(self, key: str, count: int, **values: Value) -> Markup:
        """The text of ``key`` in the plural form of ``count``, which it may show as ``{count}``.

        Raises:
            KeyError: no such key, or a value is missing.
        """
        form = self._entry(key).forms[self._catalogue.plural(abs(count))]
        return _filled(form, {"count": count, **values}, self._catalogue.locale)

    def plain(self, key: str, **values: Value) -> str:
        """As ``t``, without markup: for an attribute or a title. The template escapes it."""
        text = self._entry(key).forms[0]
        return "".join(
            literal + (_bare(values[name], self._catalogue.locale) if name else "")
            for literal, name in _cut(text)
        )

    def has(self, key: str) -> bool:
        """Whether there is such a text. For a code word that another version may know."""
        return key in self._catalogue.entries

    def category(self, code: str) -> Markup:
        """A kind of her information in plain words; an unknown one as it is."""
        return self._code("common.category", code)

    def purpose(self, code: str) -> Markup:
        """What something is for, in plain words; an unknown one as it is."""
        return self._code("common.purpose", code)

    def date(self, seconds: float) -> Markup:
        """A day in words; ``seconds`` since 1970, UTC."""
        return escape(dates.day(seconds, self._catalogue.locale, self._all.zone))

    def time(self, seconds: float) -> Markup:
        """A time of day, to the minute."""
        return escape(dates.time(seconds, self._catalogue.locale, self._all.zone))

    def when(self, seconds: float) -> Markup:
        """Day and time."""
        return self.t("common.when", date=self.date(seconds), time=self.time(seconds))

    def number(self, value: int) -> Markup:
        """A count in her language's own digits. A code never goes through here."""
        return escape(dates.number(value, self._catalogue.locale))

    def phone(self, text: str) -> Markup:
        """A phone number or a code: left to right, its digits as they are."""
        return Markup('<bdi dir="ltr" class="num">') + text + Markup("</bdi>")

    def name(self, text: str) -> Markup:
        """A name that is in no language of ours: escaped and isolated."""
        return _bdi(text)

    def listed(self, items: Iterable[str]) -> Markup:
        """``items`` as a phrase: "a, b and c". A ``Markup`` item stays as it is."""
        shown = [str(item if isinstance(item, Markup) else _bdi(item)) for item in items]
        # CLDR's patterns for a list hold no markup; the items are escaped.
        return Markup(format_list(shown, locale=self._catalogue.locale))  # noqa: S704

    def tongues(self, tags: Iterable[str]) -> list[tuple[str, str]]:
        """``tags`` of any languages with their names in this one, in the order of the names."""
        named = [(tag, self._catalogue.locale.languages.get(tag, tag)) for tag in tags]
        return sorted(named, key=lambda item: unicodedata.normalize("NFKD", item[1].casefold()))

    def tongue(self, name: str) -> str:
        """A language that is named in English, or by its code, in this one; what CLDR does not know
        as one stays as it is."""
        tag = _english_tongues().get(name.casefold(), name.casefold())
        known = self._catalogue.locale.languages.get(tag)
        return name if known is None else escape(known)

    def sensitive(self, page: str) -> Words:
        """What ``page`` may be shown in. Every page calls this, with its catalogue's name.

        A page of ``SENSITIVE`` that holds one text nobody has reviewed is in English as a whole,
        with a notice that says so and whom to call. Where unreviewed texts are allowed (the
        sandbox), and on every other page, it stays in her language and is marked.
        """
        if self._catalogue.tag == SOURCE or not self._all.unreviewed(self._catalogue.tag, page):
            return self
        if page in SENSITIVE and not self._all.allow_unreviewed:
            # The one line that is shown unreviewed: without it she would not know whom to call.
            english, own = self._all.words(SOURCE), self._all.words(self.lang)
            name = own.t("common.language_name")
            return Words(
                self._all,
                self._all.catalogue(SOURCE),
                self.wanted,
                english._instead(name),
                Line(own.lang, own.dir, own._instead(name)),
            )
        marked = self.t("common.unreviewed")
        return Words(self._all, self._catalogue, self.wanted, marked, None, self._unchecked)

    def _instead(self, language: Markup) -> Markup:
        name = Markup("<bdi>") + language + Markup("</bdi>")
        if self._all.phone:
            return self.t(
                "common.not_in_language_call", language=name, phone=self.phone(self._all.phone)
            )
        return self.t("common.not_in_language", language=name)

    def _entry(self, key: str) -> Entry:
        entry = self._catalogue.entries[key]
        if self._unchecked is not None and not entry.reviewed and self.lang != SOURCE:
            self._unchecked.add(self.lang)
        return entry

    def _code(self, prefix: str, code: str) -> Markup:
        key = f"{prefix}.{code}"
        return self.t(key) if self.has(key) else _bdi(code)


class Catalogues:
    """Every language, read once."""

    def __init__(
        self,
        catalogues: dict[str, Catalogue],
        *,
        allow_unreviewed: bool,
        zone: ZoneInfo,
        phone: str,
    ) -> None:
        self.allow_unreviewed = allow_unreviewed
        self.zone = zone
        self.phone = phone
        self._catalogues = catalogues
        self._words = {tag: Words(self, c, tag) for tag, c in catalogues.items()}
        self._unreviewed: dict[tuple[str, str], bool] = {}
        self.languages = tuple(
            Language(tag, str(words.t("common.language_name")), words.dir)
            for tag, words in sorted(self._words.items(), key=lambda item: item[0] != SOURCE)
            if tag != pseudo.TAG
        )

    @classmethod
    def load(
        cls,
        folder: Path = LOCALE,
        allow_unreviewed: bool = False,
        *,
        zone: str = "UTC",
        phone: str = "",
    ) -> Catalogues:
        """Read every language under ``folder``.

        ``allow_unreviewed`` is for the sandbox and tests, and offers the pseudo-locale ``xx`` too
        (by its tag, never in the switcher). ``phone`` is whom she can call.

        Raises:
            SafehandError: CONFIG_INVALID; a text, a plural form, a value or a review line is
                missing, or the zone is unknown.
        """
        try:
            at = ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise SafehandError(Reason.CONFIG_INVALID, "no such time zone") from None
        if not (folder / SOURCE).is_dir():
            raise refused("the language of record is missing", SOURCE)
        source = read(folder / SOURCE)
        found = {SOURCE: source}
        for place in sorted(folder.iterdir()):
            if place.is_dir() and place.name != SOURCE and any(place.glob("*.po")):
                found[place.name] = read(place, source)
        if allow_unreviewed:
            found[pseudo.TAG] = pseudo.made(source)
        return cls(found, allow_unreviewed=allow_unreviewed, zone=at, phone=phone)

    def catalogue(self, tag: str) -> Catalogue:
        """One language's texts. Raises ``KeyError`` for an unknown one."""
        return self._catalogues[tag]

    def words(self, tag: str) -> Words:
        """One language. Raises ``KeyError`` for an unknown one."""
        return self._words[tag]

    def known(self, tag: str) -> str:
        """The tag of ours that ``tag`` means ("ar-EG" means "ar"), or empty."""
        if not _TAG.fullmatch(tag):
            return ""
        names = {name.lower(): name for name in self._catalogues}
        subtags = tag.lower().split("-")
        for length in range(len(subtags), 0, -1):
            found = names.get("-".join(subtags[:length]))
            if found:
                return found
        return ""

    def best(self, query: str | None, session: str, accept: str) -> Words:
        """Her session's language; else the link's; else the browser's; else English.

        None of them is believed: what names no language of ours counts for nothing.
        """
        for asked in (session, query or ""):
            tag = self.known(asked)
            if tag:
                return self._words[tag]
        return self._words[self._accepted(accept) or SOURCE]

    def unreviewed(self, tag: str, page: str) -> bool:
        """Whether ``page`` in this language shows a text that nobody has reviewed."""
        known = self._unreviewed.get((tag, page))
        if known is None:
            # A sensitive page may borrow words of another one: they count as one.
            shown = {*SENSITIVE, FAILING} if page in SENSITIVE else {page}
            known = bool(self._catalogues[tag].unreviewed(*shown, *CHROME))
            if page in self._catalogues[tag].pages:
                self._unreviewed[tag, page] = known
        return known

    def _accepted(self, accept: str) -> str:
        best, weight = "", 0.0
        for item in accept[:_ACCEPT_MAX].split(","):
            found = _RANGE.fullmatch(item)
            tag = self.known(found["tag"]) if found else ""
            if not found or not tag or tag == pseudo.TAG:
                continue
            q = min(float(found["q"] or 1), 1.0)
            if q > weight:
                best, weight = tag, q
        return best


@lru_cache(maxsize=1)
def _english_tongues() -> dict[str, str]:
    """CLDR's English names of languages, in small letters, with their codes."""
    return {name.casefold(): tag for tag, name in Locale(SOURCE).languages.items()}


@lru_cache(maxsize=8192)
def _cut(text: str) -> tuple[tuple[str, str], ...]:
    return parts(text)


@lru_cache(maxsize=8192)
def _escaped(text: str) -> tuple[tuple[Markup, str], ...]:
    return tuple((escape(literal), name) for literal, name in parts(text))


def _filled(text: str, values: dict[str, Value], locale: Locale) -> Markup:
    shown = Markup()
    for literal, name in _escaped(text):
        shown += literal
        if name:
            shown += _isolated(values[name], locale)
    return shown


def _isolated(value: Value, locale: Locale) -> Markup:
    if isinstance(value, Markup):
        return value
    if isinstance(value, int):
        return escape(dates.number(value, locale))
    return _bdi(value)


def _bare(value: Value, locale: Locale) -> str:
    if isinstance(value, int):
        return dates.number(value, locale)
    text = value.striptags() if isinstance(value, Markup) else value
    return text.join(_ISOLATE)


def _bdi(text: str) -> Markup:
    return Markup("<bdi>") + text + Markup("</bdi>")

"""Days and times in words: weekday, day, month, year, in her language and the portal's zone.

A date in digits alone reads as two different days in two countries. A weekday is what people
remember. No countdown and no "3 days ago": they are wrong as soon as the page stands open.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time

from safehand_portal_service import digits


def day(seconds: float, locale: Locale, zone: ZoneInfo) -> str:
    """The day of ``seconds`` (since 1970, UTC): "Sunday, November 22, 2026"."""
    at = datetime.fromtimestamp(seconds, zone)
    return _shaped(format_date(at.date(), format="full", locale=locale), locale)


def time(seconds: float, locale: Locale, zone: ZoneInfo) -> str:
    """The time of day, to the minute: "10:20 AM"."""
    at = datetime.fromtimestamp(seconds, zone)
    return _shaped(format_time(at.time(), format="short", locale=locale), locale)


def number(value: int, locale: Locale) -> str:
    """A small count in her language's own digits, without separators."""
    return _shaped(str(value), locale)


def _shaped(text: str, locale: Locale) -> str:
    return digits.shaped(text, locale.default_numbering_system)

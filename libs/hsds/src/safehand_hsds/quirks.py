"""What real directories write, and what is made of it. Pure functions on single values."""

from __future__ import annotations

import datetime
import html
import re
from typing import Final

from safehand_hsds.records import AddressLevel
from safehand_hsds.states import code_of

NO_MAXIMUM_AGE: Final = 120
"""Years. Directories write 200 or 999 for "no upper limit"; nobody served is that old."""
YEARS: Final = (1000, 2200)
"""First and last plausible year of incorporation."""
PLACEHOLDERS: Final = frozenset(("n/a", "none", "null", "-", "tbd"))

_MARKUP = re.compile(r"</?[A-Za-z][^<>]{0,500}>")
_ENTITY = re.compile(r"&#?[A-Za-z0-9]{1,31};")
_STATE_ONLY = re.compile(r"(?:state\s*:)?\s*([a-z][a-z ]*?)\s*,?\s*(?:usa?)?\s*", re.IGNORECASE)
_TAIL = re.compile(r",?\s*\b[A-Za-z]{2}\s+\d{5}(?:-\d{4})?\s*$")
_DAY = re.compile(r"\d{4}-\d\d-\d\d(?:$|[T ])", re.ASCII)
_WEB = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)


def without_markup(text: str) -> str:
    """``text`` without HTML tags and entities (HSDS allows them in descriptions)."""
    if "<" not in text and "&" not in text:
        return text
    plain = _ENTITY.sub(lambda m: html.unescape(m.group()), _MARKUP.sub("", text))
    return text if plain == text else plain.strip()


def without_placeholder(text: str) -> str:
    """``text``, or "" where it only says that there is nothing."""
    return "" if text.casefold() in PLACEHOLDERS else text


def age_limits(minimum: int | None, maximum: int | None) -> tuple[int | None, int | None]:
    """The real limits: a minimum of 0 and a maximum of 120 and more are none."""
    low = None if minimum == 0 else minimum
    high = None if maximum is not None and maximum >= NO_MAXIMUM_AGE else maximum
    return low, high


def plausible_year(year: int) -> int | None:
    return year if YEARS[0] <= year <= YEARS[1] else None


def day(text: str) -> str:
    """The day of an ISO 8601 date or date-time as YYYY-MM-DD, "" where it is none."""
    try:
        return datetime.date.fromisoformat(text[:10]).isoformat() if _DAY.match(text) else ""
    except ValueError:
        return ""


def situations(text: str) -> tuple[str, ...]:
    """An eligibility text as its situations, split at ``;``, blanks tidied, each once."""
    items = (" ".join(item.split()) for item in text.split(";"))
    return tuple(dict.fromkeys(item for item in items if item))


def looks_like_web(text: str) -> bool:
    return _WEB.fullmatch(text.strip()) is not None


def slipped(row: dict[str, str]) -> bool:
    """Whether a service's values slipped to the right: its web address stands as an age.

    An unquoted separator in some exporter's past does this: the description breaks off, the
    pieces fill ``url`` and ``email``, and the web address lands behind them. Only that exact
    picture counts; any other text in an age is a wrong type.
    """
    ages = (row.get("minimum_age", ""), row.get("maximum_age", ""))
    url, email = row.get("url", ""), row.get("email", "")
    return (
        any(looks_like_web(age) for age in ages)
        and bool(url)
        and not looks_like_web(url)
        and "@" not in email
    )


def address(line: str, city: str, postal_code: str, state: str) -> tuple[str, AddressLevel, str]:
    """An address as (one line to show, how much it says, the state that the line names).

    ``line`` is address_1 and address_2. The last is "" unless the line is only a state.
    """
    text = " ".join(without_markup(line).split()).strip(" ,")
    match = _STATE_ONLY.fullmatch(text)
    named = code_of(match.group(1)) if match else ""
    if not named and match and match.group(1).casefold() == state.casefold():
        named = state
    if named or not text:
        place = ", ".join(filter(None, (city, postal_code)))
        level = AddressLevel.PLACE if place else AddressLevel.STATE
        return place, level, named
    street = any(c.isdigit() for c in _TAIL.sub("", text))
    known = [v for v in (city, postal_code) if v and v.casefold() not in text.casefold()]
    return ", ".join([text, *known]), AddressLevel.STREET if street else AddressLevel.PLACE, ""

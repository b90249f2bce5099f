"""Finding services by need, area and eligibility. Every condition that is given must hold.

Words are compared case folded and without accents. A need or a situation matches when each of
its words starts some word there; an area when each of its words is a word of the area's name,
"County" left aside.

Nothing is found by a word that is not shown: of a service that is secret, or given at a secret
place, the words of its terms and of its name alone are looked into. Its situations count as none
stated, and of the languages at a secret place the codes alone are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_hsds import words
from safehand_hsds.states import code_of
from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    exists,
    false,
    func,
    or_,
    select,
    true,
)

from safehand_referral_service import directory_confidential, directory_fees, directory_views
from safehand_referral_service.directory_tables import TABLES
from safehand_referral_service.directory_views import ServiceView

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
"""Services on one page, by default and at most: a page is read by a person."""
STATEWIDE: Final = (("statewide",), ("state", "wide"))


@dataclass(frozen=True, slots=True)
class Page:
    """``next_position`` is None on the last page; ``total`` counts all that match."""

    services: tuple[ServiceView, ...]
    next_position: int | None
    total: int


def search(
    conn: Connection,
    *,
    need: str | None = None,
    area: str | None = None,
    eligibility: str | None = None,
    language: str | None = None,
    age: int | None = None,
    free_first: bool = False,
    position: int = 0,
    limit: int = DEFAULT_LIMIT,
) -> Page:
    """Active services that fit, best match first, then by name; the order is stable.

    Args:
        need: words of a taxonomy term, a name or a description, in this order of rank; of a
            withheld service (``ServiceView.withheld``) no other name and no description.
        area: an area ("Broward County"), or a state ("Florida", "FL", "statewide"), which
            finds what covers all of it. A service that is state-wide is found by each area
            that its source knows. A service that names no area is found by none. Areas are
            shown, and of no address more than its state counts.
        eligibility: words of her situation. Services that state one that fits come first;
            those that state no situation follow, for they shut nobody out, and with them those
            that are withheld, whatever they state.
        language: name or code of a language that is spoken there; the code alone where that is
            known of a secret place.
        age: years; a service without age limits fits every age.
        free_first: who says that it is free comes first, and then who says nothing of what it
            costs; nobody is left out (``directory_fees``).
        position: how many to pass over. limit: 1 to 100.

    Raises:
        SafehandError: MALFORMED for a position or limit out of range, or a condition without
            a single letter or digit.
    """
    if position < 0 or not 1 <= limit <= MAX_LIMIT:
        raise SafehandError(Reason.MALFORMED, "a field is out of range", metadata={"field": "page"})
    service = TABLES.service
    conditions: list[ColumnElement[bool]] = [service.c.status == "active"]
    order: list[ColumnElement[Any]] = []
    stated: ColumnElement[bool] = true()
    if need:
        found, rank = _need(conn, _words(need, "need"))
        conditions.append(found)
        order.append(rank)
    if eligibility:
        stated, open_to_all = _situation(_words(eligibility, "eligibility"))
        conditions.append(or_(stated, open_to_all))
        order.append(case((stated, 0), else_=1))
    if area:
        conditions.append(_area(conn, area))
    if language:
        conditions.append(_language(_words(language, "language")))
    if age is not None:
        conditions.append(or_(service.c.min_age.is_(None), service.c.min_age <= age))
        conditions.append(or_(service.c.max_age.is_(None), service.c.max_age >= age))
    if free_first:
        order.insert(0, directory_fees.free_first(_withheld()))
    total = conn.scalar(select(func.count()).select_from(service).where(*conditions)) or 0
    rows = conn.execute(
        select(service.c.id, stated.label("stated"))
        .where(*conditions)
        .order_by(*order, service.c.name_words, service.c.id)
        .offset(position)
        .limit(limit)
    ).all()
    fits = {row.id: bool(eligibility) and bool(row.stated) for row in rows}
    views = directory_views.load(conn, list(fits))
    following = position + len(rows)
    return Page(
        tuple(replace(view, matched_eligibility=fits[view.id]) for view in views),
        following if following < total else None,
        total,
    )


def get_service(conn: Connection, service_id: str) -> ServiceView:
    """One service, whatever its status. Raises NOT_FOUND."""
    views = directory_views.load(conn, [service_id])
    if not views:
        raise SafehandError(Reason.NOT_FOUND, "no such service")
    return views[0]


def _words(text: str, field: str) -> tuple[str, ...]:
    found = words.query(text)
    if not found:
        raise SafehandError(
            Reason.MALFORMED, "a condition holds no word", metadata={"field": field}
        )
    return found


def _starts(column: ColumnElement[str], wanted: Sequence[str]) -> ColumnElement[bool]:
    """Each of ``wanted`` starts a word of ``column``. Words are letters and digits: no LIKE
    wildcard can be among them."""
    return and_(*(column.like(f"% {word}%") for word in wanted))


def _withheld() -> ColumnElement[bool]:
    return TABLES.service.c.id.in_(directory_confidential.withheld())


def _need(
    conn: Connection, wanted: Sequence[str]
) -> tuple[ColumnElement[bool], ColumnElement[int]]:
    c, withheld = TABLES.service.c, _withheld()
    names = c.term_words + c.name_words
    shown = and_(withheld, _starts(names, wanted), c.id.not_in(_by_other_names(conn, wanted)))
    found = or_(and_(~withheld, _starts(names + c.text_words, wanted)), shown)
    rank = case(
        (_starts(c.term_words, wanted), 0),
        (or_(withheld, _starts(c.name_words, wanted)), 1),
        else_=2,
    )
    return found, rank


def _by_other_names(conn: Connection, wanted: Sequence[str]) -> list[str]:
    """Withheld services that ``wanted`` would find by their other name, which nobody is shown."""
    c = TABLES.service.c
    rows = conn.execute(
        select(c.id, c.name, c.term_words).where(
            _withheld(), c.alternate_name != "", _starts(c.term_words + c.name_words, wanted)
        )
    )
    return [
        row.id
        for row in rows
        if not all(f" {word}" in row.term_words + words.padded(row.name) for word in wanted)
    ]


def _situation(wanted: Sequence[str]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    situation, service = TABLES.eligibility, TABLES.service
    of_service = situation.c.service_id == service.c.id
    fits = exists().where(of_service, _starts(situation.c.situation_words, wanted))
    return and_(~_withheld(), fits), or_(_withheld(), ~exists().where(of_service))


def _area(conn: Connection, text: str) -> ColumnElement[bool]:
    _words(text, "area")
    service, area, state = TABLES.service, TABLES.service_area, TABLES.state
    statewide = service.c.statewide == 1
    if words.query(text) in STATEWIDE:
        return statewide
    code = code_of(text)
    if code and conn.scalar(select(state.c.code).where(state.c.code == code).limit(1)):
        here = exists().where(state.c.source == service.c.source, state.c.code == code)
        return and_(statewide, here)
    fits = and_(*(area.c.area_words.like(f"% {word} %") for word in words.area_words(text)))
    known = area.alias("known")
    fits_known = and_(*(known.c.area_words.like(f"% {word} %") for word in words.area_words(text)))
    return or_(
        exists().where(area.c.source == service.c.source, area.c.of_service == service.c.id, fits),
        and_(statewide, exists().where(known.c.source == service.c.source, fits_known)),
    )


def _language(wanted: Sequence[str]) -> ColumnElement[bool]:
    service, spoken, link = TABLES.service, TABLES.language, TABLES.service_at_location
    fits = and_(*(spoken.c.language_words.like(f"% {word} %") for word in wanted))
    secret = spoken.c.location_id.in_(select(TABLES.confidential_place.c.location_id))
    # What such a place calls its languages is shown nowhere: a code is no free word.
    code = func.lower(spoken.c.code) == wanted[0] if len(wanted) == 1 else false()
    # Of the service at hand: left to itself, an exists within an exists reads all services.
    there = (
        exists()
        .where(
            link.c.source == service.c.source,
            link.c.service_id == service.c.id,
            link.c.location_id == spoken.c.location_id,
        )
        .correlate(service, spoken)
    )
    return exists().where(
        spoken.c.source == service.c.source,
        or_(
            and_(fits, spoken.c.service_id == service.c.id),
            and_(or_(and_(fits, ~secret), code), there),
        ),
    )

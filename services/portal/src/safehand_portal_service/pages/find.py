"""Finding services, for everybody: no sign-in, and nothing of the search in any address.

The results are the answer to the form itself. They are the same with a session and without one,
and nothing here says who asked. A confidential place is a name and a phone number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Final

from markupsafe import Markup
from safehand.referral.v1 import directory_pb2 as pb
from starlette.responses import Response

from safehand_portal_service import backend
from safehand_portal_service.lanes import Lane
from safehand_portal_service.page import Page, Route, Routes
from safehand_portal_service.pages.errors import RETRY_AFTER_S
from safehand_portal_service.words import Words

NEEDS: Final = {
    # what she picks: the word that directories use, cut so that its other forms are found too
    "housing": "hous",
    "legal": "legal",
    "papers": "immigra",
    "health": "health",
    "talk": "counsel",
    "money": "money",
    "children": "child",
}

LANGUAGES: Final = ("en", "es", "ar", "fa", "fr", "ht", "pt", "ru", "so", "ti", "uk", "vi", "zh")
"""Languages that she can ask for, as BCP 47; each is shown in her own."""

WORDS_MAX: Final = 120
"""Characters of one condition, as the directory takes them."""
AGE_MAX: Final = 150
"""Years."""
PAGE_SIZE: Final = 20
"""Services on one page: it is read by a person."""
TOKEN_MAX: Final = 512

_AGE: Final = re.compile(r"[0-9]{1,3}")
_TEL: Final = re.compile(r"\s*(\+?)([0-9][0-9 ()./-]*)")


@dataclass(frozen=True, slots=True)
class Search:
    """What she asked for. ``error`` is the key of what is wrong with it, or empty; ``field`` the
    field that it is about."""

    need: str = ""
    words: str = ""
    area: str = ""
    age: str = ""
    language: str = ""
    free: bool = False
    token: str = ""
    error: str = ""
    field: str = ""


@dataclass(frozen=True, slots=True)
class Phone:
    """``text`` as the directory has it; ``link`` is what a phone dials, or empty."""

    text: str
    link: str


@dataclass(frozen=True, slots=True)
class Found:
    """One service as the page shows it. A confidential one has neither place nor description:
    what somebody wrote freely may hold an address."""

    name: str
    organisation: str
    text: str
    phones: tuple[Phone, ...]
    places: tuple[str, ...]
    areas: tuple[str, ...]
    needs: tuple[str, ...]
    languages: tuple[str, ...]
    ages: Markup
    cost: Markup
    checked: Markup
    confidential: bool


def shown(page: Page) -> Response:
    """The form alone."""
    return _page(page, Search())


def searched(page: Page) -> Response:
    """The form and what was found."""
    search = read(page)
    if search.error:
        return _page(page, search, status=400)
    request = pb.SearchServicesRequest(
        need=search.words or NEEDS.get(search.need, ""),
        area=search.area,
        language=search.language,
        free_first=search.free,
        page_size=PAGE_SIZE,
        page_token=search.token,
    )
    if search.age:
        request.age = int(search.age)
    try:
        answer = backend.call(
            page.backend.directory.SearchServices, request, timeout_s=backend.BESIDE_TIMEOUT_S
        )
    except backend.Refused as refused:
        if refused.reason == "PAGE_TOKEN_INVALID":
            return _page(page, replace(search, token="", error="find.error.over"), status=400)
        return _page(page, replace(search, error="find.error.words", field="words"), status=400)
    except (backend.Down, backend.Throttled):
        return _page(page, search, status=503, down=True)
    found = [entry(service, page.words, asked=search.free) for service in answer.services]
    return _page(
        page,
        search,
        found=found,
        total=answer.total,
        more=answer.next_page_token,
    )


def read(page: Page) -> Search:
    """The form, checked. What is left empty is no condition."""
    field = page.form.field
    search = Search(
        need=field("need") if field("need") in NEEDS else "",
        words=field("words").strip(),
        area=field("area").strip(),
        age=page.form.digits("age"),
        language=field("language") if field("language") in LANGUAGES else "",
        free=field("free") == "1",
        token=field("from"),
    )
    for name, text in (("words", search.words), ("area", search.area)):
        if len(text) > WORDS_MAX:
            return replace(search, error="find.error.long", field=name)
        if text and not any(char.isalnum() for char in text):
            return replace(search, error="find.error.words", field=name)
    if search.age and not (_AGE.fullmatch(search.age) and int(search.age) <= AGE_MAX):
        return replace(search, error="find.error.age", field="age")
    if len(search.token) > TOKEN_MAX:
        return replace(search, token="", error="find.error.over")
    return search


def entry(service: pb.ServiceEntry, words: Words, *, asked: bool = False) -> Found:
    """``service`` as the page shows it; ``asked``: whether she asked what it costs."""
    secret = service.confidential
    return Found(
        name=service.name,
        organisation=service.organization_name,
        text="" if secret else service.description,
        phones=tuple(Phone(text, dialled(text)) for text in service.phones),
        places=() if secret else tuple(service.addresses),
        areas=tuple(service.areas),
        needs=tuple(service.needs) if secret else (),
        languages=tuple(words.tongue(name) for name in service.languages),
        ages=_ages(service, words),
        cost=_cost(service, words, asked),
        checked=_day(service.last_checked, words),
        confidential=secret,
    )


def dialled(text: str) -> str:
    """The number at the head of ``text``, as a phone dials it; empty where there is none."""
    found = _TEL.match(text)
    return found[1] + re.sub(r"[^0-9]", "", found[2]) if found else ""


def _ages(service: pb.ServiceEntry, words: Words) -> Markup:
    least = service.minimum_age if service.HasField("minimum_age") else 0
    most = service.maximum_age if service.HasField("maximum_age") else AGE_MAX
    if least > 0 and most < AGE_MAX:
        return words.t("find.ages.between", first=least, last=most)
    if least > 0:
        return words.n("find.ages.from", least)
    return words.n("find.ages.to", most) if most < AGE_MAX else Markup()


def _cost(service: pb.ServiceEntry, words: Words, asked: bool) -> Markup:
    """What is not stated is never said to be free; where she asked, it is said that it is not."""
    said = "" if service.confidential else service.fees
    if said:
        return words.t("find.cost.free") if service.free else words.name(said)
    return words.t("find.cost.unsaid") if asked else Markup()


def _day(text: str, words: Words) -> Markup:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return Markup()
    noon = datetime.combine(day, time(12), UTC)
    return words.date(noon.timestamp())


def _page(
    page: Page,
    search: Search,
    *,
    found: list[Found] | None = None,
    total: int = 0,
    more: str = "",
    status: int = 200,
    down: bool = False,
) -> Response:
    words = page.words
    return page.render(
        "find.html",
        of="find",
        status=status,
        headers={"retry-after": str(RETRY_AFTER_S)} if down else None,
        search=search,
        needs=[("", "any"), *((need, need) for need in NEEDS)],
        languages=words.tongues(LANGUAGES),
        found=found,
        total=total,
        more=more,
        down=down,
    )


ROUTES: Final[Routes] = [
    Route("/find", get=shown, open=True, lane=Lane.WORDS),
    Route("/find", post=searched, open=True, harmless=True, lane=Lane.FIND),
]

"""``/list/new/{n}``: somebody asks her, and she answers in her own time.

Each step is a page, and its form carries what she chose so far. What she turned on is kept by
consent for a day, to be offered again (``drafts``); no browser and no portal keeps it. Nothing of
the question is shown before she has said that the moment is private, and no step is a condition
for any answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from safehand.consent.v1 import portal_pb2
from safehand.consent.v1.asks_pb2 import Decision, QuestionState, Shown
from starlette.responses import Response

from safehand_portal_service import backend
from safehand_portal_service.page import Page, Route, Routes
from safehand_portal_service.pages import asking, drafts, numbers
from safehand_portal_service.pages.asking import Choices
from safehand_portal_service.pages.shown_sharing import kinds
from safehand_portal_service.pages.steps import hide_item
from safehand_portal_service.words import Words

DECISIONS: Final = {
    "yes": Decision.DECISION_YES,
    "no": Decision.DECISION_NO,
    "later": Decision.DECISION_LATER,
}
GIVEN_HOW: Final = "read"
"""How the portal puts it to her: she reads it."""
_DAY_S: Final = 24 * 3600
Found = portal_pb2.GetAskedResponse
"""The question, and what is kept of her choice in it."""
_OVER: Final = "STATE_CONFLICT"
_OPEN: Final = QuestionState.QUESTION_STATE_OPEN


def moment(page: Page) -> Response:
    """The first step: is this a good moment? It says nothing about the question."""
    asked = _get(page).asked
    if asked.state != _OPEN:
        return page.see_other(f"/list/new/{asked.number}/done")
    return _moment(page, asked, "")


def _moment(page: Page, asked: portal_pb2.Asked, error: str) -> Response:
    return page.render("asked_moment.html", of="asked", number=asked.number, error=error)


def step(page: Page) -> Response:
    """The step behind the one whose form this is."""
    found = _get(page)
    asked = found.asked
    # Before all else: who is not alone sees neither the question nor what became of it.
    if page.form.field("present") == asking.SOMEONE:
        return page.see_other(f"/list/new/{asked.number}/later")
    if asked.state != _OPEN:
        return page.see_other(f"/list/new/{asked.number}/done")
    choices = asking.read(page.form, asked)
    if not choices.present:
        return _moment(page, asked, "asked.moment.ask")
    decision = DECISIONS.get(page.form.field("decision"))
    if decision == Decision.DECISION_LATER:
        return _answered(page, found, choices, decision)
    words = page.words.sensitive("asked")
    if choices.notice != asking.notice(words, asked).sha256:
        # She has not yet read these words: the first time, or another language since.
        return _what(page, found, choices)
    if decision is not None:
        return _answered(page, found, choices, decision)
    show = _STEPS.get((page.form.field("step"), page.form.field("go")), _what)
    return show(page, found, choices)


def _what(page: Page, found: Found, choices: Choices) -> Response:
    return _render(page, found.asked, choices, "asked_what.html")


def _choose(page: Page, found: Found, choices: Choices) -> Response:
    asked = found.asked
    before = drafts.offered(found, choices)
    words = page.words.sensitive("asked")
    return _render(
        page,
        asked,
        choices,
        "asked_choose.html",
        switches=asking.switches(asked),
        offered=asking.offered_days(asked),
        most=asking.most_days(asked),
        default=asking.default_days(asked),
        before=before,
        before_kinds=kinds(words, before.categories) if before else (),
        before_day=words.date(before.kept_at.seconds) if before else "",
    )


def _use(page: Page, found: Found, choices: Choices) -> Response:
    """She turns on what she had turned on before: this is her press."""
    before = drafts.fitting(found, choices)
    if before is not None:
        choices = drafts.used(before, found.asked, choices)
    return _choose(page, found, choices)


def _forget(page: Page, found: Found, choices: Choices) -> Response:
    drafts.forget(page, found.asked.number)
    found.ClearField("draft")
    return _choose(page, found, choices)


def _chosen(page: Page, found: Found, choices: Choices) -> Response:
    if choices.errors:
        return _choose(page, found, choices)
    drafts.keep(page, found, choices)
    return _check(page, found, choices)


def _check(page: Page, found: Found, choices: Choices) -> Response:
    return _render(page, found.asked, choices, "asked_check.html")


def _checked(page: Page, found: Found, choices: Choices) -> Response:
    how, wrong = asking.checked(page.form)
    choices = replace(choices, check=how)
    if wrong:
        return _render(page, found.asked, choices, "asked_again.html", wrong=wrong)
    return _answer(page, found, choices)


def _person(page: Page, found: Found, choices: Choices) -> Response:
    return _answer(page, found, replace(choices, check=asking.PERSON))


def _answer(page: Page, found: Found, choices: Choices) -> Response:
    asked = found.asked
    if choices.errors:
        return _choose(page, found, choices)
    words = page.words.sensitive("asked")
    days = choices.days or asking.default_days(asked)
    return _render(
        page,
        asked,
        choices,
        "asked_answer.html",
        what=kinds(words, asking.given(asked, choices)),
        why=words.purpose(asked.purpose),
        until=words.date(page.now() + days * _DAY_S),
        person=choices.check == asking.PERSON,
    )


_STEPS: Final[dict[tuple[str, str], Callable[[Page, Found, Choices], Response]]] = {
    # (whose form it is, which of its buttons): what comes next
    ("what", "on"): _choose,
    ("choose", "on"): _chosen,
    ("choose", "use"): _use,
    ("choose", "forget"): _forget,
    ("choose", "back"): _what,
    ("check", "on"): _checked,
    ("check", "skip"): _answer,
    ("check", "back"): _choose,
    ("again", "on"): _answer,
    ("again", "person"): _person,
    ("answer", "back"): _choose,
}


def _answered(page: Page, found: Found, choices: Choices, decision: Decision.ValueType) -> Response:
    """Her yes, no or later: once."""
    asked = found.asked
    number = asked.number
    request = portal_pb2.AnswerAskedRequest(
        request_id=numbers.request_id(page), number=number, decision=decision
    )
    if decision != Decision.DECISION_LATER:
        request.shown.CopyFrom(_shown(page.words.sensitive("asked"), choices))
        request.comprehension = choices.check
    if decision == Decision.DECISION_YES:
        if choices.errors:
            return _choose(page, found, choices)
        request.categories.extend(asking.given(asked, choices))
        request.days = choices.days
    try:
        done = page.ask(page.backend.her.AnswerAsked, request)
    except backend.Refused as refused:
        if refused.reason != _OVER:
            raise
        return page.see_other(f"/list/new/{number}/done")
    if done.HasField("sharing"):
        return page.see_other(f"/list/{done.sharing.number}/given")
    return page.see_other(f"/list/new/{number}/done")


def later(page: Page) -> Response:
    """Somebody is with her: nothing of the question."""
    _get(page)
    return page.render("asked_later.html", of="asked")


def done(page: Page) -> Response:
    """What her answer did."""
    asked = _get(page).asked
    words = page.words.sensitive("asked")
    return page.render(
        "asked_done.html",
        of="asked",
        number=asked.number,
        state=_STATES.get(asked.state, "lapsed"),
        until=words.date(asked.ends_at.seconds),
    )


_STATES: Final = {
    QuestionState.QUESTION_STATE_OPEN: "later",
    QuestionState.QUESTION_STATE_GIVEN: "yes",
    QuestionState.QUESTION_STATE_REFUSED: "no",
}


def hide(page: Page) -> Response:
    hide_item(page)
    return page.see_other("/list")


def _get(page: Page) -> Found:
    request = portal_pb2.GetAskedRequest(number=numbers.of_path(page))
    return page.ask(page.backend.her.GetAsked, request)


def _shown(words: Words, choices: Choices) -> Shown:
    return Shown(
        notice_sha256=choices.notice,
        language=words.lang,
        given_how=GIVEN_HOW,
        present=choices.present,
    )


def _render(
    page: Page, asked: portal_pb2.Asked, choices: Choices, template: str, **values: Any
) -> Response:
    words = page.words.sensitive("asked")
    return page.render(
        template,
        of="asked",
        number=asked.number,
        name=asked.recipient_name,
        choices=choices,
        notice=asking.notice(words, asked),
        card=words.category("CARD"),
        **values,
    )


ROUTES: Final[Routes] = [
    Route("/list/new/{n}", get=moment, post=step),
    Route("/list/new/{n}/done", get=done),
    Route("/list/new/{n}/later", get=later),
    Route("/list/new/{n}/hide", post=hide),
]

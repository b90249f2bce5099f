"""``/steps``: what is happening with the help she asked for, and who is next by which date.

Consent says which steps are hers and signs a ticket for them; referral says where they stand. When
referral does not answer, the steps are still there, and the page says what it cannot show.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from safehand.consent.v1 import portal_pb2
from safehand.referral.v1 import referral_pb2
from starlette.responses import Response

from safehand_portal_service import backend
from safehand_portal_service.page import Page, Route, Routes
from safehand_portal_service.pages import numbers, shown_steps

Steps = list[portal_pb2.Step]
Views = Mapping[str, referral_pb2.StepView]


def of_hers(page: Page) -> tuple[Steps, Views | None]:
    """Her steps, and where they stand: None where referral could not be asked."""
    answer = page.ask(page.backend.her.GetSteps, portal_pb2.GetStepsRequest())
    return list(answer.steps), told(page, answer.ticket)


def told(page: Page, ticket: str) -> Views | None:
    """Where the steps of ``ticket`` stand: None where referral could not be asked."""
    if not ticket:
        return {}
    try:
        answer = backend.call(
            page.backend.steps.ListSteps,
            referral_pb2.ListStepsRequest(ticket=ticket),
            timeout_s=backend.BESIDE_TIMEOUT_S,
        )
    except backend.Problem:
        return None
    return {view.referral: view for view in answer.steps}


def listed(page: Page) -> Response:
    """All of them."""
    steps, views = of_hers(page)
    words = page.words.sensitive("steps")
    return page.render(
        "steps.html",
        of="steps",
        items=[shown_steps.shown(words, step, views) for step in steps],
        down=views is None,
    )


def one(page: Page) -> Response:
    """One of them, as a line of time."""
    number = numbers.of_path(page)
    steps, views = of_hers(page)
    found = next((step for step in steps if step.number == number), None)
    if found is None:
        raise backend.NotFound
    words = page.words.sensitive("steps")
    return page.render(
        "steps_one.html",
        of="steps",
        item=shown_steps.shown(words, found, views),
    )


def hide(page: Page) -> Response:
    """Not on the screen from now on."""
    hide_item(page)
    return page.see_other("/steps")


def hide_item(page: Page) -> None:
    """Leave the item of the path out of every page."""
    request = portal_pb2.HideItemRequest(
        request_id=numbers.request_id(page), number=numbers.of_path(page)
    )
    page.ask(page.backend.her.HideItem, request)


ROUTES: Final[Routes] = [
    Route("/steps", get=listed),
    Route("/steps/{n}", get=one),
    Route("/steps/{n}/hide", post=hide),
]

"""The first page behind the sign-in: what there is to see, and one button that stops everything.

Each card stands by itself. With consent down the page is there all the same, shows nothing that it
does not know, and says whom to call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from markupsafe import Markup
from safehand.consent.v1 import portal_pb2 as pb
from safehand.referral.v1 import referral_pb2
from starlette.responses import Response

from safehand_portal_service import backend
from safehand_portal_service.backend import BESIDE_TIMEOUT_S
from safehand_portal_service.page import Page, Route, Routes
from safehand_portal_service.pages import shown_steps


@dataclass(frozen=True, slots=True)
class Steps:
    """What is happening, in short.

    Attributes:
        open: how many are not over.
        next: who does what, and by which day; empty where no day is known.
        late: what is said where that day is over; empty where it is to come.
    """

    open: int
    next: tuple[Markup, ...] = ()
    late: str = ""


def shown(page: Page) -> Response:
    """The cards in their fixed order."""
    try:
        home = page.ask(page.backend.her.GetHome, pb.GetHomeRequest())
    except backend.Down:
        return _shown(page, None, None)
    return _shown(page, home, _steps(page))


def _shown(page: Page, home: pb.GetHomeResponse | None, steps: Steps | None) -> Response:
    # The button that stops everything speaks as the pages of sharing do, whatever stands around it.
    held = page.words.sensitive("list")
    return page.render("home.html", of="home", home=home, steps=steps, held=held)


def _steps(page: Page) -> Steps | None:
    """None where nobody can tell now: that touches this card alone."""
    try:
        mine = page.ask(page.backend.her.GetSteps, pb.GetStepsRequest(), timeout_s=BESIDE_TIMEOUT_S)
        if not mine.ticket:
            return Steps(0)
        views = backend.call(
            page.backend.steps.ListSteps,
            referral_pb2.ListStepsRequest(ticket=mine.ticket),
            timeout_s=BESIDE_TIMEOUT_S,
        ).steps
    except (backend.Down, backend.Refused):
        return None
    names = {step.referral: step for step in mine.steps}
    waiting = [view for view in views if view.next]
    dated = [view for view in waiting if view.HasField("next_by") and view.referral in names]
    if not dated:
        return Steps(len(waiting))
    first = min(dated, key=lambda view: view.next_by.seconds)
    words = page.words.sensitive("home")
    step = shown_steps.shown(words, names[first.referral], {first.referral: first})
    return Steps(len(waiting), step.next, step.late)


ROUTES: Final[Routes] = [Route("/home", get=shown)]

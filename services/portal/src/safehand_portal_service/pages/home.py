"""The first page behind the sign-in: what there is to see, and one button that stops everything.

Each card stands by itself. With consent down the page is there all the same, shows nothing that it
does not know, and says whom to call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from markupsafe import Markup
from safehand.consent.v1 import portal_pb2 as pb
from starlette.responses import Response

from safehand_portal_service import backend
from safehand_portal_service.page import Page, Route, Routes
from safehand_portal_service.pages import shown_steps
from safehand_portal_service.pages.steps import told


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
    return _shown(page, home, _steps(page, home))


def _shown(page: Page, home: pb.GetHomeResponse | None, steps: Steps | None) -> Response:
    # The button that stops everything speaks as the pages of sharing do, whatever stands around it.
    held = page.words.sensitive("list")
    return page.render("home.html", of="home", home=home, steps=steps, held=held)


def _steps(page: Page, home: pb.GetHomeResponse) -> Steps | None:
    """None where nobody can tell now: that touches this card alone."""
    views = told(page, home.ticket)
    if views is None:
        return None
    names = {step.referral: step for step in home.steps}
    waiting = [view for view in views.values() if view.next]
    # What was allowed and is not yet sent is on the page of steps too: "Getting ready".
    ready = [step for step in home.steps if step.referral not in views]
    count = len(waiting) + len(ready)
    dated = [view for view in waiting if view.HasField("next_by") and view.referral in names]
    if not dated:
        return Steps(count)
    first = min(dated, key=lambda view: view.next_by.seconds)
    words = page.words.sensitive("home")
    step = shown_steps.shown(words, names[first.referral], {first.referral: first})
    return Steps(count, step.next, step.late)


ROUTES: Final[Routes] = [Route("/home", get=shown)]

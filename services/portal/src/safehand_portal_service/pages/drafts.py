"""What she chose in a question another time and did not answer: offered, and never put back.

Every switch is off until she presses: what is kept is told in words beside them, with one button
that turns on the same, and one that forgets it. Consent keeps it, for a day (``KeepDraft``); the
portal keeps nothing. Keeping it is never a condition: she goes on whether it can be kept or not.
"""

from __future__ import annotations

from dataclasses import replace

from safehand.consent.v1 import portal_pb2

from safehand_portal_service.backend import (
    BESIDE_TIMEOUT_S,
    Down,
    NotFound,
    Refused,
    Throttled,
)
from safehand_portal_service.page import Page
from safehand_portal_service.pages import asking
from safehand_portal_service.pages.asking import Choices


def offered(found: portal_pb2.GetAskedResponse, choices: Choices) -> portal_pb2.Draft | None:
    """What may be offered to her: chosen under the very words that she has read now, and only
    while she has chosen nothing yet."""
    if choices.categories or choices.end or choices.typed or choices.errors:
        return None
    return fitting(found, choices)


def fitting(found: portal_pb2.GetAskedResponse, choices: Choices) -> portal_pb2.Draft | None:
    """What is kept, if it was chosen under the words that she has read now."""
    if not found.HasField("draft") or found.draft.notice_sha256 != choices.notice:
        return None
    return found.draft


def used(draft: portal_pb2.Draft, asked: portal_pb2.Asked, choices: Choices) -> Choices:
    """``choices`` with what she chose before, by her own press. Who is with her, and how the short
    check went, are of today."""
    days = draft.days
    if days == asking.most_days(asked):
        end, typed = "full", ""
    elif days in asking.offered_days(asked):
        end, typed = str(days), ""
    else:
        end, typed = ("other", str(days)) if days else ("", "")
    return replace(
        choices, categories=tuple(draft.categories), days=days, end=end, typed=typed, errors=()
    )


def keep(page: Page, found: portal_pb2.GetAskedResponse, choices: Choices) -> None:
    """What she chose now takes the place of what was kept; nothing is a choice too. Where it
    cannot be kept, nobody hears of it."""
    number = found.asked.number
    try:
        if choices.categories or choices.days:
            request = portal_pb2.KeepDraftRequest(
                number=number,
                categories=choices.categories,
                days=choices.days,
                notice_sha256=choices.notice,
            )
            page.ask(page.backend.her.KeepDraft, request, timeout_s=BESIDE_TIMEOUT_S)
        elif found.HasField("draft"):
            forget(page, number)
    except (Down, NotFound, Refused, Throttled):
        return


def forget(page: Page, number: str) -> None:
    """Delete what is kept. Raises a ``Problem``: she pressed for it, and hears if it failed."""
    request = portal_pb2.ForgetDraftRequest(number=number)
    page.ask(page.backend.her.ForgetDraft, request)

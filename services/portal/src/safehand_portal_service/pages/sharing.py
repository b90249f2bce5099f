"""``/list``: who may see what, and how she ends it.

A stop is one press, and its answer is a page of its own that can be asked for again. What the
answer says is read anew each time: nothing is shown as done that consent does not say is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from markupsafe import Markup
from safehand.consent.v1 import portal_pb2
from safehand.consent.v1.asks_pb2 import QuestionState
from safehand.consent.v1.recorded_pb2 import Reply
from starlette.responses import Response

from safehand_portal_service import backend
from safehand_portal_service.lanes import Lane
from safehand_portal_service.page import Page, Q, R, Route, Routes
from safehand_portal_service.pages import errors, late, numbers, shown_sharing, shown_steps
from safehand_portal_service.pages import steps as steps_page
from safehand_portal_service.pages.shown_sharing import Shown, ordered
from safehand_portal_service.pages.steps import hide_item
from safehand_portal_service.words import Words

REPLIES: Final = {
    "yes": Reply.REPLY_YES,
    "no": Reply.REPLY_NO,
    "unsure": Reply.REPLY_NOT_SURE,
}
_PIN_REFUSED: Final = "SIGN_IN_FAILED"
_TOO_LATE: Final = ("WINDOW_CLOSED", "CONSENT_ENDED", "STATE_CONFLICT")
"""What consent answers to what comes too late: the sharing ended meanwhile, however it did."""

Said = Callable[[Words], Markup]
"""What is said about a form, in the language that is known once consent has answered."""


def _text(key: str) -> Said:
    return lambda words: words.t(key)


_PIN_SHAPE: Final = _text("list.pin.shape")
_PIN_WRONG: Final = _text("list.pin.wrong")
_UNDO_OVER: Final = _text("list.undo.over")

# --- the list -----------------------------------------------------------------------------------


def by_name(page: Page) -> Response:
    """Every sharing, in groups."""
    return _listed(page, "name")


def by_kind(page: Page) -> Response:
    """The same sharings that are on, under each kind of information."""
    return _listed(page, "kind")


def _listed(page: Page, tab: str, said: Said | None = None, retry_after: int = 0) -> Response:
    if said is not None:
        page.here = "/list"
    answer = page.ask(page.backend.her.ListSharing, portal_pb2.ListSharingRequest())
    words = page.words.sensitive("list")
    items = [shown_sharing.shown(words, one) for one in answer.sharings]
    on = [item for item in items if item.on and not item.guardian]
    waiting = [item for item in items if item.guardian]
    return page.render(
        "list.html",
        of="list",
        headers=_retry(retry_after),
        tab=tab,
        on=_by_name(on),
        waiting=_by_name(waiting),
        ended=_by_name([item for item in items if not item.on]),
        asked=[_question(words, one) for one in answer.asked],
        kinds=_by_kind(words, list(answer.sharings), items) if tab == "kind" else [],
        to_confirm=[item for item in items if item.on and item.confirm_by],
        problem=said(words) if said else None,
    )


def _by_name(items: list[Shown]) -> list[tuple[str, list[Shown]]]:
    """What each organisation has, in the order of its first."""
    under: dict[str, list[Shown]] = {}
    for item in items:
        under.setdefault(item.name, []).append(item)
    return list(under.items())


def _by_kind(
    words: Words, sharings: list[portal_pb2.Sharing], items: list[Shown]
) -> list[tuple[Markup, list[Shown]]]:
    under: dict[str, list[Shown]] = {}
    for sharing, item in zip(sharings, items, strict=True):
        if item.on:
            for code in sharing.categories:
                under.setdefault(code, []).append(item)
    return [(words.category(code), under[code]) for code in ordered(under)]


def _question(words: Words, asked: portal_pb2.Asked) -> dict[str, object]:
    return {
        "number": asked.number,
        "name": asked.asker_name,
        "state": "list.state.later" if asked.put_off else "list.state.asked",
        "answer_by": words.date(asked.ends_at.seconds),
        "open": asked.state == QuestionState.QUESTION_STATE_OPEN,
    }


# --- one of them --------------------------------------------------------------------------------


def one(page: Page) -> Response:
    """One that is on; of one that is not, what its end did."""
    return _while_on(page, "list_one.html")


def stop(page: Page) -> Response:
    """Her stop: one press."""
    number = numbers.of_path(page)
    request = portal_pb2.StopSharingRequest(request_id=numbers.request_id(page), number=number)
    try:
        answer = _unless_too_late(page, page.backend.her.StopSharing, request)
    except backend.Down:
        return _not_known(page, f"/list/{number}/stop")
    if answer is not None and not answer.HasField("sharing"):
        # Off her pages since this one was made: there is no page of it to go to.
        page.here = "/list"
        return page.render("list_stopped_off.html", of="list")
    return page.see_other(f"/list/{number}/stopped")


def stopped(page: Page) -> Response:
    """What the stop did, for as long as she wants to read it."""
    number = numbers.of_path(page)
    sharing = _get(page, number)
    if sharing.state == shown_sharing.ON:
        return page.see_other(f"/list/{number}")
    return _over(page, sharing)


def _stopped(page: Page, number: str, said: Said, retry_after: int = 0) -> Response:
    # Where a language is chosen on the answer to a form, she comes back to this page.
    page.here = f"/list/{number}/stopped"
    sharing = _get(page, number)
    if sharing.state == shown_sharing.ON:
        return page.see_other(f"/list/{number}")
    return _over(page, sharing, said, retry_after)


def _over(
    page: Page, sharing: portal_pb2.Sharing, said: Said | None = None, retry_after: int = 0
) -> Response:
    number = sharing.number
    others = _others_on(page, sharing)
    steps, views = steps_page.of_hers(page)
    here = [step for step in steps if step.sharing == number]
    words = page.words.sensitive("list")
    item = shown_sharing.shown(words, sharing)
    return page.render(
        "list_stopped.html",
        of="list",
        headers=_retry(retry_after),
        item=item,
        others=others,
        steps=[shown_steps.shown(words, step, views) for step in here],
        steps_down=bool(here) and views is None,
        sent=bool(here or item.got),
        problem=said(words) if said else None,
    )


def _others_on(page: Page, ended: portal_pb2.Sharing) -> bool:
    """Whether whoever had ``ended`` may still open something else that is on her screen."""
    answer = page.ask(page.backend.her.ListSharing, portal_pb2.ListSharingRequest())
    return any(
        one.state == shown_sharing.ON and not one.waits_for_guardian
        for one in answer.sharings
        if one.recipient_name == ended.recipient_name and one.number != ended.number
    )


def undo(page: Page) -> Response:
    """Take the stop back, with the PIN."""
    number = numbers.of_path(page)
    pin = numbers.pin(page)
    if not pin:
        return _stopped(page, number, _PIN_SHAPE)
    request = portal_pb2.UndoStopRequest(
        request_id=numbers.request_id(page), number=number, pin=pin
    )
    try:
        page.ask(page.backend.her_once.UndoStop, request, timeout_s=backend.SIGN_IN_TIMEOUT_S)
    except backend.Throttled as throttled:
        return _stopped(page, number, _wait(errors.minutes(throttled.seconds)), throttled.seconds)
    except backend.Refused as refused:
        if refused.reason == _PIN_REFUSED:
            return _stopped(page, number, _PIN_WRONG)
        if refused.reason in _TOO_LATE:
            return _stopped(page, number, _UNDO_OVER)
        raise
    return page.see_other(f"/list/{number}/on")


def late_undo(page: Page) -> Response:
    """How long to wait before the PIN of an undo, or that nobody knows whether it was taken."""
    number = numbers.of_path(page)
    return late.told(
        page, lambda m: _stopped(page, number, _wait(m), m * errors.MINUTE_S), sent=True
    )


def on_again(page: Page) -> Response:
    """What the undo did."""
    return _while_on(page, "list_on.html")


def given(page: Page) -> Response:
    """What her yes did."""
    return _while_on(page, "list_on.html", given=True)


def destroy(page: Page) -> Response:
    """Make the stop final."""
    number = numbers.of_path(page)
    request = portal_pb2.DestroyNowRequest(request_id=numbers.request_id(page), number=number)
    _unless_too_late(page, page.backend.her.DestroyNow, request)
    return page.see_other(f"/list/{number}/stopped")


def right(page: Page) -> Response:
    """Her answer to what a worker wrote down."""
    number = numbers.of_path(page)
    reply = REPLIES.get(page.form.field("reply"))
    if reply is None:
        return page.see_other(f"/list/{number}")
    request = portal_pb2.ConfirmRecordedRequest(
        request_id=numbers.request_id(page), number=number, reply=reply
    )
    try:
        _unless_too_late(page, page.backend.her.ConfirmRecorded, request)
    except backend.Down:
        if reply == Reply.REPLY_NO:
            # The very same press: a stop in its place could be undone, a no cannot.
            return _not_known(page, f"/list/{number}/right", reply="no")
        raise
    return page.see_other(f"/list/{number}/said")


def replied(page: Page) -> Response:
    """What that answer did."""
    return _while_on(page, "list_said.html")


# --- everything ---------------------------------------------------------------------------------


def stop_all(page: Page) -> Response:
    """One press stops all of it, what is not on the screen too."""
    request = portal_pb2.StopEverythingRequest(request_id=numbers.request_id(page))
    try:
        answer = page.ask(page.backend.her.StopEverything, request)
    except backend.Down:
        return _not_known(page, "/list/stop")
    if answer.seat.must_change_pin:
        # No page of hers can be asked for before the new PIN: what the stop did is said at once.
        page.here = "/in/pin"
        return _all_stopped(page, answer.stopped, pin_first=True)
    return page.see_other("/list/stopped")


def all_stopped(page: Page) -> Response:
    """What is stopped now, and whether anything is on."""
    answer = page.ask(page.backend.her.ListSharing, portal_pb2.ListSharingRequest())
    return _all_stopped(page, answer.sharings)


def _all_stopped(
    page: Page, sharings: Iterable[portal_pb2.Sharing], *, pin_first: bool = False
) -> Response:
    words = page.words.sensitive("list")
    items = [shown_sharing.shown(words, one) for one in sharings]
    return page.render(
        "list_stopped_all.html",
        of="list",
        on=[item for item in items if item.on],
        stopped=[item for item in items if item.stopped],
        pin_first=pin_first,
    )


# --- what is on the screen ----------------------------------------------------------------------


def hide(page: Page) -> Response:
    hide_item(page)
    return page.see_other("/list")


def show_all(page: Page) -> Response:
    """Everything again, with the PIN. The answer is the same whether anything was hidden."""
    pin = numbers.pin(page)
    if not pin:
        return _listed(page, "name", _PIN_SHAPE)
    request = portal_pb2.ShowEverythingRequest(request_id=numbers.request_id(page), pin=pin)
    try:
        page.ask(page.backend.her_once.ShowEverything, request, timeout_s=backend.SIGN_IN_TIMEOUT_S)
    except backend.Throttled as throttled:
        return _listed(page, "name", _wait(errors.minutes(throttled.seconds)), throttled.seconds)
    except backend.Refused as refused:
        if refused.reason != _PIN_REFUSED:
            raise
        return _listed(page, "name", _PIN_WRONG)
    return page.see_other("/list/all")


def late_show(page: Page) -> Response:
    """The same for showing everything again."""
    return late.told(
        page, lambda m: _listed(page, "name", _wait(m), m * errors.MINUTE_S), sent=True
    )


def all_shown(page: Page) -> Response:
    page.ask(page.backend.her.ListSharing, portal_pb2.ListSharingRequest())
    return page.render("list_shown.html", of="list")


# --- shared -------------------------------------------------------------------------------------


def _get(page: Page, number: str) -> portal_pb2.Sharing:
    request = portal_pb2.GetSharingRequest(number=number)
    return page.ask(page.backend.her.GetSharing, request).sharing


def _while_on(page: Page, template: str, *, given: bool = False) -> Response:
    """A page of one that is on; once it is not, the page that says how it ended."""
    number = numbers.of_path(page)
    item = shown_sharing.shown(page.words.sensitive("list"), _get(page, number))
    if not item.on:
        return page.see_other(f"/list/{number}/stopped")
    return page.render(template, of="list", item=item, given=given)


def _unless_too_late(page: Page, method: backend.Method[Q, R], request: Q) -> R | None:
    """Ask; None where it ended meanwhile in whatever way: the next page says in which."""
    try:
        return page.ask(method, request)
    except backend.Refused as refused:
        if refused.reason not in _TOO_LATE:
            raise
    return None


def _wait(minutes: int) -> Said:
    return lambda words: words.n("list.pin.wait", minutes, minutes=minutes)


def _retry(seconds: int) -> dict[str, str] | None:
    return {"retry-after": str(seconds)} if seconds else None


def _not_known(page: Page, path: str, **fields: str) -> Response:
    """Nobody knows whether the stop was written: the same press again is the same stop."""
    fields["request_id"] = numbers.request_id(page)
    return page.render("list_unsure.html", of="list", status=503, path=path, fields=fields)


ROUTES: Final[Routes] = [
    Route("/list", get=by_name),
    Route("/list/kind", get=by_kind),
    Route("/list/stop", post=stop_all, lane=Lane.STOPS),
    Route("/list/stopped", get=all_stopped, lane=Lane.STOPPED),
    Route("/list/all", get=all_shown, post=show_all, later="/list/all"),
    Route("/list/all/{m}", get=late_show),
    Route("/list/{n}", get=one),
    Route("/list/{n}/stop", post=stop, lane=Lane.STOPS),
    Route("/list/{n}/stopped", get=stopped, lane=Lane.STOPPED),
    Route("/list/{n}/undo", post=undo, later="/list/{n}/undo"),
    Route("/list/{n}/undo/{m}", get=late_undo),
    Route("/list/{n}/on", get=on_again),
    Route("/list/{n}/given", get=given),
    Route("/list/{n}/end", post=destroy, lane=Lane.STOPS),
    Route("/list/{n}/right", post=right, lane=Lane.STOPS),
    Route("/list/{n}/said", get=replied, lane=Lane.STOPPED),
    Route("/list/{n}/hide", post=hide),
]

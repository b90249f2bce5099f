"""Signing in with card and PIN, the PIN alone, a new PIN; and the page that everybody gets.

Every failure is answered alike: the same status, the same bytes. What is said about the digits of a
card number is computed from these digits alone.
"""

from __future__ import annotations

import contextlib
import re
from typing import Final

from markupsafe import Markup
from safehand.consent.v1 import consent_pb2
from safehand.consent.v1 import portal_pb2 as pb
from starlette.responses import Response

from safehand_portal_service import backend
from safehand_portal_service.backend import BESIDE_TIMEOUT_S, SIGN_IN_TIMEOUT_S
from safehand_portal_service.lanes import Lane
from safehand_portal_service.page import Page, Route, Routes
from safehand_portal_service.pages import errors
from safehand_portal_service.pages import late as late_page
from safehand_portal_service.pages.numbers import PIN

CARD_DIGITS: Final = 12
BY_ITSELF: Final = ("cover", "end")
"""What the script of an open page wishes though she has pressed nothing (``seat_kept``)."""
_NUMBER: Final = re.compile(r"[0-9]{8}")
_CARD: Final = re.compile(rf"[0-9]{{{CARD_DIGITS}}}")


# --- the page that everybody gets -----------------------------------------------------------------


def neutral(page: Page, pressed: bool = False) -> Response:
    """The same bytes for whoever is not signed in, whatever was asked for.

    Where it is the answer to a form it says that nothing was done, and is again the same for all.
    """
    if _by_itself(page):
        return page.see_other(page.tongued("/in"))
    return _sign_in(page, said=page.t("signin.undone") if pressed else None)


def _sign_in(
    page: Page,
    *,
    said: Markup | None = None,
    check: bool = False,
    shared: bool = True,
    numbered: bool = False,
    retry_after: int = 0,
) -> Response:
    """``numbered``: she typed a number from her worker; what she typed is not sent back."""
    return page.render(
        "signin.html",
        of="signin",
        neutral=True,
        headers={"retry-after": str(retry_after)} if retry_after else None,
        said=said,
        check=check,
        shared=shared,
        waits=retry_after > 0,
        numbered=numbered or retry_after > 0,
    )


# --- card and PIN ---------------------------------------------------------------------------------


def opened(page: Page) -> Response:
    """Sign her in. A session that this browser had before is over."""
    card, pin = page.form.digits("card"), page.form.digits("pin")
    number = page.form.digits("number")
    shared = page.form.field("shared") != "no"

    def failed(check: bool = False) -> Response:
        said = page.t("signin.failed")
        return _sign_in(page, said=said, check=check, shared=shared, numbered=number != "")

    if not right_digits(card):
        return failed(check=True)
    if not PIN.fullmatch(pin):
        return failed()
    request = consent_pb2.OpenSessionRequest(
        card_number=card,
        pin=pin,
        network=page.network,
        shared_device=shared,
        language=page.words.wanted,
        # One that is none is a try without: what is wrong with it is told to nobody.
        worker_number=number if _NUMBER.fullmatch(number) else "",
    )
    try:
        answer = backend.call(page.backend.door.OpenSession, request, timeout_s=SIGN_IN_TIMEOUT_S)
    except backend.Throttled as throttled:
        said = page.words.n("signin.wait", errors.minutes(throttled.seconds))
        return _sign_in(page, said=said, shared=shared, retry_after=throttled.seconds)
    except backend.Refused:
        return failed()
    end_session(page)
    page.keep(answer.session, None)
    return page.see_other(page.tongued("/home"))


def right_digits(card: str) -> bool:
    """Whether it is a card number by its digits alone (ISO/IEC 7812-1, annex B)."""
    if not _CARD.fullmatch(card):
        return False
    total = 0
    for position, digit in enumerate(reversed(card)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def end_session(page: Page) -> None:
    """End this browser's session on the server. Without an answer it ends by itself, soon."""
    if page.session:
        with contextlib.suppress(backend.Problem):
            backend.call(
                page.backend.door.CloseSession,
                consent_pb2.CloseSessionRequest(session=page.session),
                timeout_s=BESIDE_TIMEOUT_S,
            )


# --- the PIN alone --------------------------------------------------------------------------------


def again(page: Page, pressed: bool = False) -> Response:
    """A covered session: the same page at every address; after a press, that it was not done."""
    if _by_itself(page):
        return page.see_other(page.tongued("/in/again"))
    return _again(page, page.t("signin.undone_pin") if pressed else None)


def _again(page: Page, said: Markup | None = None, retry_after: int = 0) -> Response:
    page.covered = True
    return page.render(
        "again.html",
        of="signin",
        headers={"retry-after": str(retry_after)} if retry_after else None,
        said=said,
    )


def uncovered(page: Page) -> Response:
    """Take the PIN. She goes on at the first page, wherever she was."""
    pin = page.form.digits("pin")
    if not PIN.fullmatch(pin):
        return _again(page, page.t("signin.again_failed"))
    request = pb.UnlockSessionRequest(session=page.session, pin=pin)
    try:
        answer = backend.call(
            page.backend.her_once.UnlockSession, request, timeout_s=SIGN_IN_TIMEOUT_S
        )
    except backend.Throttled as throttled:
        said = page.words.n("signin.wait", errors.minutes(throttled.seconds))
        return _again(page, said, throttled.seconds)
    except backend.Refused:
        return _again(page, page.t("signin.again_failed"))
    page.keep(answer.session, answer.seat)
    return page.see_other("/home")


# --- a new PIN ------------------------------------------------------------------------------------


def new_pin(page: Page) -> Response:
    """She chooses a PIN; where somebody else has seen hers, nothing but stopping comes before."""
    return _new_pin(page)


def _new_pin(page: Page, said: Markup | None = None, retry_after: int = 0) -> Response:
    try:
        forced = page.ask(page.backend.her.GetHome, pb.GetHomeRequest()).seat.must_change_pin
    except backend.PinChange:
        # The refusal says that the session is live, and nothing more.
        forced = True
        page.seat = pb.Seat(shared_device=True, must_change_pin=True, language=page.words.wanted)
    return page.render(
        "pin.html",
        of="signin",
        headers={"retry-after": str(retry_after)} if retry_after else None,
        said=said,
        forced=forced,
        held=page.words.sensitive("list"),
    )


def pin_changed(page: Page) -> Response:
    """Every session of hers ends; this browser gets a new one."""
    old, new = page.form.digits("pin"), page.form.digits("new")
    if not PIN.fullmatch(old) or not PIN.fullmatch(new):
        return _new_pin(page, page.t("signin.pin_shape"))
    if old == new:
        return _new_pin(page, page.t("signin.pin_same"))
    request = pb.ChangePinRequest(session=page.session, pin=old, new_pin=new)
    try:
        answer = backend.call(page.backend.her_once.ChangePin, request, timeout_s=SIGN_IN_TIMEOUT_S)
    except backend.Throttled as throttled:
        said = page.words.n("signin.wait", errors.minutes(throttled.seconds))
        return _new_pin(page, said, throttled.seconds)
    except backend.Refused:
        return _new_pin(page, page.t("signin.pin_failed"))
    page.keep(answer.session, answer.seat)
    return page.see_other("/in/new")


def pin_is_new(page: Page) -> Response:
    """Says that it is done."""
    page.ask(page.backend.her.GetHome, pb.GetHomeRequest())
    return page.render("pin_new.html", of="signin")


# --- no answer to a PIN, and no form behind Back --------------------------------------------------


def late(page: Page) -> Response:
    """How long to wait before signing in, or that nobody can be asked."""
    return late_page.told(
        page, lambda m: _sign_in(page, said=_wait(page, m), retry_after=m * errors.MINUTE_S)
    )


def late_again(page: Page) -> Response:
    """The same for a covered session."""
    return late_page.told(page, lambda m: _again(page, _wait(page, m), m * errors.MINUTE_S))


def late_pin(page: Page) -> Response:
    """The same for a new PIN; without an answer nobody knows whether it is the new one now."""
    return late_page.told(
        page, lambda m: _new_pin(page, _wait(page, m), m * errors.MINUTE_S), sent=True
    )


def _wait(page: Page, minutes: int) -> Markup:
    return page.words.n("signin.wait", minutes)


# --- what the script of an open page asks for -----------------------------------------------------


def _by_itself(page: Page) -> bool:
    """Whether a covered page asks where to go: it is told that, and never given a page, which it
    could not tell from one that says that nothing was done."""
    return page.scripted and page.form.field("do") in BY_ITSELF


def seat_kept(page: Page) -> Response:
    """Stay, cover, or end; the page says which."""
    wish = page.form.field("do")
    if wish == "cover":
        backend.call(page.backend.her.LockSession, pb.LockSessionRequest(session=page.session))
        return page.see_other(page.tongued("/in/again"))
    if wish == "end":
        end_session(page)
        page.forget()
        return page.see_other(page.tongued("/in"))
    # Nothing that she sees hangs on the answer, and she may be typing.
    with contextlib.suppress(backend.PinChange, backend.Down):
        page.ask(page.backend.her.GetHome, pb.GetHomeRequest())
    return page.nothing()


ROUTES: Final[Routes] = [
    Route("/in", get=neutral, open=True, lane=Lane.WORDS),
    Route("/in", post=opened, open=True, lane=Lane.SIGN_IN, later="/in/late"),
    Route("/in/late/{m}", get=late, open=True, lane=Lane.WORDS),
    Route("/in/again", get=again, post=uncovered, renews=True, later="/in/again"),
    Route("/in/again/{m}", get=late_again),
    Route("/in/pin", get=new_pin, post=pin_changed, renews=True, later="/in/pin"),
    Route("/in/pin/{m}", get=late_pin),
    Route("/in/new", get=pin_is_new),
    Route("/in/seat", post=seat_kept),
]

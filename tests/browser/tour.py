"""A way through every page of hers, in one language; ``rare`` has those that few meet.

It goes where links lead and where only presses lead: the steps of a question, what a stop did, a
wrong PIN, a covered session, a service that is away. What is looked at on each page, its caller
says: the tests that check every page, and ``make screenshots``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Final

from playwright.sync_api import TimeoutError
from safehand_cli.cards import new_card
from safehand_cli.story import PURPOSE
from safehand_consent_service.throttle import TRIES
from safehand_core.entropy import SystemEntropy

from tests.browser.walk import LEAVE, Walk
from tests.harness.portal import OPEN, Portal, Shares, asked_for, crawled
from tests.harness.world import WORKER, eventually

STOP_ONE: Final = 'form[action^="/list/"][action$="/stop"]:not([action="/list/stop"]) button'
STOP_ALL: Final = 'form[action="/list/stop"] button'
REPLY: Final = "form:has(input[name=reply][value={}]) button"
QUESTION: Final = 'a[href^="/list/new/"]'
USE: Final = "button[name=go][value=use]"
"""What she chose in a question before."""
SEND: Final = "main form button[type=submit]:not(.quiet)"
FIND: Final = 'form[action^="/find"] button[type=submit]'
ERROR: Final = "main .notice.error"
GOOD: Final = "main .notice.good"
IDLE_MS: Final = 8 * 60_000 + 2000
"""Until the page asks whether she is still there."""
HIDDEN: Final = """hidden => {
  Object.defineProperty(document, 'hidden', {configurable: true, get: () => hidden});
  document.dispatchEvent(new Event('visibilitychange'));
}"""
"""As when she looks at another app, or comes back."""

Maker = Callable[..., Walk]
"""Makes a walk with a profile of its own: ``make(seated=None, at=portal, **options)``."""


def asking_for(language: str) -> dict[str, Any]:
    """Options of a profile whose browser asks for ``language``, where nothing else says which: as
    while consent, which keeps it for her, does not answer."""
    return {"extra_http_headers": {"Accept-Language": language}}


@dataclass(frozen=True, slots=True)
class Shown:
    """A page that is on the screen.

    Attributes:
        name: what is on it, of its own.
        walk: the tab that it is in.
        leave: the way out of it; empty where nothing is left to leave.
        window: whether what is to be seen covers the window and not the page.
    """

    name: str
    walk: Walk
    leave: str = LEAVE
    window: bool = False


def tour(make: Maker, portal: Portal, language: str) -> Generator[Shown, None, None]:
    """Every page, one after the other. To be closed where it is left early."""
    yield from everybody(make, portal, language)
    yield from newcomer(make, portal, language)
    shares = portal.sharing()
    portal.speak(shares, language)
    walk = make(shares)
    yield from linked(walk, language)
    yield from idle(make, shares)
    yield from asked(walk)
    yield from written_down(walk)
    yield from stopped(walk)
    yield from away(make, shares, language)
    yield from everything(walk)


def at(name: str, walk: Walk, has: str) -> Shown:
    """The page, once it has what only it has."""
    try:
        walk.page.wait_for_selector(has, state="attached")
    except TimeoutError:
        there = walk.page.inner_text("main")[:300]
        raise AssertionError(f"{name}: no {has} at {walk.path}: {there}") from None
    return Shown(name, walk)


def everybody(make: Maker, portal: Portal, language: str) -> Iterator[Shown]:
    """What is there for everybody: doors, a search, a sign-in that fails."""
    walk, said = make(), f"?l={language}"
    for name, path in (
        ("start", "/"),
        ("sign-in", "/in"),
        ("find", "/find"),
        ("rights", "/info"),
        ("language", "/lang"),
        ("unknown", "/nothing-here"),
    ):
        walk.go(path + said)
        yield at(name, walk, "main h1")
    walk.go("/bye" + said)
    yield Shown("clock", walk, leave="")

    walk.go("/find" + said)
    walk.click(FIND)
    yield at("found", walk, "main .call")
    walk.page.fill("input[name=words]", "zzzzzz")
    walk.click(FIND)
    yield at("found-nothing", walk, "main:not(:has(.cards)) section form")
    walk.page.fill("input[name=age]", "999")
    walk.click(FIND)
    yield at("find-mistake", walk, "main .field.wrong")

    walk.go("/in" + said)
    walk.fill_in("1234 5678 9012", "000000")
    yield at("sign-in-mistake", walk, ERROR)
    card, pin = new_card(SystemEntropy())
    walk.fill_in(card, pin)
    yield at("sign-in-failed", walk, ERROR)
    for _ in range(TRIES - 1):
        asked_for(portal, "/in", form={"card": card, "pin": pin})
    walk.fill_in(card, pin)
    yield at("sign-in-wait", walk, ERROR)

    walk.go("/" + said)
    for _ in range(2):
        walk.page.keyboard.press("Shift")
    yield at("shift-twice", walk, ".lights[data-on='2']")
    # As at a press, but without the way out, for which a picture would wait.
    walk.page.evaluate(
        "document.querySelector('#gone').hidden = false;"
        "document.documentElement.classList.add('gone')"
    )
    yield Shown("leaving", walk, leave="", window=True)


def newcomer(make: Maker, portal: Portal, language: str) -> Iterator[Shown]:
    """Somebody with a new card: a PIN of her own, pages with nothing on them, the cover."""
    person, walk = portal.world.person(), make()
    walk.go(f"/in?l={language}")
    walk.fill_in(person.card, person.pin)
    yield at("pin-first", walk, "input[name=new]")
    walk.click(SEND)
    yield at("pin-mistake", walk, ERROR)
    own = _other(person.pin)
    walk.page.fill("input[name=pin]", person.pin)
    walk.page.fill("input[name=new]", own)
    walk.click(SEND)
    yield at("pin-new", walk, GOOD)
    walk.go("/in/pin")
    yield at("pin-change", walk, "input[name=new]")
    for path in ("/home", "/list", "/steps", "/seen"):
        walk.go(path)
        yield at(f"nothing-{path[1:]}", walk, "main h1")
    walk.page.evaluate(HIDDEN, True)
    walk.page.wait_for_selector("#cover:visible")
    yield Shown("cover", walk, window=True)
    walk.page.evaluate(HIDDEN, False)
    with walk.another():
        walk.page.evaluate(
            "const seat = document.querySelector('#seat'); seat.elements.do.value = 'cover';"
            "seat.requestSubmit()"
        )
    yield at("pin-again", walk, "main input[name=pin]")
    walk.page.fill("main input[name=pin]", person.pin)
    walk.click(SEND)
    yield at("pin-again-wrong", walk, ERROR)
    walk.page.fill("main input[name=pin]", own)
    walk.click(SEND)
    assert walk.path == "/home"


def linked(walk: Walk, language: str) -> Iterator[Shown]:
    """What links lead to from home, one page of each shape."""
    assert walk.seated is not None
    for path in crawled(walk.portal, walk.seated):
        if path == "/bye":
            continue
        # Pages for everybody are told the language by the link itself.
        walk.go(f"{path}?l={language}" if path in OPEN else path)
        yield at("hers-" + re.sub(r"\d{10}", "n", path).strip("/").replace("/", "-"), walk, "main")


def idle(make: Maker, shares: Shares) -> Iterator[Shown]:
    """Eight minutes without a press. A clock that was set stays so for a whole profile."""
    walk = make(shares)
    walk.page.clock.install()
    walk.go("/home")
    walk.page.clock.fast_forward(IDLE_MS)
    walk.page.wait_for_selector("#idle:visible")
    yield Shown("idle", walk, leave="#idle a[data-x]", window=True)
    # Two minutes later it would end her session, in which others still walk.
    walk.page.close()


def asked(walk: Walk) -> Iterator[Shown]:
    """A question, from its first page to what each answer did."""
    walk.go("/list")
    walk.click(QUESTION)
    question = walk.path
    yield at("asked-moment", walk, "button[value=someone]")
    walk.click("button[value=someone]")
    yield at("asked-someone", walk, "main h1")
    _press(walk, question, "value=alone")
    yield at("asked-what", walk, "input[name=step][value=what]")
    _on(walk)
    yield at("asked-choose", walk, "input[name=kind]")
    walk.page.check("input[name=end][value=other]")
    walk.page.fill("input[name=days]", "999")
    _on(walk)
    yield at("asked-choose-mistake", walk, ERROR)
    walk.page.check("input[name=kind][value=HEALTH]")
    walk.page.check("input[name=end][value=full]")
    walk.page.fill("input[name=days]", "")
    _on(walk)
    yield at("asked-check", walk, "input[name=q_who]")
    walk.page.check("input[name=q_who][value=all]")
    _on(walk)
    yield at("asked-again", walk, "button[name=go][value=person]")
    walk.click("button[name=go][value=person]")
    yield at("asked-answer-person", walk, "button[name=decision][value=yes]")
    walk.click("button[name=decision][value=later]")
    yield at("asked-done-later", walk, GOOD)
    _press(walk, question, "value=alone")
    _on(walk)
    yield at("asked-choose-before", walk, USE)
    walk.click(USE)
    yield at("asked-choose-used", walk, "input[name=kind][value=HEALTH]:checked")
    _on(walk)
    walk.click("button[name=go][value=skip]")
    yield at("asked-answer", walk, "button[name=decision][value=yes]")
    walk.click("button[name=decision][value=yes]")
    yield at("asked-given", walk, GOOD)
    walk.go(f"{question}/done")
    yield at("asked-done-yes", walk, GOOD)
    assert walk.seated is not None
    walk.portal.world.agency_a.ask_consent(
        subject_ref=walk.seated.person.subject_ref,
        worker_ref=WORKER,
        releasing="agency-a",
        recipient="agency-b",
        purpose=PURPOSE,
        categories=("PAPERS",),
        days=30,
    )
    walk.go("/list")
    walk.click(f"{QUESTION} >> nth=0")
    walk.click("button[value=alone]")
    walk.click("button[name=decision][value=no]")
    yield at("asked-done-no", walk, GOOD)


def written_down(walk: Walk) -> Iterator[Shown]:
    """What a worker wrote down: is it right?"""
    walk.go("/list")
    walk.click("main .notice.warn a[href^='/list/']")
    path = walk.path
    yield at("written-down", walk, REPLY.format("unsure"))
    walk.click(REPLY.format("unsure"))
    yield at("said-unsure", walk, "main .notice.info")
    walk.go(path)
    walk.click(REPLY.format("yes"))
    yield at("said", walk, GOOD)


def stopped(walk: Walk) -> Iterator[Shown]:
    """A stop, taken back after mistakes; and one that is made final."""
    assert walk.seated is not None
    undo, pin = 'form[action$="/undo"]', walk.seated.person.pin
    send = f"{undo} button[type=submit]:not(.quiet)"
    walk.go("/list")
    walk.click(f"{STOP_ONE} >> nth=0")
    yield at("stopped", walk, undo)
    walk.page.fill(f"{undo} input[name=pin]", "12")
    walk.click(send)
    yield at("undo-mistake", walk, ERROR)
    walk.page.fill(f"{undo} input[name=pin]", _other(pin))
    walk.click(send)
    yield at("undo-wrong", walk, ERROR)
    walk.page.fill(f"{undo} input[name=pin]", pin)
    walk.click(send)
    assert walk.path.endswith("/on")
    yield at("on-again", walk, GOOD)
    walk.click(f"{STOP_ONE} >> nth=0")
    walk.click('form[action$="/end"] button')
    yield at("stopped-for-good", walk, f"main:not(:has({undo})) .notice.good")
    walk.go("/list")
    walk.page.fill('form[action="/list/all"] input[name=pin]', _other(pin))
    walk.click('form[action="/list/all"] button[type=submit]')
    yield at("show-wrong", walk, ERROR)


def away(make: Maker, shares: Shares, language: str) -> Iterator[Shown]:
    """While consent is away; the stop that is not known has to be pressed again behind it."""
    walk, door = make(shares, **asking_for(language)), make()
    supervisor = walk.portal.world.system.supervisor
    door.go(f"/in?l={language}")
    walk.go("/list")
    supervisor.hold("consent")
    try:
        walk.click(f"{STOP_ONE} >> nth=0")
        yield at("away-stop", walk, ERROR)
        walk.go("/list")
        yield at("away-list", walk, "main .notice")
        walk.go("/home")
        yield at("away-home", walk, "main .notice.warn")
        door.fill_in(*new_card(SystemEntropy()))
        yield at("away-sign-in", door, "main .notice")
    finally:
        supervisor.release("consent")
        eventually(
            lambda: 'id="seat"' in asked_for(walk.portal, "/home", walk.seated).text,
            "consent is back for the portal",
            within_s=60,
        )


def everything(walk: Walk) -> Iterator[Shown]:
    """One press for all of it."""
    walk.go("/home")
    walk.click(STOP_ALL)
    yield at("everything-stopped", walk, GOOD)
    walk.go("/home")
    yield at("home-stopped", walk, "main h1")


def _press(walk: Walk, path: str, button: str) -> None:
    walk.go(path)
    walk.click(f"button[{button}]")


def _on(walk: Walk) -> None:
    walk.click("button[name=go][value=on]")


def _other(pin: str) -> str:
    """A PIN that is not this one."""
    return str((int(pin) + 7) % 10**6).rjust(6, "0")

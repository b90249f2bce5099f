"""Pages that few meet, in one language: what ended by itself, what others did, what went wrong.

Behind them is a consent service in this process, whose clock is moved by hand, and a referral
service that tells what it is told to. ``tour`` has the pages of a whole system.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlencode

from google.protobuf.timestamp_pb2 import Timestamp
from playwright.sync_api import Route
from safehand.consent.v1 import consent_pb2, portal_pb2, stops_pb2
from safehand.referral.v1 import directory_pb2
from safehand.referral.v1 import referral_pb2 as pb
from safehand_core import ids
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_portal_service.app import App
from safehand_portal_service.backend import Backend
from safehand_portal_service.guard import BODY_MAX
from safehand_portal_service.pages.seen import PAGE_SIZE

from tests.browser.tour import ERROR, GOOD, STOP_ALL, STOP_ONE, Maker, Shown, asking_for, at
from tests.browser.walk import Walk
from tests.consent.portal.world import ASK, DAY, ENTROPY, FIRST_PIN, A, C, Her, new_request_id
from tests.consent.release.world import Card, refused
from tests.harness.portal import Answer, Outside, Portal, Seated
from tests.harness.world import Person, World
from tests.portal.pages_world import PagesWorld

TRIES: Final = 3
"""Wrong tries before she comes: fewer than what makes her wait."""
QUIET_S: Final = 15 * DAY
"""Longer than any question and any record waits for her, and than a system may be silent."""
SOON_S: Final = 5 * DAY
TIMEOUT_S: Final = 30.0
WORD: Final = "blue kettle"
"""Her code word."""
SEARCH: Final = 'form[action^="/find"] button[type=submit] >> nth=-1'
MORE: Final = 'form:has(input[name=from]:not([value=""])) button'
MANY: Final = directory_pb2.ServiceEntry(
    service="many",
    name="Help with papers (TEST)",
    organization_name="Harbour House (TEST)",
    phones=["555-0101"],
    languages=["Arabic", "Spanish"],
    fees="Free",
    free=True,
)
UNSAID: Final = directory_pb2.ServiceEntry(
    service="unsaid", name="Someone to talk to (TEST)", organization_name="Harbour House (TEST)"
)


@dataclass
class Told:
    """A referral service that says what it was told to, or that it cannot."""

    views: list[pb.StepView] = field(default_factory=list)
    away: bool = False
    found: directory_pb2.SearchServicesResponse | None = None
    """What every search finds; None: nobody can be asked."""

    def ListSteps(  # noqa: N802 - the stub's name
        self, _: Any, timeout: float | None = None
    ) -> pb.ListStepsResponse:
        if self.away:
            raise SafehandError(Reason.UNAVAILABLE)
        return pb.ListStepsResponse(steps=self.views)

    def SearchServices(  # noqa: N802 - the stub's name
        self, _: Any, timeout: float | None = None
    ) -> directory_pb2.SearchServicesResponse:
        if self.found is None:
            raise SafehandError(Reason.UNAVAILABLE)
        return self.found


class _Failing:
    """Stubs whose every method fails with ``error``."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, _: str) -> Any:
        def fails(*_: object, **__: object) -> None:
            raise self._error

        return fails


class _Behind(Backend):
    """What is behind her pages here. ``failing``: what consent answers to everything, if set."""

    told: Told
    failing: Exception | None = None

    @property
    def her(self) -> Any:
        return super().her if self.failing is None else _Failing(self.failing)

    @property
    def steps(self) -> Any:
        return self.told

    @property
    def directory(self) -> Any:
        return self.told


class RareWorld(PagesWorld):
    """Her pages in front of consent and of ``told``, in the place of a referral service."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.told = Told()
        self.behind: _Behind

    def portal_process(self, **changed: str) -> App:
        made = super().portal_process(**changed)
        self.behind = _Behind(made.portal.settings)
        self.behind.told = self.told
        return App(replace(made.portal, backend=self.behind))

    @property
    def site(self) -> Portal:
        """As walks need it. A browser keeps the cookie for the name ``localhost`` alone."""
        whole = cast(World, self)
        return Portal(whole, f"http://localhost:{self.web_port}", Outside(""))

    def speak(self, her: Her, language: str) -> None:
        """Let her pages be in ``language``."""
        self.pages.SetLanguage(
            portal_pb2.SetLanguageRequest(session=her.session, language=language)
        )

    def leave(self, her: Her) -> None:
        """Her session is over."""
        self.portal().CloseSession(consent_pb2.CloseSessionRequest(session=her.session))

    def cover(self, her: Her) -> None:
        """Her session waits for the PIN."""
        self.pages.LockSession(portal_pb2.LockSessionRequest(session=her.session))

    @contextmanager
    def failing(self, error: Exception) -> Iterator[None]:
        """Every call in her name fails with ``error`` until the block ends."""
        self.behind.failing = error
        try:
            yield
        finally:
            self.behind.failing = None


@contextmanager
def serving(directory: Path) -> Iterator[RareWorld]:
    """The world of these pages, until the block ends."""
    made = RareWorld(directory)
    made.start().set_up()
    try:
        made.open_portal()
        try:
            yield made
        finally:
            made.close_portal()
    finally:
        made.stop()
        made.store.drop()


def rare(make: Maker, world: RareWorld, language: str) -> Generator[Shown, None, None]:
    """Each of them, one after the other. To be closed where it is left early."""
    walks = _Walks(make, world, language)
    yield from tried(walks)
    yield from helped(walks)
    yield from looked(walks)
    yield from happening(walks)
    yield from finding(walks)
    yield from with_a_guardian(walks)
    yield from by_others(walks)
    yield from without_a_session(walks)
    yield from late(walks)
    yield from wrong(walks)
    yield from ended(walks)


@dataclass(frozen=True, slots=True)
class _Walks:
    """Makes people, and walks in their windows, in one language."""

    make: Maker
    world: RareWorld
    language: str

    def her(self) -> Her:
        """Somebody new whose pages are in this language."""
        return self.speaking(self.world.her())

    def again(self, her: Her) -> Her:
        return self.speaking(self.world.again(her))

    def of(self, her: Her | None = None) -> Walk:
        """Her window; None is nobody's."""
        seated = None
        if her is not None:
            seated = Seated(Person(her.ref, her.card.number, her.card.pin), her.session)
        return self.make(seated, at=self.world.site, **asking_for(self.language))

    def speaking(self, her: Her) -> Her:
        """She, with pages in this language."""
        self.world.speak(her, self.language)
        return her


def tried(walks: _Walks) -> Iterator[Shown]:
    """Somebody guessed at her PIN, and a sharing ends soon."""
    world, she = walks.world, walks.her()
    soon = Timestamp(seconds=world.now + SOON_S)
    world.give(she, expires_at=soon)
    for _ in range(TRIES):
        with refused(Reason.SIGN_IN_FAILED):
            world.sign_in(Card(she.card.number, "000000"))
    walk = walks.of(walks.again(she))
    walk.go("/home")
    yield at("home-tries", walk, 'main .notice.warn a[href="/in/pin"]')
    walk.go("/list")
    yield at("list-soon", walk, ".chip.soon")


def helped(walks: _Walks) -> Iterator[Shown]:
    """A worker got her a number to sign in with."""
    world, she = walks.world, walks.her()
    world.portal().SetCodeWord(
        stops_pb2.SetCodeWordRequest(
            request_id=new_request_id(), session=she.session, code_word=WORD
        )
    )
    world.agency(A).LiftWait(
        stops_pb2.LiftWaitRequest(
            request_id=new_request_id(), subject_ref=she.ref, worker_ref="worker-7", code_word=WORD
        )
    )
    walk = walks.of(walks.again(she))
    walk.go("/home")
    yield at("home-number", walk, 'main .notice.warn a[href="/in/pin"]')


def looked(walks: _Walks) -> Iterator[Shown]:
    """More looks than a page holds, and two who may look."""
    world, she = walks.world, walks.her()
    sent = world.send(world.give(she))
    for _ in range(PAGE_SIZE + 2):
        world.look(sent)
    world.give(she, C)
    walk = walks.of(she)
    walk.go("/seen")
    yield at("seen-many", walk, 'form[action="/seen"] button')
    walk.click('form[action="/seen"] button')
    yield at("seen-older", walk, "main .looks")
    walk.go("/seen")
    # A name beside words in a row of its own would stand without the space between them.
    assert walk.page.locator("main .tabs a > bdi").count() == 0
    walk.click("main .tabs a[href^='/seen/by/'] >> nth=0")
    yield at("seen-by", walk, "main .tabs a[href^='/seen/by/'][aria-current]")


def happening(walks: _Walks) -> Iterator[Shown]:
    """Steps in each state that the tour of a whole system does not come to."""
    world, she = walks.world, walks.her()
    grant = world.give(she)
    views = {
        name: _view(world, world.send(grant).sealed.referral, **changed)
        for name, changed in STEPS.items()
    }
    world.told.views = list(views.values())
    walk = walks.of(she)
    walk.go("/steps")
    yield at("steps-all", walk, "main .items")
    for name, view in views.items():
        walk.go(f"/steps/{_number(world, she, view.referral)}")
        yield at(f"step-{name}", walk, "main .moments")
    # Of one that was allowed and not sent, referral knows nothing.
    walk.go(f"/steps/{_number(world, she, world.send(grant).sealed.referral)}")
    yield at("step-not-sent", walk, "main .moments")
    world.told.away = True
    try:
        walk.go("/steps")
        yield at("steps-away", walk, "main .notice.warn")
        walk.go(f"/steps/{_number(world, she, views['late'].referral)}")
        yield at("step-away", walk, "main .notice.warn")
        walk.go("/home")
        yield at("home-steps-away", walk, "main .cards")
        walk.go("/list")
        walk.click(f"{STOP_ONE} >> nth=0")
        yield at("stopped-steps-away", walk, "main .notice.info")
    finally:
        world.told.away = False
        world.told.views = []


def finding(walks: _Walks) -> Iterator[Shown]:
    """Services that cannot be asked for now; and more of them than a page shows."""
    told, walk = walks.world.told, walks.of()
    walk.go(f"/find?l={walks.language}")
    walk.click(SEARCH)
    yield at("find-away", walk, "main .notice.warn")
    walk.page.check("input[name=free]")
    told.found = directory_pb2.SearchServicesResponse(
        services=[MANY, UNSAID], total=40, next_page_token="next"
    )
    try:
        walk.click(SEARCH)
        yield at("found-many", walk, MORE)
        told.found.next_page_token = ""
        walk.click(MORE)
        yield at("found-the-last", walk, "main .acts button.quiet")
    finally:
        told.found = None


def with_a_guardian(walks: _Walks) -> Iterator[Shown]:
    """What she gave waits for somebody else's signature."""
    world, she = walks.world, walks.her()
    world.needs_guardian(she)
    world.give(she)
    walk = walks.of(she)
    walk.go("/list")
    yield at("list-guardian", walk, "main .chip.ask")
    walk.go(f"/list/{world.only(she).number}")
    yield at("list-n-guardian", walk, "main .notice.info")
    walk.go(f"/list/{world.only(she).number}/given")
    yield at("list-given-guardian", walk, "main .notice.info")


def by_others(walks: _Walks) -> Iterator[Shown]:
    """A worker stopped it for her; and everything is stopped before a new PIN."""
    world, she = walks.world, walks.her()
    world.give(she)
    world.agency(A).StopForHer(
        stops_pb2.StopForHerRequest(
            request_id=new_request_id(), worker_ref="worker-7", channel="phone", subject_ref=she.ref
        )
    )
    walk = walks.of(she)
    walk.go(f"/list/{world.only(she).number}/stopped")
    yield at("stopped-by-worker", walk, GOOD)

    seen = walks.speaking(_with_a_seen_pin(world))
    world.recorded(seen)
    walk = walks.of(seen)
    walk.go("/home")
    assert walk.path.startswith("/in/pin")
    walk.click(STOP_ALL)
    yield at("everything-stopped-pin-first", walk, "main a.main[href^='/in/pin']")


def without_a_session(walks: _Walks) -> Iterator[Shown]:
    """She presses, and meanwhile the session is over, or covered: nothing was done."""
    world, she = walks.world, walks.her()
    world.give(she)
    for name, end in (("over", world.leave), ("covered", world.cover)):
        she = walks.again(she)
        walk = walks.of(she)
        walk.go("/list")
        end(she)
        walk.click(f"{STOP_ONE} >> nth=0")
        yield at(f"not-done-{name}", walk, ERROR)


def late(walks: _Walks) -> Iterator[Shown]:
    """How long to wait for a PIN to be taken; 0: nobody can be asked."""
    said = f"?l={walks.language}"
    world, she = walks.world, walks.her()
    world.give(she)
    number = world.only(she).number
    world.stop_one(she, number)
    for name, walk, path in (
        ("undo", walks.of(she), f"/list/{number}/undo/{{}}"),
        ("show", walks.of(she), "/list/all/{}"),
        ("sign-in", walks.of(), f"/in/late/{{}}{said}"),
        ("pin-again", walks.of(walks.her()), "/in/again/{}"),
        ("pin-new", walks.of(walks.her()), "/in/pin/{}"),
    ):
        for why, minutes in (("wait", 3), ("away", 0)):
            walk.go(path.format(minutes))
            yield at(f"{name}-{why}-told", walk, ERROR)


def wrong(walks: _Walks) -> Iterator[Shown]:
    """Each page that says that something did not work."""
    world, she = walks.world, walks.her()
    world.give(she)
    stopped = f"/list/{world.only(she).number}/stopped"
    walk = walks.of(she)
    said = f"?l={walks.language}"
    for name, error, path in (
        ("refused", SafehandError(Reason.STATE_CONFLICT), "/list"),
        ("throttled", SafehandError(Reason.THROTTLED), "/list"),
        ("failed", RuntimeError("a fault of ours"), "/seen"),
        ("stop-failed", RuntimeError("a fault of ours"), stopped),
        ("away", SafehandError(Reason.UNAVAILABLE), "/seen"),
        ("stop-away", SafehandError(Reason.UNAVAILABLE), stopped),
    ):
        with world.failing(error):
            walk.go(path)
        yield at(f"error-{name}", walk, ERROR)
    # No browser of today's sends these: it shows what was answered to who does.
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    ours = {**form, "Sec-Fetch-Site": "same-origin"}
    whole = urlencode({"card": "", "pin": ""}).encode()
    for name, path, headers, body, status in (
        ("not-ours", "/in", {**form, "Sec-Fetch-Site": "cross-site"}, whole, 403),
        ("old-browser", "/in", form, whole, 403),
        ("no-form", "/in", ours, b"=&" * 100, 400),
        ("no-form-of-ours", "/in", {**ours, "Content-Type": "text/plain"}, whole, 415),
        ("too-large", "/in", ours, b"a" * (BODY_MAX + 1), 413),
    ):
        found = _posted(world, path + said, headers, body)
        assert found.status == status, name
        _show(walk, path + said, found)
        yield at(f"error-{name}", walk, ERROR)


def ended(walks: _Walks) -> Iterator[Shown]:
    """What she did not answer, and what came to its end. It moves the clock: the last of all."""
    world, she = walks.world, walks.her()
    ask = world.ask(she)
    recorded = world.recorded(she)
    short = world.give(she, expires_at=Timestamp(seconds=world.now + SOON_S))
    world.look(world.send(world.give(she)))
    world.later(QUIET_S)
    she = walks.again(she)
    walk = walks.of(she)
    walk.go(f"/list/new/{world.number(she, ask, ASK)}")
    assert walk.path.endswith("/done")
    yield at("asked-lapsed", walk, "main .notice.info")
    for name, grant in (("unconfirmed", recorded), ("expired", short)):
        walk.go(f"/list/{world.number(she, grant)}")
        assert walk.path.endswith("/stopped")
        yield at(f"ended-{name}", walk, GOOD)
    walk.go("/list")
    yield at("list-ended", walk, "#ended")
    walk.go("/seen")
    yield at("seen-quiet", walk, "main .full > p > strong")


# --- steps --------------------------------------------------------------------------------------

STEPS: Final[dict[str, dict[str, Any]]] = {
    "late": {
        "state": pb.REFERRAL_STATE_ACKNOWLEDGED,
        "next": pb.NEXT_ACTOR_RECIPIENT,
        "late": True,
    },
    "declined": {"state": pb.REFERRAL_STATE_DECLINED, "reason_code": "no_capacity"},
    "withdrawn": {"state": pb.REFERRAL_STATE_WITHDRAWN, "reason_code": "other_service_better"},
    "done": {"state": pb.REFERRAL_STATE_COMPLETED, "outcome": "received_service"},
    "sent-again": {
        "state": pb.REFERRAL_STATE_ACCEPTED,
        "next": pb.NEXT_ACTOR_SENDER,
        "reseal_asked_at": True,
    },
    "goes-on": {
        "state": pb.REFERRAL_STATE_ACCEPTED,
        "next": pb.NEXT_ACTOR_RECIPIENT,
        "sharing_stopped": True,
    },
}
"""Each by its name: what referral says of it, but for when."""


def _view(world: RareWorld, referral: str, **changed: Any) -> pb.StepView:
    now = Timestamp(seconds=world.now)
    if changed.pop("reseal_asked_at", False):
        changed["reseal_asked_at"] = now
    if "next" in changed:
        changed["next_by"] = now if changed.get("late") else Timestamp(seconds=world.now + DAY)
    return pb.StepView(
        referral=referral,
        service_name="Help with papers (TEST)",
        moments=[
            pb.StepMoment(state=state, at=now)
            for state in (pb.REFERRAL_STATE_SENT, changed["state"])
        ],
        **changed,
    )


def _number(world: RareWorld, her: Her, referral: str) -> str:
    return next(one.number for one in world.steps(her).steps if one.referral == referral)


# --- people -------------------------------------------------------------------------------------


def _with_a_seen_pin(world: RareWorld) -> Her:
    """Somebody whose PIN a worker has seen."""
    card, ref = world.new_card(), ids.new_id(ENTROPY)
    world.agency(A).RegisterSubject(
        consent_pb2.RegisterSubjectRequest(
            request_id=new_request_id(), subject_ref=ref, card_number=card.number, pin=FIRST_PIN
        )
    )
    seen = Card(card.number, FIRST_PIN)
    return Her(seen, ref, world.sign_in(seen))


# --- what no browser sends ----------------------------------------------------------------------


def _posted(world: RareWorld, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """A form as it is told. In pieces: what tells its length and is too large gets no page."""
    connection = http.client.HTTPConnection("127.0.0.1", world.web_port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", path, iter([body]), dict(headers), encode_chunked=True)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read())
    finally:
        connection.close()


def _show(walk: Walk, path: str, answer: Answer) -> None:
    """Let the browser show ``answer`` at ``path``."""

    def give(route: Route) -> None:
        route.fulfill(status=answer.status, headers=answer.headers, body=answer.body)

    here = re.compile(re.escape(walk.url(path)) + "$")
    walk.page.route(here, give)
    try:
        walk.go(path)
    finally:
        walk.page.unroute(here)

"""The promise itself: after her stop is answered nothing more opens, whoever asks, however often.

Concurrent clients over real gRPC: one person stops and resumes, recipients open, a sender sends.
Then the ledger's own order is read back entry by entry, and the order of answers by one clock.
(What a client's scheduler delivers late, no server can prevent; that is not tested.)
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import consent_pb2_grpc
from safehand_consent_service import grant_leaves, release
from safehand_core import failpoints
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_ledger.fsck import fsck

from tests.consent.release.world import A, B, Sent, World, in_background

SECONDS = 2.0
"""How long the clients go on at least,"""
LATEST_S = 60.0
"""and at most: until each of the outcomes below was seen."""
EXPECTED = {"released", "referred", "stopped", "resumed", Reason.CONSENT_ENDED}
RECIPIENTS = 3
SENDERS = 1
STEPS = (
    "",
    "consent.writer.begin=sleep:0.02",
    "consent.writer.appended=sleep:0.02",
    "consent.writer.before_commit=sleep:0.02",
    "consent.writer.committed=sleep:0.02",
    "consent.writer.anchored=sleep:0.02",
    "consent.release.before_answer=sleep:0.02",
)


@dataclass
class Seen:
    """What one grant's clients and hooks saw, by one monotonic clock."""

    handed: list[float] = field(default_factory=list)
    stop_answered: list[float] = field(default_factory=list)
    pauses: list[tuple[float, float, float]] = field(default_factory=list)
    """She asks for the stops, has the answers of all of them, asks for the resume."""
    opened: list[tuple[float, float]] = field(default_factory=list)
    """From a client asking for a release that it got, to its having it."""
    outcomes: Counter[str] = field(default_factory=Counter)


class Story:
    """One grant, the clients around it, and when they stop."""

    def __init__(self, world: World, session: bytes, seed: int) -> None:
        self.world = world
        self.session = session
        self.grant = world.grant(session)
        self.sent: Sent = world.send(self.grant)
        world.accept(self.sent)
        self.seen = Seen()
        self.random = random.Random(seed)
        self.over = threading.Event()

    def she(self) -> None:
        """Stops, sometimes twice at once, waits a little, resumes."""
        while not self.over.is_set():
            time.sleep(self.random.uniform(0.0, 0.1))
            asks = time.monotonic()
            stops = [in_background(self._stop) for _ in range(self.random.choice((1, 1, 2, 3)))]
            for stop in stops:
                stop()
            stopped = time.monotonic()
            time.sleep(self.random.uniform(0.0, 0.1))
            resumes = time.monotonic()
            self.seen.pauses.append((asks, stopped, resumes))
            self.world.resume_grant(self.session, self.grant)
            self.seen.outcomes["resumed"] += 1

    def _stop(self) -> None:
        self.world.stop_grant(self.session, self.grant)
        self.seen.outcomes["stopped"] += 1

    def recipient(self) -> None:
        """Opens and opens again; some with the request of before."""
        with self.world.new_channel(self.world.tls("agency", B)) as channel:
            stub = consent_pb2_grpc.ConsentServiceStub(channel)
            last: pb.ReleaseKeyRequest | None = None
            while not self.over.is_set():
                if last is None or self.random.random() < 0.8:
                    category = self.random.choice(("CARD", "NAME"))
                    last = self.world.release_request(self.sent, category)
                self._count("released", lambda r=last: stub.ReleaseKey(r))  # type: ignore[misc]

    def sender(self) -> None:
        with self.world.new_channel(self.world.tls("agency", A)) as channel:
            stub = consent_pb2_grpc.ConsentServiceStub(channel)
            while not self.over.is_set():
                request = self.world.authorise_request(self.world.seal(self.grant))
                self._count("referred", lambda r=request: stub.AuthorizeReferral(r))  # type: ignore[misc]

    def _count(self, what: str, ask: Callable[[], object]) -> None:
        asked = time.monotonic()
        try:
            ask()
        except SafehandError as error:
            self.seen.outcomes[error.reason] += 1
            return
        self.seen.outcomes[what] += 1
        if what == "released":
            self.seen.opened.append((asked, time.monotonic()))


def ledger_order(world: World) -> dict[str, list[tuple[int, Kind]]]:
    """Every grant's entries in ledger order, from the stored bodies."""
    found: dict[str, list[tuple[int, Kind]]] = {}
    for index in range(world.size):
        opening = world.app.context.reader.opening(index)
        assert opening is not None
        if opening.kind is not Kind.KEY:
            found.setdefault(str(opening.body["grant"]), []).append((index, opening.kind))
    return found


def check_ledger(entries: list[tuple[int, Kind]]) -> None:
    """No REFER or DISCLOSE between a STOP and its RESUME; after REVOKE or EXPIRE nothing."""
    stopped = final = False
    for index, kind in entries:
        assert not final, f"{kind.name} at {index} after the end"
        if kind in (Kind.REFER, Kind.DISCLOSE):
            assert not stopped, f"{kind.name} at {index} after a stop"
        stopped = kind is Kind.STOP or (stopped and kind is not Kind.RESUME)
        final = kind in (Kind.REVOKE, Kind.EXPIRE)


def check_answers(seen: Seen) -> None:
    """Nothing was handed over, or asked for and given, while she had her stop's answer."""
    for asks, stopped, resumes in seen.pauses:
        answered = min(at for at in seen.stop_answered if asks <= at <= stopped)
        late = [at for at in seen.handed if answered < at < resumes]
        assert not late, "a release was handed over after the stop was answered"
        given = [one for one in seen.opened if stopped < one[0] and one[1] < resumes]
        assert not given, "a release was asked for and given after the stop was answered"


@pytest.mark.parametrize("step", STEPS)
def test_nothing_opens_after_a_stop(
    fresh_world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    world = fresh_world
    monkeypatch.setattr(release, "LOOKS", 10**6)
    monkeypatch.setattr(grant_leaves, "MOST", {})
    session = world.session()
    stories = [Story(world, session, seed) for seed in range(2)]
    by_grant = {story.grant: story.seen for story in stories}
    world.app.hooks.release_handed = lambda grant, at: by_grant[grant].handed.append(at)
    world.app.hooks.stop_answered = lambda grant, at: by_grant[grant].stop_answered.append(at)
    failpoints.arm(step)
    outcomes = [
        in_background(work)
        for story in stories
        for work in (story.she, *[story.recipient] * RECIPIENTS, *[story.sender] * SENDERS)
    ]
    enough, latest = time.monotonic() + SECONDS, time.monotonic() + LATEST_S
    while time.monotonic() < latest and (
        time.monotonic() < enough or not all(s.seen.outcomes.keys() >= EXPECTED for s in stories)
    ):
        time.sleep(0.05)
    for story in stories:
        story.over.set()
    for outcome in outcomes:
        outcome()
    failpoints.arm("")
    for story in stories:
        world.stop_grant(session, story.grant, pb.STOP_MODE_DESTROY_NOW)
        with pytest.raises(SafehandError, match=Reason.CONSENT_ENDED):
            world.release(story.sent)
    order = ledger_order(world)
    for story in stories:
        check_answers(story.seen)
        check_ledger(order[story.grant])
        count = story.seen.outcomes
        assert count.keys() >= EXPECTED, count
        assert count.keys() <= EXPECTED | {Reason.UNAVAILABLE}, count
        assert len(story.seen.handed) >= count["released"]
    vkey = world.app.context.ledger.vkey
    world.stop()
    report = fsck(world.store.location, vkey, world.settings.anchor)
    world.start()
    assert report.ok, report.problems


def test_the_checks_would_notice() -> None:
    """The two checks themselves, on histories that must not be."""
    with pytest.raises(AssertionError):
        check_ledger([(0, Kind.GRANT), (1, Kind.STOP), (2, Kind.DISCLOSE)])
    with pytest.raises(AssertionError):
        check_ledger([(0, Kind.GRANT), (1, Kind.STOP), (2, Kind.RESUME), (3, Kind.REVOKE)] * 2)
    check_ledger([(0, Kind.GRANT), (1, Kind.STOP), (2, Kind.RESUME), (3, Kind.DISCLOSE)])
    late = Seen(handed=[1.5], stop_answered=[1.0], pauses=[(0.8, 1.1, 2.0)])
    asked = Seen(opened=[(1.2, 1.3)], stop_answered=[1.0], pauses=[(0.8, 1.1, 2.0)])
    for seen in (late, asked):
        with pytest.raises(AssertionError):
            check_answers(seen)
    check_answers(Seen(handed=[0.9, 2.1], stop_answered=[1.0], pauses=[(0.8, 1.1, 2.0)]))

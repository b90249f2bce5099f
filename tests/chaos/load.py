"""The load: people who say yes, stop and say yes again, and agencies that send, answer and open.

Each actor goes on through whatever happens: a call that gets no answer is made again, and only
what was answered is written into the journal.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from safehand_cli.story import PURPOSE
from safehand_client import Fetched, SurvivorClient
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind

from tests.chaos.journal import Journal, Look, Promise, Story
from tests.harness.world import CATEGORIES, WORKER, Person, World

T = TypeVar("T")

AWAY: Final = frozenset(
    {
        Reason.UNAVAILABLE,
        Reason.LEDGER_STARTING,
        Reason.OVERLOADED,
        Reason.INTERNAL,
        Reason.DEADLINE_INVALID,
    }
)
"""No answer, or one that says: again."""
PATIENCE_S: Final = 120.0
"""How long one call is tried: processes start again within seconds, a database within ten."""
PAUSE_S: Final = 0.2


class GaveUpError(Exception):
    """A call got no answer for so long that the system counts as stuck."""


class Actor(threading.Thread):
    """One person after another, with a referral each."""

    def __init__(
        self, world: World, journal: Journal, stopping: threading.Event, seed: int
    ) -> None:
        super().__init__(name=f"actor-{seed}", daemon=True)
        self._world = world
        self._journal = journal
        self._stopping = stopping
        self._dice = random.Random(seed)
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._one_life()
        except BaseException as error:
            self.failure = error
            self._stopping.set()

    def _one_life(self) -> None:
        try:
            person = self._again("person", self._world.person)
            story, fetched = self._said_yes(person)
            for _ in range(self._dice.randint(1, 3)):
                self._look(story, fetched)
                self._stop_and_go(story, fetched)
            self._end(story, fetched)
        except SafehandError as error:
            # A PIN that was tried while its service died counts as tried: she waits, we do not.
            if error.reason is not Reason.THROTTLED:
                raise
            self._journal.count("throttled")

    def _said_yes(self, person: Person) -> tuple[Story, Fetched]:
        given = self._hers(
            person,
            "grant",
            lambda her: her.grant(
                releasing="agency-a", recipient="agency-b", purpose=PURPOSE, categories=CATEGORIES
            ),
        )
        story = self._journal.open(person, given.grant.grant, given.receipt.index)
        sent = self._again("send", lambda: self._world.send(story.grant))
        story.promises.append(Promise(Kind.REFER, sent.refer_index))
        story.referrals.append(sent.referral)
        b = self._world.agency_b
        fetched = self._again("fetch", lambda: b.fetch(sent.referral))
        self._again("accept", lambda: b.accept(fetched))
        story.accepted.append(sent.referral)
        return story, fetched

    def _look(self, story: Story, fetched: Fetched) -> None:
        asked = time.monotonic()
        opened = self._again(
            "open", lambda: self._world.agency_b.open(fetched, "NAME", worker_ref=WORKER)
        )
        story.looks.append(Look(asked, time.monotonic()))
        story.promises.append(Promise(Kind.DISCLOSE, opened.disclose_index))

    def _stop_and_go(self, story: Story, fetched: Fetched) -> None:
        stopped = self._hers(story.person, "stop", lambda her: her.stop(story.grant))
        story.stopped()
        story.promises.append(Promise(Kind.STOP, stopped.stop_receipt.index))
        for _ in range(self._dice.randint(1, 3)):
            self._must_be_shut(story, fetched)

        def resume(her: SurvivorClient) -> int | None:
            try:
                return her.resume(story.grant).receipt.index
            except SafehandError as error:
                if error.reason is Reason.STATE_CONFLICT:
                    return None  # an earlier try was heard, and its answer lost
                raise

        story.about_to_resume()
        index = self._hers(story.person, "resume", resume)
        if index is not None:
            story.promises.append(Promise(Kind.RESUME, index))

    def _end(self, story: Story, fetched: Fetched) -> None:
        done = self._hers(
            story.person, "destroy", lambda her: her.stop(story.grant, destroy_now=True)
        )
        story.stopped()
        story.promises.append(Promise(Kind.STOP, done.stop_receipt.index))
        story.promises.append(Promise(Kind.REVOKE, done.revoke_receipt.index))
        self._must_be_shut(story, fetched)

    def _must_be_shut(self, story: Story, fetched: Fetched) -> None:
        """One try after the stop was answered; whatever it says, it opens nothing."""
        asked = time.monotonic()
        try:
            self._world.agency_b.open(fetched, "NAME", worker_ref=WORKER)
        except SafehandError:
            self._journal.count("shut")
        else:
            story.looks.append(Look(asked, time.monotonic()))

    # --- through whatever happens -------------------------------------------------------------

    def _hers(self, person: Person, what: str, act: Callable[[SurvivorClient], T]) -> T:
        def once() -> T:
            with self._world.session(person) as her:
                return act(her)

        return self._again(what, once)

    def _again(self, what: str, act: Callable[[], T]) -> T:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                done = act()
            except SafehandError as error:
                if error.reason not in AWAY and error.reason is not Reason.SESSION_INVALID:
                    raise
                self._journal.count("tried again")
                if time.monotonic() > deadline:
                    raise GaveUpError(f"{what}: no answer for {PATIENCE_S:.0f} s") from error
                time.sleep(max(PAUSE_S, min(error.retry_after_s or 0.0, 3.0)))
            else:
                self._journal.count(what)
                return done

"""Steady load: one whole story after another, each by somebody new, at a rate.

A life is twenty-odd calls of every kind: card, yes, referral, answer, look, stop, a look that is
refused, undo, narrowing, a question with its no, the end. What one leaves behind is what the next
finds, so a service that keeps anything for ever grows.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from safehand_cli.story import PURPOSE
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.harness.world import CATEGORIES, WORKER, World

CALLS: Final = 21
"""Calls of one life, those of signing in and out included, those of the clients' checks not."""
ASKING: Final = 10
"""One life in so many is also asked something, and says no: three calls more. An agency may ask 500
questions a day, and an hour of lives is more than that."""
AT_ONCE: Final = 4
"""Lives that may overlap; one that would be the fifth begins later."""
ASK_DAYS: Final = 30


class Lives:
    """Begins ``rate`` lives a second until ``stop``. Counts what was done and what failed."""

    def __init__(self, world: World, rate: float) -> None:
        self._world = world
        self._every_s = 1.0 / rate
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._next = time.monotonic()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(AT_ONCE)]
        self._begun = 0
        self.lived = 0
        self.failed: dict[str, int] = {}

    @property
    def calls(self) -> int:
        return self.lived * CALLS

    def start(self) -> None:
        self._next = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._lock:
                self._begun += 1
                begun = self._begun
                # Late lives are not caught up with: the load stays what the machine can bear.
                begins = self._next = max(self._next + self._every_s, time.monotonic())
            if self._stopping.wait(max(0.0, begins - time.monotonic())):
                return
            try:
                one_life(self._world, asked=begun % ASKING == 0)
            except SafehandError as error:
                with self._lock:
                    self.failed[error.reason.value] = self.failed.get(error.reason.value, 0) + 1
            else:
                with self._lock:
                    self.lived += 1


def one_life(world: World, *, asked: bool) -> None:
    """Raises SafehandError where a step did not hold."""
    a, b = world.agency_a, world.agency_b
    person = world.person()
    with world.session(person) as her:
        grant = her.grant(
            releasing="agency-a", recipient="agency-b", purpose=PURPOSE, categories=CATEGORIES
        ).grant.grant
        fetched = world.accepted(grant)
        b.open(fetched, "NAME", worker_ref=WORKER)
        her.stop(grant)
        try:
            b.open(fetched, "CONTACT", worker_ref=WORKER)
        except SafehandError as error:
            if error.reason is not Reason.CONSENT_ENDED:
                raise
        else:
            raise SafehandError(Reason.INTERNAL, "a stop did not hold")
        her.resume(grant)
        her.narrow(grant, ["CONTACT"])
        b.complete(fetched.referral, "received_service")
        if asked:
            question = a.ask_consent(
                subject_ref=person.subject_ref,
                worker_ref=WORKER,
                releasing="agency-a",
                recipient="agency-b",
                purpose=PURPOSE,
                categories=("NAME",),
                days=ASK_DAYS,
            )
            her.questions()
            her.say_no(question.ask)
        her.grants()
        her.looks(grant)
        her.receipt(grant)
        her.stop(grant, destroy_now=True)
        her.sign_out()

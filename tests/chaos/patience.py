"""Asking through whatever happens: the same request, with the same id, until it is answered."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final, TypeVar

from safehand_client import SurvivorClient
from safehand_core.entropy import SeededEntropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.chaos.journal import Journal
from tests.harness.world import Person, World

T = TypeVar("T")

AWAY: Final = frozenset(
    {
        Reason.UNAVAILABLE,
        Reason.LEDGER_STARTING,
        Reason.OVERLOADED,
        Reason.DEADLINE_INVALID,
    }
)
"""No answer, or one that says: again. INTERNAL is none of them: it is an error that nobody thought
of, and a caller who was told it does not know what became of the request."""
PATIENCE_S: Final = 180.0
"""How long one call is tried: processes start again within seconds, a database within ten, and
several troubles may follow each other."""
PAUSE_S: Final = 0.2
WAIT_S: Final = 3.0
"""Longest wait that a service may ask for."""


class GaveUpError(Exception):
    """A call got no answer for so long that the system counts as stuck."""


class Patience:
    """Calls of one actor."""

    def __init__(self, world: World, journal: Journal) -> None:
        self._world = world
        self._journal = journal

    def hers(self, person: Person, what: str, act: Callable[[SurvivorClient], T]) -> T:
        """``act`` with a session of hers. Every try makes the same request ids."""
        seed = os.urandom(16)

        def once() -> T:
            her = SurvivorClient(self._world.party("her"), entropy=SeededEntropy(seed))
            try:
                her.sign_in(person.card, person.pin)
                return act(her)
            finally:
                her.close()

        return self.again(what, once)

    def again(self, what: str, act: Callable[[], T]) -> T:
        """``act`` until it is answered; raises what is an answer, and GaveUpError."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                done = act()
            except SafehandError as error:
                if error.reason not in AWAY and error.reason is not Reason.SESSION_INVALID:
                    raise
                self._journal.count("tried again")
                self._journal.told(error.reason)
                if time.monotonic() > deadline:
                    raise GaveUpError(f"{what}: no answer for {PATIENCE_S:.0f} s") from error
                time.sleep(max(PAUSE_S, min(error.retry_after_s or 0.0, WAIT_S)))
            else:
                self._journal.count(what)
                return done

"""Looking at dead letters and applying them after all: what an operator does (docs/operations).

A replay applies the effect in the transaction that closes the letter, so a letter is applied once,
however often and by however many it is replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from safehand.events.v1 import events_pb2
from safehand_core import logs
from safehand_store.engine import begin_read, begin_write
from sqlalchemy import Connection as Db
from sqlalchemy import Engine

from safehand_bus import dead_letter
from safehand_bus.dead_letter import Letter

REPLAY_AT_MOST: Final = 1000
"""Letters of one replay; more are replayed by another."""

Apply = Callable[[Db, events_pb2.Event], None]


class Letters:
    """The dead letters of one database. Blocking; safe to share between threads.

    Args:
        apply: the effect of one event, by its source.
        applied: called after each commit with the event.
    """

    def __init__(
        self,
        engine: Engine,
        apply: Callable[[str], Apply],
        *,
        applied: Callable[[events_pb2.Event], None] = lambda event: None,
    ) -> None:
        self._engine = engine
        self._apply = apply
        self._applied = applied

    def open_after(self, number: int, limit: int) -> tuple[Sequence[Letter], int]:
        """At most ``limit`` open ones behind ``number``, and how many are open in all."""
        with begin_read(self._engine) as db:
            return dead_letter.after(db, number, limit), dead_letter.count(db)

    def counts(self) -> dict[tuple[str, str], int]:
        """How many are open, by source and class of error: for a metric."""
        with begin_read(self._engine) as db:
            return dead_letter.counts(db)

    def get(self, number: int) -> Letter | None:
        """One letter, whatever its state; None where there is none of that number."""
        with begin_read(self._engine) as db:
            return dead_letter.get(db, number)

    def replay(self, numbers: Sequence[int]) -> Sequence[Letter]:
        """Try these (none: all that are open) again; returns them as they are now.

        Numbers that name no letter are left out. A letter whose effect fails again stays open,
        with one more attempt, and holds up no other.
        """
        if not numbers:
            numbers = [letter.number for letter in self.open_after(0, REPLAY_AT_MOST)[0]]
        found = [self._replay(number) for number in sorted(set(numbers))]
        return [letter for letter in found if letter is not None]

    def _replay(self, number: int) -> Letter | None:
        try:
            event = self._replay_once(number)
        except Exception as error:
            logs.get().warning("dead_letter.failed_again", exception=type(error).__name__)
            with begin_write(self._engine) as db:
                dead_letter.failed_again(db, number, type(error).__name__)
        else:
            if event is not None:
                self._applied(event)
        return self.get(number)

    def _replay_once(self, number: int) -> events_pb2.Event | None:
        with begin_write(self._engine) as db:
            letter = dead_letter.get(db, number, lock=True)
            if letter is None or letter.state != dead_letter.OPEN:
                return None
            if letter.event is None:
                dead_letter.set_state(db, number, dead_letter.CLOSED)
                return None
            self._apply(letter.source)(db, letter.event)
            dead_letter.set_state(db, number, dead_letter.APPLIED)
            return letter.event

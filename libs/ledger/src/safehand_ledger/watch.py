"""Whether the database still answers the writer, looked at from beside it.

A question on a connection whose other end is gone without a word is waited for for ever: behind a
proxy no timeout of the transport notices. So what the writer's thread has waited for long is asked
for on another connection: does its session still hold the lock? A commit that waits for a standby
may take hours, and is let wait; only a lock that is gone, or silence there too, ends the process.

This is for whoever would wait for a dead process, not for the ledger's order: that rests on the
lock alone, and on what leaves in time (``election.HOLD_S``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

LOOK_EVERY_S: Final = 1.0
"""Seconds between two looks at what the writer's thread waits for."""
ASK_AFTER_S: Final = 6.0
"""Seconds without an answer before the other connection is asked: a second more than a write
transaction waits for another one (``postgres.LOCK_TIMEOUT_MS``)."""
SILENT_S: Final = 20.0
"""Seconds without an answer on either connection before the process ends: two tries of
``postgres.CONNECT_TIMEOUT_S`` for each of two hosts fit behind ``ASK_AFTER_S``."""


class Watch:
    """Watches one writer. ``held`` asks the database; ``give_up`` ends the process.

    ``held`` may raise, and may never return; ``give_up`` is called at most once.
    """

    def __init__(
        self,
        held: Callable[[], bool],
        give_up: Callable[[str], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._held = held
        self._give_up = give_up
        self._monotonic = monotonic
        self._asked: float | None = None
        self._sign_of_life = monotonic()
        self._asking: threading.Thread | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Nothing is looked at any more. Before the lock is let go of. Idempotent."""
        with self._lock:
            self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    # --- the writer's thread --------------------------------------------------------------------

    def asked(self) -> None:
        """From now on the writer's thread waits for the database."""
        self._asked = self._monotonic()

    def answered(self) -> None:
        """It has what it waited for."""
        self._asked = None

    # --- the watch's own ------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            self.look()

    def look(self) -> None:
        """Ask, or give up, where there was no answer for so long."""
        asked = self._asked
        if asked is None:
            return
        silent = self._monotonic() - max(asked, self._sign_of_life)
        if silent >= SILENT_S:
            self._end(asked, "the database does not answer")
        elif silent >= ASK_AFTER_S and not (self._asking and self._asking.is_alive()):
            # In a thread of its own, because this may be the way that is dark.
            self._asking = threading.Thread(
                target=self._ask, args=(asked,), name="ledger-watch-asks", daemon=True
            )
            self._asking.start()

    def _ask(self, asked: float) -> None:
        begun = self._monotonic()
        # An error is no answer: another try, until it was silent too long.
        with suppress(Exception):
            if self._held():
                self._sign_of_life = begun
            else:
                self._end(asked, "another process may be the writer")

    def _end(self, asked: float, why: str) -> None:
        with self._lock:
            # Answered meanwhile, or closing: the lock may have been let go of on purpose.
            if self._over.is_set() or self._asked != asked:
                return
            self._over.set()
        self._give_up(why)

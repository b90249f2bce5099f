"""The ledger's own time: never backwards, and never dragged forward by a clock that jumped.

PROTOCOL rule 5. A clock is suspect when it runs more than ten minutes ahead of the monotonic one,
or at start more than seven days ahead of the ledger. It stays suspect until an operator confirms;
meanwhile the ledger's time goes on from the last trusted reading at the monotonic clock's pace.
"""

from __future__ import annotations

import threading
from typing import Final

from safehand_core.clock import Clock

MAX_LEAD_S: Final = 600
"""Seconds the wall clock may gain on the monotonic clock before nobody believes it."""
MAX_START_LEAD_S: Final = 7 * 24 * 3600
"""Seconds the ledger may have been off before an operator must confirm the clock."""


class ClockGuard:
    """``ledger_now``, thread-safe.

    ``floor`` is the ledger time that was stored last; ``fresh`` says that the ledger is empty,
    so that its stored time means nothing.
    """

    def __init__(self, clock: Clock, floor: int, *, fresh: bool) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._now = floor
        wall = clock.wall()
        self._suspect = not fresh and wall > floor + MAX_START_LEAD_S
        self._base_wall = floor if self._suspect else max(wall, floor)
        self._base_monotonic = clock.monotonic()

    def now(self) -> int:
        """Seconds since the epoch: max(wall clock, everything returned before)."""
        with self._lock:
            return self._read()

    @property
    def suspect(self) -> bool:
        """Whether the clock moved in a way that clocks do not, and nobody has confirmed it."""
        with self._lock:
            self._read()
            return self._suspect

    def confirm(self) -> None:
        """An operator looked: the wall clock is right as it is now."""
        with self._lock:
            self._base_wall = self._clock.wall()
            self._base_monotonic = self._clock.monotonic()
            self._suspect = False

    def _read(self) -> int:
        wall = self._clock.wall()
        expected = self._base_wall + self._clock.monotonic() - self._base_monotonic
        if wall > expected + MAX_LEAD_S:
            self._suspect = True
        self._now = max(self._now, int(expected) if self._suspect else wall)
        return self._now

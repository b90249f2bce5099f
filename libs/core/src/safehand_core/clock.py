"""Time as a constructor argument.

No setting of a running service can change its clock (PROTOCOL rule 5): services are built with
``SystemClock`` by their entry point, and tests build the same objects with ``ManualClock``.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

_MONOTONIC = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """Two readings of time."""

    def wall(self) -> int:
        """Seconds since the Unix epoch, UTC. May jump in either direction."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start. Never runs backwards."""
        ...


def elapsing() -> float:
    """Seconds from an arbitrary start, those in which the machine slept among them."""
    # On Linux a plain monotonic clock stands still while the machine sleeps; this one does not, so
    # that a lid closed for an hour is neither a suspect clock nor a moment.
    return time.clock_gettime(_MONOTONIC)


class SystemClock:
    """The machine's own clocks."""

    def wall(self) -> int:
        return int(time.time())

    def monotonic(self) -> float:
        return elapsing()


class ManualClock:
    """A clock that moves only when a test moves it. Safe to share between threads."""

    def __init__(self, wall: int = 1_790_000_000, monotonic: float = 1000.0) -> None:
        self._lock = threading.Lock()
        self._wall = wall
        self._monotonic = monotonic

    def wall(self) -> int:
        with self._lock:
            return self._wall

    def monotonic(self) -> float:
        with self._lock:
            return self._monotonic

    def advance(self, seconds: float) -> None:
        """Time passes: both readings move."""
        with self._lock:
            self._wall += int(seconds)
            self._monotonic += seconds

    def jump_wall(self, seconds: int) -> None:
        """Somebody sets the wall clock: only it moves."""
        with self._lock:
            self._wall += seconds

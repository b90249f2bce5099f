"""Whether the loops of a process get on with their work, and since when they do not."""

from __future__ import annotations

import threading
from typing import Final

from safehand_core import logs
from safehand_core.clock import Clock, SystemClock

FAILING_S: Final = 30.0
"""A loop that fails for longer than this, in seconds, makes its process NOT_SERVING: longer than a
restart of the bus or of a source takes, shorter than a person would wait for news."""


class Pulse:
    """What loops say of themselves. Safe to share between threads."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._since: dict[str, float] = {}

    def failed(self, part: str) -> None:
        """``part`` failed; it counts as failing until it says ``worked``."""
        with self._lock:
            self._since.setdefault(part, self._clock.monotonic())

    def worked(self, part: str) -> None:
        """``part`` did something useful."""
        with self._lock:
            self._since.pop(part, None)

    def failing_s(self) -> float:
        """For how long the worst part has been failing, in seconds; 0 where none is."""
        with self._lock:
            if not self._since:
                return 0.0
            return self._clock.monotonic() - min(self._since.values())


class Verdict:
    """Turns a pulse into SERVING or not, and logs each change once."""

    def __init__(self, pulse: Pulse, *, failing_s: float = FAILING_S) -> None:
        self._pulse = pulse
        self._limit = failing_s
        self._healthy = True

    def healthy(self) -> bool:
        """Whether no part has been failing for longer than the limit."""
        healthy = self._pulse.failing_s() <= self._limit
        if healthy != self._healthy:
            self._healthy = healthy
            if healthy:
                logs.get().info("bus.recovered")
            else:
                logs.get().error("bus.failing", delay_s=self._limit)
        return healthy

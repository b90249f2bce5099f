"""The writer's queue: stops in a lane of their own, always taken first."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final, Generic, TypeVar

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

MAX_WAITING: Final = 8192
"""Jobs that may wait besides stops; more would wait longer than any deadline. Stops always fit."""

J = TypeVar("J")


class Lanes(Generic[J]):
    """Moving a stop forward is always safe: it can only make later entries refuse."""

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._ready = threading.Condition()
        self._stops: deque[J] = deque()
        self._others: deque[J] = deque()
        self._max_waiting = max_waiting
        self._closed = False

    def put(self, job: J, *, stop: bool) -> None:
        """Queue ``job``. Raises UNAVAILABLE after ``close``, OVERLOADED when the lane is full."""
        with self._ready:
            if self._closed:
                raise SafehandError(Reason.UNAVAILABLE, "the ledger is closing")
            if not stop and len(self._others) >= self._max_waiting:
                raise SafehandError(Reason.OVERLOADED, "the ledger's queue is full")
            (self._stops if stop else self._others).append(job)
            self._ready.notify()

    def take(self, most: int, within_s: float | None = None) -> list[J] | None:
        """What waits, stops first, at most ``most``; waits for one. Empty: closed and drained.

        None: nothing came ``within_s`` seconds.
        """
        with self._ready:
            while not (self._stops or self._others or self._closed):
                if not self._ready.wait(within_s):
                    return None
            batch: list[J] = []
            for lane in (self._stops, self._others):
                while lane and len(batch) < most:
                    batch.append(lane.popleft())
            return batch

    def waiting(self) -> tuple[int, int]:
        """How many stops and how many others wait."""
        with self._ready:
            return len(self._stops), len(self._others)

    def close(self) -> None:
        """Take no more jobs; what waits is still handed out."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()

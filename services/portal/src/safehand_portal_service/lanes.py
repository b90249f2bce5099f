"""Threads for requests, in lanes: who waits in one of them does not stand in the way of another.

Most pages share the threads that Starlette has for everybody. While a service is slow all of them
may be waiting for it, so what must not wait has a lane of its own; and what anybody can ask for
without a session has narrow ones, that it cannot fill the threads of the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, TypeVar

from anyio import CapacityLimiter, to_thread

R = TypeVar("R")


class Lane(Enum):
    """What a request waits with. ``COMMON``: the threads for everybody."""

    COMMON = "common"
    WORDS = "words"
    """Pages that ask no service for anything."""
    LEAVING = "leaving"
    STOPS = "stops"
    """Her stops. Nobody's wait for a page may hold one up."""
    STOPPED = "stopped"
    """What a stop did. A service that it asks may be slow, so that a stop does not wait for it."""
    SIGN_IN = "sign_in"
    FIND = "find"


THREADS: Final = {
    Lane.WORDS: 4,
    Lane.LEAVING: 16,
    Lane.STOPS: 16,
    Lane.STOPPED: 8,
    Lane.SIGN_IN: 8,
    Lane.FIND: 8,
}
"""Requests at a time. The last two are for whoever comes by: consent hashes two or three PINs at a
time, and the directory answers in milliseconds, so eight are never what somebody waits for."""

WAITING_MAX: Final = 64
"""Requests that may wait in a lane that anybody can fill. With more than that she would not see
the answer in the time for which people wait; she is told at once, and whom to call."""

_BOUNDED: Final = (Lane.SIGN_IN, Lane.FIND)


class Full(Exception):
    """Too many wait in this lane: nothing was begun."""


class Lanes:
    """The lanes of one portal; for one event loop."""

    def __init__(self) -> None:
        self._own = {lane: CapacityLimiter(count) for lane, count in THREADS.items()}
        # Counted here: who has yet to reach a limiter is in none of its numbers.
        self._inside = dict.fromkeys(_BOUNDED, 0)

    async def run(self, lane: Lane, what: Callable[[], R]) -> R:
        """``what()`` in a thread of ``lane``. Raises ``Full``, and what it raises."""
        own = self._own.get(lane)
        if lane not in self._inside:
            return await to_thread.run_sync(what, limiter=own)
        if self._inside[lane] >= THREADS[lane] + WAITING_MAX:
            raise Full
        self._inside[lane] += 1
        try:
            return await to_thread.run_sync(what, limiter=own)
        finally:
            self._inside[lane] -= 1

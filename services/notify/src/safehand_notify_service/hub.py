"""Which streams are open, and who rings for whom. For one event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

STREAMS_PER_AGENCY: Final = 8
"""An agency's systems share one stream each; more is a loop that forgets to close."""
RETRY_S: Final = 1.0
"""When to follow again after the service ended a stream, in seconds."""


class Bell:
    """Rings at new deliveries of one agency, and at the end."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._ended = False

    def clear(self) -> None:
        """Forget what rang so far; call it before looking."""
        self._event.clear()

    async def wait(self) -> None:
        """Return at the next ring; raises UNAVAILABLE once the service is ending."""
        await self._event.wait()
        self.require_open()

    def require_open(self) -> None:
        """Raise UNAVAILABLE once the service is ending."""
        if self._ended:
            raise _ending()

    def ring(self, *, end: bool = False) -> None:
        """Wake the stream; with ``end`` for good."""
        self._ended = self._ended or end
        self._event.set()


class Hub:
    """The open streams by agency."""

    def __init__(self, limit: int = STREAMS_PER_AGENCY) -> None:
        self._limit = limit
        self._bells: defaultdict[str, set[Bell]] = defaultdict(set)
        self._ended = False

    @contextlib.contextmanager
    def follow(self, agency: str) -> Iterator[Bell]:
        """Count one stream of ``agency`` while the block runs.

        Raises OVERLOADED for one too many, UNAVAILABLE once the service is ending.
        """
        if self._ended:
            raise _ending()
        if len(self._bells.get(agency, ())) >= self._limit:
            raise SafehandError(
                Reason.OVERLOADED, "this agency has its most streams open", retry_after_s=RETRY_S
            )
        bell = Bell()
        self._bells[agency].add(bell)
        try:
            yield bell
        finally:
            self._bells[agency].discard(bell)
            if not self._bells[agency]:
                del self._bells[agency]

    def ring(self, agencies: Iterable[str]) -> None:
        """Tell the streams of these agencies that there is something new."""
        for agency in set(agencies):
            for bell in self._bells.get(agency, ()):
                bell.ring()

    def end(self) -> None:
        """End every stream, and let no new one begin."""
        self._ended = True
        for bells in self._bells.values():
            for bell in bells:
                bell.ring(end=True)

    def streams(self) -> int:
        """How many streams are open, of all agencies together. From any thread."""
        return sum(len(bells) for bells in list(self._bells.values()))

    def open_streams(self, agency: str) -> int:
        """How many streams an agency has open."""
        return len(self._bells.get(agency, ()))


def _ending() -> SafehandError:
    return SafehandError(
        Reason.UNAVAILABLE,
        "the service is restarting: follow again from your last cursor",
        retry_after_s=RETRY_S,
    )

"""When releases were made: what entries alone prove about the clock and the sweep.

A consent that is due to end is ended by a sweep, within seconds. How late that is cannot be read
from the ledger's time: while the clock is suspect nothing is deleted, for as long as it takes until
an operator looks, and stops and grants go on. A release proves more. It is refused while the clock
is suspect, and a start sweeps before it serves. Whoever released for longer than a day after
something was due could have ended it.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

LATE_S: Final = 24 * 3600
"""Seconds of releases behind an end that was due and did not come. A sweep takes seconds; a day is
what the promise of destruction leaves for the copies (DESIGN 3.4)."""
_APART_S: Final = 3600
"""Of the releases of one hour the first is kept: a ledger holds millions."""


class Releases:
    """The times of releases, seconds since the epoch, in the order of the entries."""

    def __init__(self) -> None:
        self._kept: list[int] = []
        self._last = 0

    def note(self, at: int) -> None:
        """There is a release at ``at``; never earlier than the one before."""
        if not self._kept or at >= self._kept[-1] + _APART_S:
            self._kept.append(at)
        self._last = max(self._last, at)

    def went_on_after(self, due: int) -> bool:
        """Whether the first release from ``due`` on was followed by another, over a day later."""
        place = bisect_left(self._kept, due)
        return place < len(self._kept) and self._last > self._kept[place] + LATE_S

"""Waiting before the next try: exponential, with a cap and full jitter.

Full jitter draws the whole wait, not a little of it, so that many who lost the same server do not
all come back in the same moment. Source: M. Brooker, "Exponential Backoff And Jitter", 2015.
"""

from __future__ import annotations

from typing import Final

from safehand_core.entropy import Entropy, SystemEntropy

FIRST_DELAY_S: Final = 0.1
"""Longest wait before the first repeat."""
LAST_DELAY_S: Final = 2.0
"""Longest wait before any: an outage ends within so many seconds of its end."""
MAX_DOUBLINGS: Final = 32
_WORD_BYTES: Final = 8


class Backoff:
    """The waits of one loop. Not for several threads.

    Args:
        first_s: upper bound of the first wait, in seconds; doubled for each next one.
        last_s: upper bound of every wait, in seconds.
        entropy: where the jitter comes from.
    """

    def __init__(
        self,
        first_s: float = FIRST_DELAY_S,
        last_s: float = LAST_DELAY_S,
        *,
        entropy: Entropy | None = None,
    ) -> None:
        self._first_s = first_s
        self._last_s = last_s
        self._entropy = entropy or SystemEntropy()
        self._tries = 0

    def next(self) -> float:
        """The next wait in seconds: anywhere from 0 up to its bound."""
        delay = self.at(self._tries)
        self._tries += 1
        return delay

    def at(self, tries: int) -> float:
        """A wait after so many failed tries before this one, in seconds."""
        bound = min(self._first_s * 2.0 ** min(max(tries, 0), MAX_DOUBLINGS), self._last_s)
        word = int.from_bytes(self._entropy.bytes(_WORD_BYTES), "big")
        return bound * (word / (1 << (8 * _WORD_BYTES)))

    def reset(self) -> None:
        """It worked: the next wait is a first one."""
        self._tries = 0

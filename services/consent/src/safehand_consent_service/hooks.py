"""Where a test may watch the order of answers. In production nothing is ever set here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

Watch = Callable[[str, float], None]
"""``(grant id, reading of the process's monotonic clock in seconds)``."""


@dataclass(slots=True)
class Hooks:
    """Both watches read one clock, so that a test can compare what they saw.

    Attributes:
        release_handed: a release goes to the transport now, still inside its gate.
        stop_answered: a stop is durable and drained, and its answer goes out now.
    """

    release_handed: Watch | None = None
    stop_answered: Watch | None = None

    def tell_release_handed(self, grant: str) -> None:
        if self.release_handed is not None:
            self.release_handed(grant, time.monotonic())

    def tell_stop_answered(self, grant: str) -> None:
        if self.stop_answered is not None:
            self.stop_answered(grant, time.monotonic())

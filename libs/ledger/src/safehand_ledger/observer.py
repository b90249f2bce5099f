"""Where somebody who measures may watch the writer. It watches nothing by itself."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext


class Observer:
    """Does nothing; a subclass may. It must not raise, and must not wait."""

    def submitting(self, *, stop: bool) -> AbstractContextManager[None]:
        """Around one operation, from its queueing to its durable answer, in its own thread."""
        return nullcontext()

    def committed(self, operations: int, seconds: float) -> None:
        """A transaction of so many operations is durable, so many seconds after it began."""

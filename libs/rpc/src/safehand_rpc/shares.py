"""How many threads of a lane one caller may hold, so that nobody keeps the others out of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_rpc.identity import Principal


class Shares:
    """Counts the calls in work of each caller and method. Safe from any thread.

    ``most``: method path → calls of one caller at one time; methods that it does not name have no
    bound of this kind.
    """

    def __init__(self, most: Mapping[str, int] | None = None) -> None:
        self._most = dict(most or {})
        self._counting = threading.Lock()
        self._held: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def hold(self, path: str, principal: Principal) -> Iterator[None]:
        """One more call of ``principal``, until the block ends. Raises OVERLOADED at its bound.

        Entered before a byte of the request is read: a caller that never sends one is counted.
        """
        most = self._most.get(path)
        if most is None:
            yield
            return
        key = (path, principal.spiffe_id)
        with self._counting:
            if self._held[key] >= most:
                raise SafehandError(Reason.OVERLOADED, "this caller has as many at once as it may")
            self._held[key] += 1
        try:
            yield
        finally:
            with self._counting:
                self._held[key] -= 1
                if not self._held[key]:
                    del self._held[key]

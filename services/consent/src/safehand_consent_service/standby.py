"""A second api process on PostgreSQL: it waits until it may write the ledger, and then serves.

It is up and says NOT_SERVING; what it refuses, a client asks again of the one that serves. It
loads nothing before it is elected, so there is nothing that could be old.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Final

from safehand_core import logs
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_consent_service.app import App

POLL_S: Final = 1.0
"""Seconds between two tries to be elected."""

_LATER: Final = frozenset({Reason.UNAVAILABLE, Reason.CONFIG_INVALID})
"""What may pass: until then this process goes on standing by."""


class Standby:
    """Tries in a thread of its own; once elected it runs ``take_over`` there, once.

    ``error`` is why it gave up; then the process was told to end.
    """

    def __init__(self, app: App, take_over: Callable[[], None], *, every_s: float = POLL_S) -> None:
        self.error: BaseException | None = None
        self._app = app
        self._take_over = take_over
        self._every_s = every_s
        self._said = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="standby", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Return when it neither tries nor takes over any more."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping.wait(self._every_s):
                if self._elected():
                    self._take_over()
                    logs.get().info("standby.took_over")
                    return
        except BaseException as error:
            self.error = error
            os.kill(os.getpid(), signal.SIGTERM)

    def _elected(self) -> bool:
        try:
            return self._app.elect()
        except SafehandError as error:
            # The database itself is being taken over, perhaps, or has no standby of its own yet.
            if error.reason not in _LATER:
                raise
            if error.detail != self._said:
                self._said = error.detail
                logs.get().warning("standby.waits", reason=error.reason.value)
            return False

"""A second api process on PostgreSQL: it waits until it may write the ledger, and then serves.

It is up and says NOT_SERVING; what it refuses, a client asks again of the one that serves. It
loads nothing before it is elected, so there is nothing that could be old.
"""

from __future__ import annotations

import os
import signal
import threading
import time
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

PATIENCE_S: Final = 10.0
"""Seconds for which a first process waits for what may pass: twice those after which a standby
connects again by default, and short enough that a wrong setting is told as one."""
PATIENT_POLL_S: Final = 0.25


def elect_patiently(
    app: App,
    *,
    patience_s: float = PATIENCE_S,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """``app.elect()``, again while it is refused for what may pass, as in the middle of a failover:
    nothing can be written then, and to start anew would only take longer.

    Raises what ``elect`` raises after ``patience_s``, and at once what does not pass.
    """
    until, said = monotonic() + patience_s, False
    while True:
        try:
            return app.elect()
        except SafehandError as error:
            if error.reason not in _LATER or monotonic() >= until:
                raise
            if not said:
                said = True
                logs.get().warning("standby.waits", reason=error.reason.value)
        sleep(PATIENT_POLL_S)


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

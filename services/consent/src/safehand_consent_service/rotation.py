"""What is replaced in time by itself: the release KEK and the token keys.

A thread of the process that writes the ledger. A standby that becomes the writer starts it too, so
that keys roll wherever the writer is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from safehand_core import logs
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_consent_service import kek_roll
from safehand_consent_service.context import Context

EVERY_S: Final = 60.0
"""Seconds between two looks at what is due; a failed one is tried again then."""


def advance_token_keys(context: Context) -> bool:
    """Make the next token key where it is due, and let the newest that is due sign.

    Says whether a key was made.
    """
    keys = context.token_keys
    made = context.writer.submit(
        lambda txn: keys.advance(txn.connection, txn.now), housekeeping=True
    ).value
    keys.load(context.now)
    return made


class Rotation:
    """Looks at once when started, and then every ``every_s`` until it is stopped."""

    def __init__(self, context: Context, every_s: float = EVERY_S) -> None:
        self._context = context
        self._every_s = every_s
        self._due = kek_roll.RollDue(context)
        self._one_at_a_time = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rotation", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Return when nothing is being replaced any more: a roll that is under way is finished by
        the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def once(self) -> None:
        """Replace what is due now. Raises what the writer raises."""
        with self._one_at_a_time:
            self._roll()
            self._tokens()

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._one_at_a_time:
                self._attempt(self._roll, "keys.roll_failed")
                self._attempt(self._tokens, "keys.token_failed")
            self._stopping.wait(self._every_s)

    def _attempt(self, work: Callable[[], None], event: str) -> None:
        try:
            work()
        except SafehandError as error:
            # An operator rolls at this moment, or we are told to end: the next look goes on.
            if error.reason is not Reason.STATE_CONFLICT and not self._stopping.is_set():
                logs.get().error(event, reason=error.reason.value)
        except Exception as error:
            logs.get().error(event, exception=type(error).__name__)

    def _roll(self) -> None:
        kek_roll.roll_if_due(self._context, self._due, self._stopping)

    def _tokens(self) -> None:
        if advance_token_keys(self._context):
            logs.get().info("keys.token_made")

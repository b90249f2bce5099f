"""Hearing from PostgreSQL that there are new events, on whichever machine they were written.

It is a hint, as the socket of one machine is: who sleeps also polls, so a lost connection costs a
second, and is made again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import psycopg
from safehand_core import logs
from safehand_core.errors import SafehandError

from safehand_store.location import Postgres
from safehand_store.postgres import connect
from safehand_store.tell import CHANNEL

LOOK_S: Final = 0.5
"""Seconds between two looks at whether to end."""
RETRY_S: Final = 1.0
"""Seconds before a lost connection is made again."""


class Listener:
    """Calls ``heard``, in a thread of its own, for what the outbox of ``location`` is told.

    It is called after each (re)connection too: for what was written while nobody listened.
    """

    def __init__(self, location: Postgres, heard: Callable[[], None]) -> None:
        self._location = location
        self._heard = heard
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listen", daemon=True)
        self._lost = False

    def start(self) -> None:
        """Begin, now or as soon as the server is there."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and with it the connection."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except (psycopg.Error, SafehandError) as error:
                if not self._lost:
                    logs.get().warning("listen.lost", exception=type(error).__name__)
                self._lost = True
                self._stopping.wait(RETRY_S)

    def _listen(self) -> None:
        with connect(self._location, read_only=False) as raw:
            raw.execute(f"LISTEN {CHANNEL}")
            if self._lost:
                logs.get().info("listen.recovered")
            self._lost = False
            self._heard()
            while not self._stopping.is_set():
                if _told(raw):
                    self._heard()


def _told(raw: psycopg.Connection[Any]) -> bool:
    """Whether anything was told within the next moment: many at once are one."""
    return any(True for _ in list(raw.notifies(timeout=LOOK_S, stop_after=1)))

"""Releases on their way out that must be out by a time, and are cancelled then.

A release whose recipient does not read stays in its process for as long as the RPC lives. In that
time another process can become the ledger's writer and answer a stop (DESIGN 3.4, PROTOCOL rule 2).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Call(Protocol):
    """What the gate needs of a ``grpc.ServicerContext``."""

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Run ``callback`` when the RPC has ended; False when it has ended already."""
        ...

    def cancel(self) -> object:
        """End the RPC now: no byte of an answer leaves after this returns."""
        ...


@dataclass(eq=False, slots=True)
class Passage:
    """One release on its way out. ``since`` and ``until`` are by the gates' clock, seconds;
    ``until`` is None where no other process can become the writer."""

    grant: str
    call: Call
    since: float
    category: str
    until: float | None = None


class Leaving:
    """Who must be out by when. A thread sees to it while there is anybody, and ends with the last.

    ``cancel`` is called once for each that is late, outside any lock. Nearly all have left long
    before their time, so the thread wakes about once in the time that one has.
    """

    def __init__(self, monotonic: Callable[[], float], cancel: Callable[[Passage], None]) -> None:
        self._monotonic = monotonic
        self._cancel = cancel
        self._changed = threading.Condition()
        self._inside: dict[Passage, float] = {}
        self._thread: threading.Thread | None = None
        self._wakes_at = 0.0

    def add(self, passage: Passage) -> None:
        """``passage`` is on its way out; nothing is done where it may take its time."""
        if passage.until is None:
            return
        with self._changed:
            self._inside[passage] = passage.until
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="leaving", daemon=True)
                self._thread.start()
            elif passage.until < self._wakes_at:
                self._changed.notify()

    def discard(self, passage: Passage) -> None:
        """It is out."""
        if passage.until is None:
            return
        with self._changed:
            self._inside.pop(passage, None)

    def _run(self) -> None:
        try:
            self._see_out()
        except BaseException:
            with self._changed:
                self._thread = None  # the next one to come in brings another thread
            raise

    def _see_out(self) -> None:
        while True:
            with self._changed:
                if not self._inside:
                    self._thread = None
                    return
                now = self._monotonic()
                late = [passage for passage, until in self._inside.items() if until <= now]
                for passage in late:
                    del self._inside[passage]
                if not late:
                    self._wakes_at = min(self._inside.values())
                    self._changed.wait(self._wakes_at - now)
            for passage in late:
                self._cancel(passage)

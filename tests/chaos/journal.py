"""What the load was promised: every answer that came back, with its place in the ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from safehand_formats.kinds import Kind

from tests.harness.world import Person


@dataclass(frozen=True, slots=True)
class Promise:
    """One acknowledged entry."""

    kind: Kind
    index: int


@dataclass(frozen=True, slots=True)
class Look:
    """A part that was opened: when it was asked for, and when the answer was there (monotonic)."""

    asked: float
    opened: float


@dataclass
class Story:
    """One grant: whose it is, what was promised, when sharing was off for certain."""

    person: Person
    grant: str
    promises: list[Promise] = field(default_factory=list)
    referrals: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    off: list[tuple[float, float]] = field(default_factory=list)
    """From when a stop was answered until a resume was asked for; open ends are infinite."""

    def stopped(self) -> None:
        self.off.append((time.monotonic(), float("inf")))

    def about_to_resume(self) -> None:
        since, _ = self.off.pop()
        self.off.append((since, time.monotonic()))

    def broken(self) -> Iterator[Look]:
        """Looks that lie wholly inside a time when sharing was off."""
        for look in self.looks:
            if any(since <= look.asked and look.opened < until for since, until in self.off):
                yield look


class Journal:
    """Every story so far. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stories: list[Story] = []
        self._counts: dict[str, int] = {}

    def open(self, person: Person, grant: str, index: int) -> Story:
        story = Story(person, grant, [Promise(Kind.GRANT, index)])
        with self._lock:
            self._stories.append(story)
        return story

    def count(self, what: str) -> None:
        with self._lock:
            self._counts[what] = self._counts.get(what, 0) + 1

    @property
    def stories(self) -> list[Story]:
        with self._lock:
            return list(self._stories)

    @property
    def counts(self) -> dict[str, int]:
        with self._lock:
            return dict(sorted(self._counts.items()))

"""What the load was promised: every answer that came back, with its place in the ledger.

Each actor writes down what it asks for before it asks, and makes good on it when the answer is
there. So at the end a receipt must show exactly what was answered, in that order, and at most the
one thing besides that was on its way when an actor gave up.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind

from tests.harness.world import Person


@dataclass(frozen=True, slots=True)
class Promise:
    """One acknowledged entry; ``index`` is None where the answer does not tell it."""

    kind: Kind
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """A part that was opened: when it was asked for, and when the answer was there (monotonic)."""

    category: str
    asked: float
    opened: float


@dataclass
class Story:
    """One grant: whose it is, what was promised, when sharing was off for certain."""

    person: Person
    grant: str
    promises: list[Promise] = field(default_factory=list)
    wanted: tuple[Kind, ...] = ()
    """What was asked for and not answered yet."""
    referral: str = ""
    """What was sent under it."""
    accepted: list[str] = field(default_factory=list)
    completed: list[str] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    off: list[tuple[float, float]] = field(default_factory=list)
    """From when a stop was answered until a resume was asked for; open ends are infinite."""
    taken_out: dict[str, float] = field(default_factory=dict)
    """Since when a kind of information is no longer in it."""

    def want(self, *kinds: Kind) -> None:
        self.wanted = kinds

    def got(self, *indexes: int | None) -> None:
        """What was wanted is there, at these places."""
        self.promises += [
            Promise(kind, index) for kind, index in zip(self.wanted, indexes, strict=True)
        ]
        self.wanted = ()

    def stopped(self) -> None:
        self.off.append((time.monotonic(), float("inf")))

    def about_to_resume(self) -> None:
        since, _ = self.off.pop()
        self.off.append((since, time.monotonic()))

    def broken(self) -> Iterator[Look]:
        """Looks that lie wholly inside a time when sharing was off."""
        for look in self.looks:
            gone = self.taken_out.get(look.category, float("inf"))
            off = (since <= look.asked and look.opened < until for since, until in self.off)
            if look.asked >= gone or any(off):
                yield look

    def differs(self, seen: Sequence[tuple[Kind, int]]) -> str:
        """What is wrong with her receipt, ``seen`` in ledger order; empty when it is right."""
        kinds = [kind for kind, _ in seen]
        promised = [promise.kind for promise in self.promises]
        rest = kinds[len(promised) :]
        if kinds[: len(promised)] != promised or (rest and tuple(rest) != self.wanted):
            return f"promised {_names(promised)}, there is {_names(kinds)}"
        for promise, (kind, index) in zip(self.promises, seen, strict=False):
            if promise.index not in (None, index):
                return f"{kind.name} was promised at {promise.index} and is at {index}"
        return ""


def _names(kinds: Sequence[Kind]) -> str:
    return " ".join(kind.name for kind in kinds)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A no of hers that was acknowledged."""

    person: Person
    ask: str
    index: int


class Journal:
    """Every story so far. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stories: list[Story] = []
        self._refusals: list[Refusal] = []
        self._counts: Counter[str] = Counter()
        self._told: Counter[Reason] = Counter()

    def open(self, person: Person, grant: str, index: int | None) -> Story:
        story = Story(person, grant, [Promise(Kind.GRANT, index)])
        with self._lock:
            self._stories.append(story)
        return story

    def refused(self, refusal: Refusal) -> None:
        with self._lock:
            self._refusals.append(refusal)

    def count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1

    def told(self, reason: Reason) -> None:
        """Somebody was told to try again, for ``reason``."""
        with self._lock:
            self._told[reason] += 1

    @property
    def stories(self) -> list[Story]:
        with self._lock:
            return list(self._stories)

    @property
    def refusals(self) -> list[Refusal]:
        with self._lock:
            return list(self._refusals)

    @property
    def counts(self) -> dict[str, int]:
        with self._lock:
            return dict(sorted(self._counts.items()))

    @property
    def reasons(self) -> dict[Reason, int]:
        """How often each reason to try again was told."""
        with self._lock:
            return dict(self._told)

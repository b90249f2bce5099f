"""The release gate: between a key's ledger entry and its answer stands her stop.

One gate per grant, in the process of the writer: a flag and the releases that are on their way
out (PROTOCOL rule 2). A stop raises the flag, waits until nobody is on the way out, and only then
queues; a release enters after its DISCLOSE is committed and leaves when its RPC has ended. So
nothing is handed to the transport after a stop was answered.

What raises is told apart by ledger index, because a slow thread may report an old RESUME after a
newer STOP: the gate stays up while the newest STOP that it heard of is newer than the newest
RESUME. A narrowing closes the gate for the categories that it takes out and for no other, and for
good, because nothing brings a category back. After a restart every flag is down, which is safe: no
release is in flight, and the writer refuses by what is on record.

Where another process may become the writer, whose gates know nothing of these, a release also has a
time by which it must be out, and is cancelled then without a stop.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from safehand_core.clock import elapsing
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_consent_service.leaving import Call, Leaving, Passage

CANCEL_AFTER_S: Final = 1.0
"""A release longer than this on its way out is cancelled by a stop: a recipient that does not
read must not delay her."""

FORGET_AFTER_S: Final = 600.0
"""A gate that nobody touched for this long is forgotten: no RPC lives a tenth of it, so no release
from before the stop can still come, and whoever asks anew is refused by what is on record."""
FORGET_FROM: Final = 1024
"""Gates that may be remembered before the old ones are looked for."""

NEVER: Final = -1
"""No such ledger entry yet."""


@dataclass(slots=True)
class _Gate:
    touched: float
    raisers: int = 0
    stopped_at: int = NEVER
    resumed_at: int = NEVER
    inside: set[Passage] = field(default_factory=set)
    narrowing: list[frozenset[str]] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)

    @property
    def up(self) -> bool:
        return self.raisers > 0 or self.stopped_at > self.resumed_at

    def shut(self, category: str) -> bool:
        """Whether no release of ``category`` may come in."""
        taken_out = category in self.removed or any(category in out for out in self.narrowing)
        return self.up or taken_out

    @property
    def busy(self) -> bool:
        return bool(self.inside or self.raisers or self.narrowing)

    @property
    def idle(self) -> bool:
        return not self.busy and self.stopped_at == NEVER and not self.removed


@dataclass(frozen=True, slots=True)
class Counts:
    """``raising``: grants whose gate a stop holds up now; ``inside``: releases on their way out."""

    raising: int
    inside: int


class Raised:
    """A flag that one stop holds up. End it with exactly one of ``keep`` and ``drop``."""

    def __init__(self, gates: Gates, grant: str) -> None:
        self._gates = gates
        self._open = True
        self.grant = grant

    def keep(self, stop_index: int) -> None:
        """The STOP (or REVOKE, EXPIRE) at ``stop_index`` is on record: up until a later RESUME."""
        self._end(stop_index)

    def drop(self) -> None:
        """The stop failed cleanly: lowered unless another stop holds it or one is on record."""
        self._end(NEVER)

    def _end(self, stop_index: int) -> None:
        if self._open:
            self._open = False
            self._gates._let_go(self.grant, stop_index)


class Narrowed:
    """What one narrowing holds shut. End it with exactly one of ``keep`` and ``drop``."""

    def __init__(self, gates: Gates, grant: str, removed: frozenset[str]) -> None:
        self._gates = gates
        self._open = True
        self.grant = grant
        self.removed = removed

    def keep(self) -> None:
        """The NARROW is on record: shut for these categories from now on."""
        self._end(on_record=True)

    def drop(self) -> None:
        """The narrowing failed cleanly: open again, unless another one shuts it."""
        self._end(on_record=False)

    def _end(self, *, on_record: bool) -> None:
        if self._open:
            self._open = False
            self._gates._end_narrowing(self, on_record=on_record)


class Gates:
    """All gates of the process. Every method is safe from any thread; only draining waits."""

    def __init__(self, monotonic: Callable[[], float] = elapsing) -> None:
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._leaving = Leaving(self._monotonic, self._cancel)
        # The one that was touched longest ago comes first.
        self._gates: OrderedDict[str, _Gate] = OrderedDict()

    def raise_and_drain(self, grant: str, cancel_after_s: float = CANCEL_AFTER_S) -> Raised:
        """Raise the flag of ``grant`` and return when no release of it is on its way out.

        Waits at most about ``cancel_after_s`` seconds. Two stops of one grant may do this at the
        same time; neither waits for the other.
        """
        return self.raise_all([grant], cancel_after_s)[0]

    def raise_all(
        self, grants: Iterable[str], cancel_after_s: float = CANCEL_AFTER_S
    ) -> list[Raised]:
        """As ``raise_and_drain`` for several grants, in id order; all flags go up first."""
        ordered = sorted(set(grants))
        with self._changed:
            self._forget_old()
            for grant in ordered:
                self._gate(grant).raisers += 1
        for grant in ordered:
            self._drain(grant, cancel_after_s)
        return [Raised(self, grant) for grant in ordered]

    def narrow_and_drain(
        self, grant: str, removed: Iterable[str], cancel_after_s: float = CANCEL_AFTER_S
    ) -> Narrowed:
        """Shut the gate of ``grant`` for the categories ``removed``; returns when no release of
        one of them is on its way out. Waits as ``raise_and_drain``; other categories go on."""
        out = frozenset(removed)
        with self._changed:
            self._forget_old()
            self._gate(grant).narrowing.append(out)
        self._drain(grant, cancel_after_s, out)
        return Narrowed(self, grant, out)

    def lower(self, grant: str, resume_index: int) -> None:
        """A RESUME at ``resume_index`` is on record; a STOP behind it keeps the flag up."""
        with self._changed:
            gate = self._gates.get(grant)
            if gate is not None:
                gate.resumed_at = max(gate.resumed_at, resume_index)

    def is_up(self, grant: str) -> bool:
        with self._changed:
            gate = self._gates.get(grant)
            return gate is not None and gate.up

    def inside(self, grant: str) -> int:
        """How many releases of ``grant`` are on their way out."""
        with self._changed:
            gate = self._gates.get(grant)
            return 0 if gate is None else len(gate.inside)

    def counts(self) -> Counts:
        """What goes on in all gates together, for whoever watches the service."""
        with self._changed:
            gates = list(self._gates.values())
        # Counted outside the lock, which every stop needs: a number that is a moment old will do.
        return Counts(
            sum(gate.raisers > 0 for gate in gates), sum(len(gate.inside) for gate in gates)
        )

    def enter(self, grant: str, call: Call, category: str, until: float | None = None) -> Passage:
        """Go in with a key of ``category``, to be left by itself when the RPC of ``call`` ends.

        Still inside at ``until`` (by ``clock.elapsing``), the RPC is cancelled. Raises
        CONSENT_ENDED when the flag is up or she took the category out, UNAVAILABLE when the RPC is
        over already.
        """
        with self._changed:
            gate = self._gate(grant)
            if gate.shut(category):
                raise SafehandError(Reason.CONSENT_ENDED)
            passage = Passage(grant, call, self._monotonic(), category, until)
            gate.inside.add(passage)
        self._leaving.add(passage)
        if not call.add_callback(lambda: self.leave(passage)):
            self.leave(passage)
            raise SafehandError(Reason.UNAVAILABLE, "the call ended before its answer")
        return passage

    def hand_over(self, passage: Passage, tell: Callable[[], None] | None = None) -> None:
        """The answer goes to the transport now; ``tell`` runs while nobody can finish draining.

        Raises CONSENT_ENDED when a stop has put this release out of the gate meanwhile.
        """
        with self._changed:
            gate = self._gates.get(passage.grant)
            if gate is None or passage not in gate.inside:
                raise SafehandError(Reason.CONSENT_ENDED)
            if tell is not None:
                tell()

    def leave(self, passage: Passage) -> None:
        """Out again; a second time does nothing."""
        self._leaving.discard(passage)
        with self._changed:
            gate = self._gates.get(passage.grant)
            if gate is None:
                return
            gate.inside.discard(passage)
            if gate.idle:
                del self._gates[passage.grant]
            self._changed.notify_all()

    def _drain(self, grant: str, cancel_after_s: float, of: frozenset[str] | None = None) -> None:
        """Wait until no release of the categories ``of`` (None: of any) is on its way out."""
        while True:
            with self._changed:
                inside = [p for p in self._gates[grant].inside if of is None or p.category in of]
                now = self._monotonic()
                late = [p for p in inside if now - p.since >= cancel_after_s]
                if not inside:
                    return
                if not late:
                    oldest = min(p.since for p in inside)
                    self._changed.wait(max(0.0, oldest + cancel_after_s - now))
                    continue
            for passage in late:
                # Outside the lock: cancelling may run the termination callback in this thread.
                self._cancel(passage)

    def _cancel(self, passage: Passage) -> None:
        passage.call.cancel()
        self.leave(passage)

    def _gate(self, grant: str) -> _Gate:
        now = self._monotonic()
        gate = self._gates.setdefault(grant, _Gate(now))
        gate.touched = now
        self._gates.move_to_end(grant)
        return gate

    def _forget_old(self) -> None:
        if len(self._gates) < FORGET_FROM:
            return
        # Only the old ones are looked at: every stop passes here, while everything else waits.
        before = self._monotonic() - FORGET_AFTER_S
        while self._gates:
            grant, gate = next(iter(self._gates.items()))
            if gate.touched >= before:
                return
            if gate.busy:
                self._gate(grant)
            else:
                del self._gates[grant]

    def _let_go(self, grant: str, stop_index: int) -> None:
        with self._changed:
            gate = self._gates[grant]
            gate.raisers -= 1
            gate.stopped_at = max(gate.stopped_at, stop_index)
            if gate.idle:
                del self._gates[grant]

    def _end_narrowing(self, done: Narrowed, *, on_record: bool) -> None:
        with self._changed:
            gate = self._gates[done.grant]
            gate.narrowing.remove(done.removed)
            if on_record:
                gate.removed |= done.removed
            if gate.idle:
                del self._gates[done.grant]

"""The trouble: processes and servers killed at random, a full disk, the bus killed and wiped."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from safehand_core.errors import SafehandError

from tests.chaos.ground import Ground
from tests.chaos.journal import Journal
from tests.harness.proxy import Disturbance, NatsProxy
from tests.harness.world import World

NATS: Final = "nats-server"
EVERY_S: Final = (1.0, 5.0)
"""Seconds between two troubles: often enough that one meets the recovery from another."""
EVERY_WITH_A_PAIR_S: Final = (3.0, 10.0)
"""The same where the database itself is killed and fails over, which takes it up to ten seconds:
below that hardly anything is ever answered, and what nobody was promised cannot be broken."""
HELD_S: Final = (1.0, 4.0)
"""Seconds for which something stays dead or cut off."""
READY_S: Final = 60.0
FULL_S: Final = 20.0
"""Longest time for which a disk stays full: until somebody was refused, or the server panicked."""
REFILL_S: Final = 0.2
PANIC_TRIES: Final = 40


class Trouble(threading.Thread):
    """Makes trouble until it is told to stop; then everything is whole again."""

    def __init__(
        self, world: World, proxy: NatsProxy, ground: Ground, journal: Journal, seed: int
    ) -> None:
        super().__init__(name="trouble", daemon=True)
        self.counts: Counter[str] = Counter()
        self.failure: BaseException | None = None
        self.told_while_full: Counter[str] = Counter()
        """Why somebody was told to try again while a disk was full: reason to number."""
        self._world = world
        self._proxy = proxy
        self._ground = ground
        self._journal = journal
        self._dice = random.Random(seed)
        self._stopping = threading.Event()
        self._calm = threading.Event()
        self._released = threading.Event()

    def stop(self) -> None:
        """Return when everything is whole. The thread stays until ``release``: a database server
        that it started dies with it (the kernel asks for the thread, not for the process)."""
        self._stopping.set()
        self._calm.wait()

    def release(self) -> None:
        self._released.set()
        self.join()

    def run(self) -> None:
        try:
            every_s = EVERY_S if self._ground.pair is None else EVERY_WITH_A_PAIR_S
            while not self._stopping.wait(self._dice.uniform(*every_s)):
                name, make = self._next()
                make()
                self.counts[name] += 1
        except BaseException as error:
            self.failure = error
        finally:
            self._proxy.heal()
            self._calm.set()
            self._released.wait()

    def _next(self) -> tuple[str, Callable[[], None]]:
        """At random, but no kind stays out for long: a short run has each of them too."""
        kinds: list[tuple[str, Callable[[], None]]] = [
            ("process killed", self._kill),
            ("process killed", self._kill),
            ("process killed", self._kill),
            ("bus dead", self._bus_dead),
            ("bus wiped", self._bus_wiped),
            ("bus disturbed", self._disturbed),
            ("bus cut off", self._cut_off),
            ("disk full", self._disk_full),
        ]
        if self._ground.pair is not None:
            kinds.append(("database killed", self._ground.pair.restart))
            kinds.append(("database failed over", self._ground.pair.fail_over))
        rare = [kind for kind in kinds if not self.counts[kind[0]]]
        return self._dice.choice(rare if rare and self._dice.random() < 0.5 else kinds)

    def _kill(self) -> None:
        supervisor = self._world.system.supervisor
        name = self._dice.choice(supervisor.names())
        supervisor.kill(name)
        self.counts[f"  {name}"] += 1

    # --- the disk -----------------------------------------------------------------------------

    def _disk_full(self) -> None:
        disk = self._ground.disk(self._world)
        before = self._journal.reasons
        try:
            self._until_refused(disk.fill)
            if self._ground.pair is not None and self._dice.random() < 0.5:
                self._panic(disk.fill)
        finally:
            disk.free()
        after = self._journal.reasons
        for reason, count in after.items():
            self.told_while_full[reason.value] += count - before.get(reason, 0)
        if self._ground.pair is not None:
            self.counts["  that PostgreSQL did not outlive"] += self._ground.pair.revive()

    def _until_refused(self, fill: Callable[[], None]) -> None:
        told = sum(self._journal.reasons.values())
        deadline = time.monotonic() + FULL_S
        while time.monotonic() < deadline and not self._stopping.is_set():
            fill()
            self._stopping.wait(REFILL_S)
            if sum(self._journal.reasons.values()) > told + 3:
                return

    def _panic(self, fill: Callable[[], None]) -> None:
        """Let it need a new file for its log: for want of that PostgreSQL stops altogether."""
        pair = self._ground.pair
        assert pair is not None
        for _ in range(PANIC_TRIES):
            fill()
            if not pair.use_a_log_file():
                return

    # --- the bus ------------------------------------------------------------------------------

    def _bus_dead(self, wipe: bool = False) -> None:
        supervisor = self._world.system.supervisor
        supervisor.hold(NATS)
        if wipe:
            shutil.rmtree(self._world.sandbox.root / "nats" / "store", ignore_errors=True)
        self._stopping.wait(self._dice.uniform(*HELD_S))
        try:
            supervisor.release(NATS, timeout_s=READY_S)
        except SafehandError as error:
            raise AssertionError("the bus did not come back") from error

    def _bus_wiped(self) -> None:
        self._bus_dead(wipe=True)

    def _disturbed(self) -> None:
        self._proxy.disturb(Disturbance(drop=0.3, double=0.3, reorder=0.3))
        self._stopping.wait(self._dice.uniform(*HELD_S))
        self._proxy.heal()

    def _cut_off(self) -> None:
        self._proxy.disturb(Disturbance(cut=True))
        self._stopping.wait(self._dice.uniform(*HELD_S))
        self._proxy.heal()

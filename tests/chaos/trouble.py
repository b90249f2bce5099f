"""The trouble: processes killed at random, the bus killed and wiped, messages lost and repeated."""

from __future__ import annotations

import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from typing import Final

from safehand_core.errors import SafehandError

from tests.harness.proxy import Disturbance, NatsProxy
from tests.harness.world import World

NATS: Final = "nats-server"
EVERY_S: Final = (1.0, 5.0)
"""Seconds between two troubles: often enough that one meets the recovery from another."""
HELD_S: Final = (1.0, 4.0)
"""Seconds for which something stays dead or cut off."""
READY_S: Final = 60.0


class Trouble(threading.Thread):
    """Makes trouble until it is told to stop; then everything is whole again.

    ``database``: kills the database server and brings it back; None where there is none.
    """

    def __init__(
        self,
        world: World,
        proxy: NatsProxy,
        seed: int,
        database: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(name="trouble", daemon=True)
        self.counts: Counter[str] = Counter()
        self.failure: BaseException | None = None
        self._world = world
        self._proxy = proxy
        self._database = database
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
        kinds: list[tuple[str, Callable[[], None]]] = [
            ("kill", self._kill),
            ("kill", self._kill),
            ("kill", self._kill),
            ("bus dead", self._bus_dead),
            ("bus wiped", self._bus_wiped),
            ("bus disturbed", self._disturbed),
            ("bus cut off", self._cut_off),
        ]
        if self._database is not None:
            kinds.append(("database killed", self._database))
        try:
            while not self._stopping.wait(self._dice.uniform(*EVERY_S)):
                name, make = self._dice.choice(kinds)
                make()
                self.counts[name] += 1
        except BaseException as error:
            self.failure = error
        finally:
            self._proxy.heal()
            self._calm.set()
            self._released.wait()

    def _kill(self) -> None:
        supervisor = self._world.system.supervisor
        name = self._dice.choice(supervisor.names())
        supervisor.kill(name)
        self.counts[f"  {name}"] += 1

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

"""The worker process of a service that has an outbox: its relay, and where wanted a hint reader.

``consent`` and ``referral`` start it with a few lines of their own; it holds no business rule.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from safehand_core import logs
from safehand_core.clock import SystemClock
from safehand_core.errors import SafehandError
from safehand_store import outbox
from safehand_store.engine import begin_read, database_errors, open_engine
from safehand_store.location import Location
from safehand_telemetry.gauges import watch
from sqlalchemy import Engine

from safehand_bus.connection import wait_any
from safehand_bus.hint import HintConsumer
from safehand_bus.link import NatsLink
from safehand_bus.loop_thread import LoopThread, Started
from safehand_bus.measures import relayed
from safehand_bus.relay import Relay
from safehand_bus.wake import WakeListener, Waker

WAIT_FOR_DATABASE_S: Final = 0.1
"""Pause between looks for the database, when both processes of a service start together."""
HINT_SOURCE: Final = "consent"
"""The only source whose messages are hints."""


class Worker:
    """The loops of one worker process, runnable in a thread.

    Args:
        database: the service's database. Until it has its tables it is waited for.
        source: the service's name, whose outbox it is.
        link: the bus, as user ``source``.
        wake_path: socket on which the api process wakes the relay.
        hint_wake_path: socket on which to wake the api process for every consent event; None
            where the service does not follow consent.
    """

    def __init__(
        self,
        *,
        database: Location,
        source: str,
        link: NatsLink,
        wake_path: Path,
        hint_wake_path: Path | None = None,
    ) -> None:
        self._database = database
        self._source = source
        self._link = link
        self._wake_path = wake_path
        self._hint_wake_path = hint_wake_path
        self._thread: LoopThread | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        """Run until ``stopping`` is set."""
        while not _there(self._database) and not stopping.is_set():
            await wait_any(stopping, timeout_s=WAIT_FOR_DATABASE_S)
        if stopping.is_set():
            return
        with (
            _opened(self._database) as engine,
            WakeListener(self._wake_path) as wake,
            _listening(self._database, self._wake_path),
        ):
            relay = Relay(engine, self._source, self._link, wake=wake)
            watch("relay", SystemClock(), [relayed(relay.counters)])
            loops = [relay.run(stopping)]
            waker = Waker(self._hint_wake_path) if self._hint_wake_path else None
            if waker is not None:
                loops.append(HintConsumer(self._link, HINT_SOURCE, waker.wake).run(stopping))
            try:
                await asyncio.gather(*loops)
            finally:
                if waker is not None:
                    waker.close()

    def start(self) -> None:
        """Run in a thread of its own; returns when the loops run."""

        async def program(stopping: asyncio.Event, started: Started) -> None:
            started()
            await self.run(stopping)

        self._thread = LoopThread(program, name=f"{self._source}-worker")
        self._thread.start()

    def stop(self) -> None:
        """End what ``start`` began."""
        if self._thread is not None:
            self._thread.stop()
            self._thread = None


def run_worker(
    *,
    database: Location,
    source: str,
    link: NatsLink,
    wake_path: Path,
    hint_wake_path: Path | None = None,
) -> None:
    """Be the worker process: returns after SIGTERM or SIGINT. Arguments as for ``Worker``."""
    worker = Worker(
        database=database,
        source=source,
        link=link,
        wake_path=wake_path,
        hint_wake_path=hint_wake_path,
    )

    async def main() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        logs.get().info("worker.started")
        await worker.run(stopping)
        logs.get().info("worker.stopped")

    asyncio.run(main())


def _there(database: Location) -> bool:
    if isinstance(database, Path):
        return database.is_file()
    try:
        with _opened(database) as engine, begin_read(engine) as db:
            outbox.head(db)
    except database_errors(SafehandError):
        return False
    return True


@contextlib.contextmanager
def _listening(database: Location, wake_path: Path) -> Iterator[None]:
    """Ring at ``wake_path`` also for what other machines write, where the database tells."""
    if isinstance(database, Path):
        yield
        return
    # Imported here: a process on SQLite never needs the driver (half a second, 10 MB).
    from safehand_store.listen import Listener

    waker = Waker(wake_path)
    listener = Listener(database, waker.wake)
    listener.start()
    try:
        yield
    finally:
        listener.stop()
        waker.close()


@contextlib.contextmanager
def _opened(database: Location) -> Iterator[Engine]:
    engine = open_engine(database)
    try:
        yield engine
    finally:
        engine.dispose()

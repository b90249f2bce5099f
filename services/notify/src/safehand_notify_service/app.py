"""The notify service in one process: the only place where its parts are put together.

One event loop carries the open streams and both consumers, so that a delivery rings its streams
without leaving the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from safehand.events.v1.events_pb2 import Event
from safehand.notify.v1 import notify_pb2, notify_pb2_grpc
from safehand_bus.connection import wait_any
from safehand_bus.consumer import Consumer
from safehand_bus.letters import Letters
from safehand_bus.link import service_link
from safehand_bus.loop_thread import LoopThread, Started
from safehand_bus.pulse import FAILING_S, Pulse, Verdict
from safehand_core.clock import Clock
from safehand_core.entropy import Entropy
from safehand_core.errors import SafehandError
from safehand_core.keystore import FileKeystore, make_private_dir, write_atomic
from safehand_core.reasons import Reason
from safehand_rpc.aio import RunningAioServer, build_aio_server
from safehand_rpc.paging import Pager
from safehand_store import migrate
from sqlalchemy import Connection, Engine

from safehand_notify_service import deliveries
from safehand_notify_service.hub import Hub
from safehand_notify_service.policy import POLICY
from safehand_notify_service.rpc_notify import NotifyServicer
from safehand_notify_service.settings import NotifySettings
from safehand_notify_service.sources import EventSource
from safehand_notify_service.tables import METADATA

MIGRATIONS: Final = Path(__file__).parent / "migrations"
PAGE_KEY: Final = "page-token"
"""Name of the keystore's secret under which page tokens are made."""
USER: Final = "notify"
"""Who this service is on the bus."""
FAILPOINT: Final = "notify.consume"
HEALTH_POLL_S: Final = 1.0
"""How often the consumers' pulse is felt, in seconds."""
DRAIN_GRACE_S: Final = 2.0
"""Seconds that calls in flight get at the end; streams are told to end before."""


class App:
    """The service; ``start`` answers the port. Made by ``build``."""

    def __init__(
        self,
        settings: NotifySettings,
        engine: Engine,
        pager: Pager,
        clock: Clock,
    ) -> None:
        self.engine = engine
        self.port = 0
        self._settings = settings
        self._pager = pager
        self._clock = clock
        self._thread: LoopThread | None = None
        link = service_link(
            settings.nats_url,
            USER,
            seed_file=settings.nats_seed_file,
            tls=settings.bus_tls,
            profile=settings.profile,
        )
        self.pulse = Pulse(clock)
        self.letters = Letters(
            engine, lambda source: _deliver, applied=lambda event: self._ring([event])
        )
        self._sources = {
            "consent": EventSource("consent", settings.consent_now, settings.tls),
            "referral": EventSource("referral", settings.referral_now, settings.tls),
        }
        self.hub = Hub()
        self.consumers = {
            name: Consumer(
                engine,
                link,
                name,
                apply=_deliver,
                fetch=source.fetch,
                applied=self._ring,
                failpoint=FAILPOINT,
                clock=clock,
                pulse=self.pulse,
            )
            for name, source in self._sources.items()
        }

    async def run(self, stopping: asyncio.Event, started: Started) -> None:
        """Serve until ``stopping`` is set, then drain and close."""
        consumers: list[asyncio.Task[None]] = []
        consuming = asyncio.Event()  # set: stop consuming
        try:
            server = await self._build_server()
            self.port = server.port
            write_atomic(self._settings.port_file, f"{server.port}\n".encode())
            await server.start()
            consumers = [asyncio.create_task(c.run(consuming)) for c in self.consumers.values()]
            consumers.append(asyncio.create_task(self._watch(server, consuming)))
            started()
            await _until(stopping, consumers)
            self.hub.end()
            await server.drain(DRAIN_GRACE_S)
        finally:
            consuming.set()
            await asyncio.gather(*consumers, return_exceptions=True)
            self.close()

    def start(self) -> int:
        """Serve in a thread of its own; returns the port."""
        self._thread = LoopThread(self.run, name="notify")
        self._thread.start()
        return self.port

    def stop(self) -> None:
        """Drain and close what ``start`` began. A second stop changes nothing."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()

    def close(self) -> None:
        """Close what the handlers used."""
        for source in self._sources.values():
            source.close()
        self.engine.dispose()

    def _ring(self, events: Sequence[Event]) -> None:
        self.hub.ring(filter(None, map(deliveries.agency_of, events)))

    async def _watch(self, server: RunningAioServer, stopping: asyncio.Event) -> None:
        """NOT_SERVING while a consumer has been failing for too long: agencies that ask still get
        what there is, and those who watch over the process see that nothing new comes."""
        verdict = Verdict(self.pulse, failing_s=FAILING_S)
        while not stopping.is_set():
            server.set_serving(verdict.healthy())
            await wait_any(stopping, timeout_s=HEALTH_POLL_S)

    async def _build_server(self) -> RunningAioServer:
        servicer = NotifyServicer(self.engine, self.hub, self._pager, self.letters, self._clock)
        return await build_aio_server(
            services=[
                (
                    notify_pb2_grpc.add_NotifyServiceServicer_to_server,
                    servicer,
                    notify_pb2.DESCRIPTOR.services_by_name["NotifyService"],
                )
            ],
            policy=POLICY,
            tls=self._settings.tls,
            clock=self._clock,
            address=self._settings.listen,
            reflection=self._settings.profile != "production",
        )


def build(settings: NotifySettings, *, clock: Clock, entropy: Entropy) -> App:
    """The service, its database migrated, not yet serving.

    Raises CONFIG_INVALID for what settings, keys or the database are not.
    """
    make_private_dir(settings.data_dir)
    keystore = FileKeystore(settings.keys_dir, entropy=entropy)
    return App(settings, open_database(settings), Pager(keystore.secret(PAGE_KEY)), clock)


def open_database(settings: NotifySettings) -> Engine:
    """The service's database, at the newest revision of its schema."""
    return migrate.open_service(
        settings.database, MIGRATIONS, METADATA, with_standby=settings.require_standby
    )


def _deliver(db: Connection, event: Event) -> None:
    deliveries.add(db, event)


async def _until(stopping: asyncio.Event, consumers: Sequence[asyncio.Task[None]]) -> None:
    """Return when told to stop; raises when a consumer ended, which it never should."""
    told = asyncio.create_task(stopping.wait())
    await asyncio.wait({told, *consumers}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if not stopping.is_set():
        raise SafehandError(Reason.INTERNAL, "a consumer ended")

"""A NATS proxy that loses, repeats, reorders, delays and cuts, between services and their bus.

It takes the frames of the NATS client protocol apart and disturbs only those that carry messages
(PUB, HPUB, MSG, HMSG): acknowledgements, requests and answers of JetStream among them. With TLS it
ends the services' connections with the bus's own certificate and opens its own ones behind.

    with NatsProxy(port, tls=BusTls.in_dir(sandbox.nats_tls)) as proxy:
        ... services with NATS_URL=proxy.url ...
        proxy.disturb(Disturbance(drop=0.3, double=0.3, reorder=0.3))
        proxy.heal()

Source: NATS documentation, "Client protocol".
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from safehand_bus.link import BusTls
from safehand_bus.loop_thread import LoopThread, Started

HOST: Final = "127.0.0.1"
LINE_BYTES: Final = 256 * 1024
"""Longest control line: a server's INFO is a few thousand bytes."""
LATE_S: Final = 0.15
"""A reordered message comes up to so many seconds later than those behind it."""
_WITH_PAYLOAD: Final = frozenset({b"PUB", b"HPUB", b"MSG", b"HMSG"})


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What happens to each message, independently, in both directions.

    Attributes:
        drop, double, reorder: probabilities from 0 to 1.
        delay_s: every message, in order, waits for so many seconds.
        cut: nothing at all passes, and no connection is closed: a partition.
    """

    drop: float = 0.0
    double: float = 0.0
    reorder: float = 0.0
    delay_s: float = 0.0
    cut: bool = False


CALM: Final = Disturbance()


class NatsProxy:
    """Listens on a free port of the loopback interface from ``start`` to ``stop``.

    Args:
        upstream: the server's port, asked for at every connection; it may change.
        tls: the server's own certificate, for both sides; None: no TLS on either.
        seed: of every random choice.
    """

    def __init__(
        self, upstream: Callable[[], int], *, tls: BusTls | None = None, seed: int = 1
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.port = 0
        self._upstream = upstream
        self._tls = tls
        self._dice = random.Random(seed)
        self._now = CALM
        self._flowing: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = LoopThread(self._main, name="nats-proxy")

    @property
    def url(self) -> str:
        """What services connect to instead of the server."""
        return f"{'tls' if self._tls else 'nats'}://{HOST}:{self.port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._thread.stop()

    def __enter__(self) -> NatsProxy:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def disturb(self, disturbance: Disturbance) -> None:
        """From now on, for connections that are open and for new ones."""
        self._call(lambda: self._set(disturbance))

    def heal(self) -> None:
        """Everything passes again; what a cut held back arrives."""
        self.disturb(CALM)

    def break_connections(self) -> None:
        """Every open connection breaks; new ones are taken."""
        self._call(self._break)

    # --- in the loop ----------------------------------------------------------------------

    def _call(self, action: Callable[[], None]) -> None:
        assert self._loop is not None, "the proxy is not started"
        done = asyncio.run_coroutine_threadsafe(_async(action), self._loop)
        done.result(10)

    def _set(self, disturbance: Disturbance) -> None:
        assert self._flowing is not None
        self._now = disturbance
        if disturbance.cut:
            self._flowing.clear()
        else:
            self._flowing.set()

    def _break(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _main(self, stopping: asyncio.Event, started: Started) -> None:
        self._loop = asyncio.get_running_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        server = await asyncio.start_server(
            self._accept,
            HOST,
            self.port,
            limit=LINE_BYTES,
            ssl=self._tls.server_context() if self._tls else None,
        )
        self.port = server.sockets[0].getsockname()[1]
        started()
        await stopping.wait()
        server.close()
        self._break()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.counters["connections"] += 1
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
                await self._bridge(reader, writer)
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()

    async def _bridge(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        context = self._tls.context() if self._tls else None
        name = self._tls.server_name if self._tls else None
        behind, to_server = await asyncio.open_connection(
            HOST, self._upstream(), limit=LINE_BYTES, ssl=context, server_hostname=name
        )
        self._writers.add(to_server)
        pumps = [
            asyncio.ensure_future(self._pump(reader, to_server)),
            asyncio.ensure_future(self._pump(behind, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._writers.discard(to_server)
            to_server.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._flowing is not None
        while True:
            line = await reader.readuntil(b"\r\n")
            operation = line.split(None, 1)[0].upper() if line.strip() else b""
            if operation in _WITH_PAYLOAD:
                size = int(line.split()[-1])
                frame = line + await reader.readexactly(size + 2)
                await self._flowing.wait()
                await self._pass_on(frame, writer)
            else:
                await self._flowing.wait()
                writer.write(line)
            # A TLS transport hears that its socket is lost in the next turn of the loop, and drain
            # asks the transport alone: without that turn all that is buffered here would be
            # written, frame by frame, to a socket that is gone.
            await asyncio.sleep(0)
            await writer.drain()

    async def _pass_on(self, frame: bytes, writer: asyncio.StreamWriter) -> None:
        now, dice = self._now, self._dice
        if now.delay_s:
            await asyncio.sleep(now.delay_s)
        self.counters["messages"] += 1
        if dice.random() < now.drop:
            self.counters["dropped"] += 1
            return
        copies = 1
        if dice.random() < now.double:
            self.counters["doubled"] += 1
            copies = 2
        for _ in range(copies):
            if dice.random() < now.reorder:
                self.counters["reordered"] += 1
                loop = asyncio.get_running_loop()
                loop.call_later(dice.uniform(0, LATE_S), _write, writer, frame)
            else:
                writer.write(frame)


async def _async(action: Callable[[], None]) -> None:
    action()


def _write(writer: asyncio.StreamWriter, frame: bytes) -> None:
    if not writer.transport.is_closing():
        writer.write(frame)

"""A durable consumer for which a message means only: look again, now.

For a service that follows its source by gRPC anyway (PROTOCOL rule 7): nothing is read from the
message, and it is acknowledged whatever it says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from nats.aio.msg import Msg

from safehand_bus import topology
from safehand_bus.connection import Connection, Counters, keep_running
from safehand_bus.link import NatsLink
from safehand_bus.pull import pull


class HintConsumer:
    """Calls ``hint`` for every batch of messages of ``source``'s stream, as ``link.user``."""

    def __init__(self, link: NatsLink, source: str, hint: Callable[[], None]) -> None:
        self.counters = Counters()
        self._link = link
        self._stream = topology.stream_of(source).name
        self._hint = hint

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume until ``stopping`` is set."""

        async def session(connection: Connection) -> None:
            await pull(connection, self._stream, self._link.user, self._handle, stopping)

        await keep_running(self._link, session, stopping, self.counters)

    async def _handle(self, messages: Sequence[Msg]) -> None:
        self._hint()
        self.counters["hints"] += len(messages)
        for message in messages:
            await message.ack()

"""From a service's outbox to its stream: every event, in order, at least once (DESIGN 4).

Each publish carries its id and the id that must be the stream's last, so the server itself
refuses a gap, a second relay, or a late repeat. What is on the stream is read from the stream, at
the start of every session; the cursor in the database only says how far that was last time.
"""

from __future__ import annotations

import asyncio
from typing import Final

from nats.js.errors import APIError
from safehand_core import failpoints, logs
from safehand_store import outbox
from safehand_store.engine import begin_read, begin_write
from safehand_store.outbox import OutboxEvent, event_id, parse_event_id
from sqlalchemy import Engine

from safehand_bus import envelope, topology
from safehand_bus.connection import (
    Connection,
    Counters,
    LostError,
    NatsLink,
    keep_running,
    wait_any,
)
from safehand_bus.wake import WakeListener

POLL_S: Final = 1.0
"""The outbox is read at least this often; a wake-up only makes it sooner."""
BATCH: Final = 256
CURSOR_LAG_S: Final = 0.25
"""How long the stored cursor may trail. Moving it takes the service's only write lock, which
belongs to stops and releases, and an event that comes meanwhile would wait for it; a stale cursor
costs nothing, since the stream knows better."""
WRONG_LAST: Final = frozenset({10070, 10071})
"""JetStream error codes: the stream's last message id, or sequence, is not the expected one."""


class StreamAheadError(Exception):
    """The stream holds events that the outbox has not: the database was rolled back."""


class ForeignMessageError(Exception):
    """The stream's last message is not one of this source's."""


class Relay:
    """Publishes what ``source`` wrote into the outbox of ``engine``'s database."""

    def __init__(
        self, engine: Engine, source: str, link: NatsLink, *, wake: WakeListener | None = None
    ) -> None:
        self.counters = Counters()
        self._engine = engine
        self._source = source
        self._stream = topology.stream_of(source)
        self._link = link
        self._wake = wake
        self._woken = asyncio.Event()
        self._stored = 0
        self._trails_since: float | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        """Relay until ``stopping`` is set."""
        if self._wake is not None:
            self._wake.attach(self._woken)
        try:
            await keep_running(
                self._link, lambda c: self._session(c, stopping), stopping, self.counters
            )
        finally:
            if self._wake is not None:
                self._wake.detach()

    async def _session(self, connection: Connection, stopping: asyncio.Event) -> None:
        position, stream_sequence = await self._resynchronise(connection)
        while not stopping.is_set():
            if connection.lost.is_set():
                raise LostError
            self._woken.clear()
            batch = self._read(position)
            try:
                for row in batch:
                    stream_sequence = await self._publish(
                        connection, row, position, stream_sequence
                    )
                    position = row.sequence
            except APIError as error:
                if error.err_code not in WRONG_LAST:
                    raise
                self.counters["resynchronised"] += 1
                position, stream_sequence = await self._resynchronise(connection)
                continue
            if len(batch) < BATCH:
                waiting = await self._store_cursor(position)
                await wait_any(self._woken, connection.lost, stopping, timeout_s=waiting)
        await self._store_cursor(position, now=True)

    async def _resynchronise(self, connection: Connection) -> tuple[int, int]:
        """The last event on the stream: its sequence in the source, and in the stream."""
        state = (await connection.js.stream_info(self._stream.name)).state
        position = 0
        if state.messages:
            last = await connection.js.get_msg(self._stream.name, state.last_seq)
            parsed = parse_event_id((last.headers or {}).get("Nats-Msg-Id", ""))
            if parsed is None or parsed[0] != self._source:
                self.counters["foreign"] += 1
                raise ForeignMessageError
            position = parsed[1]
        with begin_read(self._engine) as db:
            head, self._stored = outbox.head(db), outbox.cursor(db)
        if position > head:
            self.counters["ahead"] += 1
            logs.get().error("relay.stream_ahead", stream=self._stream.name, lag=position - head)
            raise StreamAheadError
        if position < self._stored:
            self.counters["rewound"] += 1
            logs.get().warning(
                "relay.bus_lost_data", stream=self._stream.name, lag=self._stored - position
            )
        if position != self._stored:
            await self._store_cursor(position, now=True)
        return position, state.last_seq

    async def _publish(
        self, connection: Connection, row: OutboxEvent, position: int, stream_sequence: int
    ) -> int:
        message = envelope.encode(self._source, row)
        headers = {**message.headers, "Nats-Msg-Id": event_id(self._source, row.sequence)}
        if position:
            headers["Nats-Expected-Last-Msg-Id"] = event_id(self._source, position)
        else:
            # An empty id would not be checked: the first of all is chained by its place.
            headers["Nats-Expected-Last-Sequence"] = str(stream_sequence)
        answer = await connection.js.publish(
            message.subject, message.data, stream=self._stream.name, headers=headers
        )
        self.counters["repeated" if answer.duplicate else "published"] += 1
        failpoints.hit(f"{self._source}.relay.published")
        return answer.seq

    def _read(self, position: int) -> list[OutboxEvent]:
        # In the loop itself: a read takes microseconds and waits for nobody.
        with begin_read(self._engine) as db:
            return list(outbox.after(db, position, BATCH))

    async def _store_cursor(self, position: int, *, now: bool = False) -> float:
        """Store the cursor where it is time; returns for how long to sleep, in seconds."""
        if position == self._stored:
            self._trails_since = None
            return POLL_S
        clock = asyncio.get_running_loop().time()
        if self._trails_since is None:
            self._trails_since = clock
        due = self._trails_since + CURSOR_LAG_S - clock
        if due > 0 and not now:
            return due
        await asyncio.to_thread(self._write_cursor, position)
        self._stored, self._trails_since = position, None
        return POLL_S

    def _write_cursor(self, position: int) -> None:
        with begin_write(self._engine) as db:
            outbox.set_cursor(db, position)

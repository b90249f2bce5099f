"""From a service's outbox to its stream: every event, in order, at least once (DESIGN 4).

Each publish carries its id and the id that must be the stream's last, so the server itself
refuses a gap, a second relay, or a late repeat. What is on the stream is read from the stream, at
the start of every session and whenever the server refuses a publish; the cursor in the database
only says how far that was last time.

A replay publishes old events again behind the newest. Its number is part of the message ids
(``consent:7+2`` in the second), or the server would take them for repeats; the event itself is the
same, so whoever applied it does nothing. Where the replay stands is read from the stream as well:
a crash in the middle of it loses and repeats nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nats.js.errors import APIError
from safehand_core import failpoints, logs
from safehand_store import outbox
from safehand_store.engine import begin_read, begin_write
from safehand_store.outbox import OutboxEvent, event_id, parse_event_id
from safehand_telemetry import tracing
from sqlalchemy import Engine

from safehand_bus import envelope, topology
from safehand_bus.connection import (
    Connection,
    Counters,
    LostError,
    keep_running,
    wait_any,
)
from safehand_bus.envelope import Envelope
from safehand_bus.link import NatsLink
from safehand_bus.pulse import Pulse
from safehand_bus.wake import WakeListener

POLL_S: Final = 1.0
"""The outbox is read at least this often; a wake-up only makes it sooner."""
BATCH: Final = 256
BACKLOG: Final = 32
"""So many events at once are a backlog, after an outage for instance."""
WINDOW: Final = 64
"""Events of a backlog that are on their way to the server at one time."""
CURSOR_LAG_S: Final = 0.25
"""How long the stored cursor may trail. Moving it takes the service's only write lock, which
belongs to stops and releases, and an event that comes meanwhile would wait for it; a stale cursor
costs nothing, since the stream knows better."""
WRONG_LAST: Final = frozenset({10070, 10071})
"""JetStream error codes: the stream's last message id, or sequence, is not the expected one."""


PUBLISH_TIMEOUT_S: Final = 2.0
"""Longest wait for one acknowledgement; then the session starts again from what the stream says."""
FOREIGN: Final = 256
"""So many messages that are not its own are stepped over. Nobody else may write to a stream: one is
an intruder's, with the server's own rights. Each is reported, and stops behind it still go out."""
ROUND: Final = "+"
"""Between event id and number of the replay, in a message id."""


class StreamAheadError(Exception):
    """The stream holds events that the outbox has not: the database was rolled back."""


class ForeignMessageError(Exception):
    """The stream's last messages, more than are looked at, are none of this source's."""


@dataclass(frozen=True, slots=True)
class Place:
    """The last message of the stream.

    Attributes:
        sequence: the event's, in its source; 0 where the stream is empty.
        round: the replay in which it was published; 0 outside any.
        message_id: as it stands on the stream; "" where the stream is empty, or ends with a message
            of somebody else's.
        stream_sequence: its place in the stream.
    """

    sequence: int
    round: int
    message_id: str
    stream_sequence: int


def message_id(source: str, sequence: int, round: int) -> str:
    """``consent:7``, or ``consent:7+2`` in the second replay."""
    suffix = f"{ROUND}{round}" if round else ""
    return f"{event_id(source, sequence)}{suffix}"


def parse_message_id(source: str, value: str) -> tuple[int, int] | None:
    """``(sequence, round)`` of a message id of ``source``, or None where it is not one."""
    text, _, suffix = value.partition(ROUND)
    found = parse_event_id(text)
    if found is None or found[0] != source:
        return None
    round = int(suffix) if suffix.isascii() and suffix.isdigit() else 0
    return (found[1], round) if message_id(source, found[1], round) == value else None


class Relay:
    """Publishes what ``source`` wrote into the outbox of ``engine``'s database."""

    def __init__(
        self,
        engine: Engine,
        source: str,
        link: NatsLink,
        *,
        wake: WakeListener | None = None,
        pulse: Pulse | None = None,
    ) -> None:
        self.counters = Counters()
        self._engine = engine
        self._source = source
        self._stream = topology.stream_of(source)
        self._link = link
        self._wake = wake
        self._pulse = pulse or Pulse()
        self._woken = asyncio.Event()
        self._stored = 0
        self._trails_since: float | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        """Relay until ``stopping`` is set."""
        if self._wake is not None:
            self._wake.attach(self._woken)
        try:
            await keep_running(
                self._link,
                lambda c: self._session(c, stopping),
                stopping,
                self.counters,
                failed=lambda: self._pulse.failed("relay"),
            )
        finally:
            if self._wake is not None:
                self._wake.detach()

    async def _session(self, connection: Connection, stopping: asyncio.Event) -> None:
        place = await self._resynchronise(connection)
        while not stopping.is_set():
            if connection.lost.is_set():
                raise LostError
            self._woken.clear()
            batch, round = self._read(place)
            try:
                place = await self._publish_all(connection, batch, round, place)
            except APIError as error:
                if error.err_code not in WRONG_LAST:
                    raise
                self.counters["resynchronised"] += 1
                place = await self._resynchronise(connection)
                continue
            self._pulse.worked("relay")
            waiting = await self._store_cursor(place.sequence)
            if len(batch) < BATCH:
                await wait_any(self._woken, connection.lost, stopping, timeout_s=waiting)
        await self._store_cursor(place.sequence, now=True)

    async def _resynchronise(self, connection: Connection) -> Place:
        """The last message on the stream, by what the stream says."""
        with begin_read(self._engine) as db:
            asked, self._stored = outbox.replay(db), outbox.cursor(db)
        place = await self._last(connection, asked.round)
        with begin_read(self._engine) as db:  # after the look at the stream: it may have grown
            head, asked = outbox.head(db), outbox.replay(db)
        if place.sequence > head or place.round > asked.round:
            self.counters["ahead"] += 1
            logs.get().error(
                "relay.stream_ahead", stream=self._stream.name, lag=place.sequence - head
            )
            raise StreamAheadError
        if place.sequence < self._stored:
            self.counters["rewound"] += 1
            logs.get().warning(
                "relay.rewound", stream=self._stream.name, lag=self._stored - place.sequence
            )
        if place.sequence != self._stored:
            await self._store_cursor(place.sequence, now=True)
        return place

    async def _last(self, connection: Connection, asked_round: int) -> Place:
        state = (await connection.js.stream_info(self._stream.name)).state
        if not state.last_seq:
            # New, or made again after its store was lost: everything is published again.
            return Place(0, asked_round, "", 0)
        if not state.messages:
            # All of it was older than the stream keeps; who was away asks the source.
            return Place(self._stored, 0, "", state.last_seq)
        for back in range(min(state.messages, FOREIGN)):
            last = await connection.js.get_msg(self._stream.name, state.last_seq - back)
            text = (last.headers or {}).get("Nats-Msg-Id", "")
            parsed = parse_message_id(self._source, text)
            if parsed is not None:
                # Behind a foreign message the next is chained by its place: ids name ours alone.
                return Place(*parsed, "" if back else text, state.last_seq)
            self.counters["foreign"] += 1
            logs.get().error("relay.foreign", stream=self._stream.name)
        if state.messages <= FOREIGN:
            return Place(self._stored, 0, "", state.last_seq)
        raise ForeignMessageError

    async def _publish_all(
        self, connection: Connection, batch: Sequence[OutboxEvent], round: int, place: Place
    ) -> Place:
        """Publish in order; a backlog without waiting for each acknowledgement.

        Each message names the one before it, so the server refuses all behind one that it did not
        take: what is on the stream has no gap, whatever was lost on the way.
        """
        window = WINDOW if len(batch) >= BACKLOG else 1
        for start in range(0, len(batch), window):
            rows = batch[start : start + window]
            behind = [place, *(self._expected(row, round) for row in rows[:-1])]
            answers = await asyncio.gather(
                *(
                    self._publish(connection, row, round, before)
                    for row, before in zip(rows, behind, strict=True)
                ),
                return_exceptions=True,
            )
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
                place = answer
        return place

    def _expected(self, row: OutboxEvent, round: int) -> Place:
        """Where ``row`` will be the last; its place in the stream is not known, nor needed."""
        return Place(row.sequence, round, message_id(self._source, row.sequence, round), 0)

    async def _publish(
        self, connection: Connection, row: OutboxEvent, round: int, place: Place
    ) -> Place:
        subject = topology.subject_of(row.type)
        with tracing.publishing(row.trace, subject) as traceparent:
            message = envelope.encode(self._source, row, traceparent)
            return await self._send(connection, message, row, round, place)

    async def _send(
        self, connection: Connection, message: Envelope, row: OutboxEvent, round: int, place: Place
    ) -> Place:
        own_id = message_id(self._source, row.sequence, round)
        headers = {**message.headers, "Nats-Msg-Id": own_id}
        if place.message_id:
            headers["Nats-Expected-Last-Msg-Id"] = place.message_id
        else:
            # An empty id would not be checked: the first of all is chained by its place.
            headers["Nats-Expected-Last-Sequence"] = str(place.stream_sequence)
        answer = await connection.js.publish(
            message.subject,
            message.data,
            stream=self._stream.name,
            headers=headers,
            timeout=PUBLISH_TIMEOUT_S,
        )
        self.counters["repeated" if answer.duplicate else "published"] += 1
        failpoints.hit(f"{self._source}.relay.published")
        return Place(row.sequence, round, own_id, answer.seq)

    def _read(self, place: Place) -> tuple[list[OutboxEvent], int]:
        """What to publish behind ``place``, and in which replay."""
        # In the loop itself: a read takes microseconds and waits for nobody.
        with begin_read(self._engine) as db:
            asked = outbox.replay(db)
            behind = asked.first - 1 if asked.round > place.round else place.sequence
            return list(outbox.after(db, behind, BATCH)), asked.round

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

"""A durable consumer that applies each event once, in its source's order (DESIGN 4).

The bus may lose, repeat and reorder. What counts is the source's own sequence: events are applied
strictly one after the other, each in one transaction with its place in the inbox, and what the
bus did not bring is fetched from the source. A message is acknowledged after the commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from nats.aio.msg import Msg
from safehand.events.v1 import events_pb2
from safehand_core import failpoints, logs
from safehand_store import inbox
from safehand_store.engine import begin_read, begin_write
from sqlalchemy import Connection as Db
from sqlalchemy import Engine

from safehand_bus import dead_letter, envelope, topology
from safehand_bus.connection import Connection, Counters, NatsLink, keep_running
from safehand_bus.envelope import BadMessageError
from safehand_bus.pull import pull

CHUNK: Final = 256
"""Events applied in one transaction: a long gap must not hold the write lock for long."""
FIRST_DELAY_S: Final = 0.25
LAST_DELAY_S: Final = 4.0
"""A message that could not be applied comes again after a delay that doubles between these."""

Event = events_pb2.Event
Apply = Callable[[Db, Event], None]
"""The effect of one event, in the transaction given. Raise, and the event comes again later."""
Fetch = Callable[[int], Sequence[Event]]
"""The source's own next events behind a sequence number, in order, at most one page. Blocking."""


class SourceSilentError(Exception):
    """The source does not have, or does not give, the events that are missing."""


class Consumer:
    """Applies the events of one source to ``engine``'s database, as the durable ``user``.

    Args:
        apply: the effect.
        fetch: asks the source for what the bus lost.
        applied: called in the event loop after each commit, with the events of it.
        failpoint: prefix of the failpoints around the commit; "" for none.
    """

    def __init__(
        self,
        engine: Engine,
        link: NatsLink,
        source: str,
        *,
        apply: Apply,
        fetch: Fetch,
        applied: Callable[[Sequence[Event]], None] = lambda events: None,
        failpoint: str = "",
    ) -> None:
        self.counters = Counters()
        self._engine = engine
        self._link = link
        self._source = source
        self._stream = topology.stream_of(source).name
        self._apply = apply
        self._fetch = fetch
        self._applied = applied
        self._failpoint = failpoint

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume until ``stopping`` is set."""

        async def session(connection: Connection) -> None:
            await pull(connection, self._stream, self._link.user, self._handle, stopping)

        await keep_running(self._link, session, stopping, self.counters)

    async def _handle(self, messages: Sequence[Msg]) -> None:
        good: list[tuple[Msg, Event]] = []
        for message in messages:
            event = await self._decode(message)
            if event is not None:
                good.append((message, event))
        try:
            done = await asyncio.to_thread(self._take, [event for _, event in good])
        except Exception as error:
            self.counters["failed"] += 1
            logs.get().warning(
                "consumer.failed", stream=self._stream, exception=type(error).__name__
            )
            for message, _ in good:
                await message.nak(delay=_delay_s(message))
            return
        # Those who wait hear of it first: the acknowledgements are for the bus alone.
        if done:
            self._applied(done)
        for message, _ in good:
            await message.ack()

    async def _decode(self, message: Msg) -> Event | None:
        try:
            return envelope.decode(self._source, message.subject, message.headers, message.data)
        except BadMessageError as bad:
            self.counters["dead"] += 1
            logs.get().error("consumer.dead_letter", stream=self._stream, step=bad.code)
            await asyncio.to_thread(self._bury, message, bad.code)
            await message.term()
            return None

    def _bury(self, message: Msg, code: str) -> None:
        with begin_write(self._engine) as db:
            dead_letter.add(
                db,
                stream=self._stream,
                stream_sequence=message.metadata.sequence.stream,
                code=code,
                data=message.data,
            )

    def _take(self, events: Sequence[Event]) -> list[Event]:
        """Apply what is new among ``events`` and everything missing before it; returns that."""
        with begin_read(self._engine) as db:
            last = inbox.position(db, self._source)
        waiting = {event.sequence: event for event in events if event.sequence > last}
        self.counters["repeated"] += len(events) - len(waiting)
        done: list[Event] = []
        while waiting and last < max(waiting):
            chunk = _run_from(waiting, last) or self._fill(last)
            self._commit(chunk)
            done += chunk
            last = chunk[-1].sequence
        return done

    def _fill(self, last: int) -> list[Event]:
        """The source's next events behind ``last``, checked."""
        self.counters["gaps"] += 1
        fetched = list(self._fetch(last))[:CHUNK]
        if not fetched:
            raise SourceSilentError
        for place, event in enumerate(fetched, start=last + 1):
            envelope.check(self._source, event)
            if event.sequence != place:
                raise SourceSilentError
        self.counters["fetched"] += len(fetched)
        return fetched

    def _commit(self, events: Sequence[Event]) -> None:
        with begin_write(self._engine) as db:
            for event in events:
                if inbox.first_time(db, self._source, event.sequence):
                    self._apply(db, event)
                    self.counters["applied"] += 1
            self._hit("before_commit")
        self._hit("committed")

    def _hit(self, place: str) -> None:
        if self._failpoint:
            failpoints.hit(f"{self._failpoint}.{place}")


def _run_from(waiting: dict[int, Event], last: int) -> list[Event]:
    """The events of ``waiting`` that follow ``last`` without a gap, at most one chunk."""
    run: list[Event] = []
    while len(run) < CHUNK and (event := waiting.get(last + 1 + len(run))) is not None:
        run.append(event)
    return run


def _delay_s(message: Msg) -> float:
    tries = message.metadata.num_delivered or 1
    return min(FIRST_DELAY_S * 2.0 ** min(tries - 1, 16), LAST_DELAY_S)

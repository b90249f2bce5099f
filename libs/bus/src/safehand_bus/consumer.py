"""A durable consumer that applies each event once, in its source's order (DESIGN 4).

The bus may lose, repeat and reorder. What counts is the source's own sequence: events are applied
strictly one after the other, each in one transaction with its place in the inbox, and what the
bus did not bring is fetched from the source. A message is acknowledged after the commit.

A message shows what is missing before it. What is missing at the end shows in no message: so
while the bus is quiet the source is asked, first of all in each session and rarely afterwards.

An event whose effect fails again and again would hold up all that follow, stops among them. After
bounded attempts it is written down as a dead letter, in the transaction that moves the inbox past
it, and can be replayed. Trouble of the surroundings (a busy database, a silent source) is no
attempt: it is waited out, however long it takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from nats.aio.msg import Msg
from safehand.events.v1 import events_pb2
from safehand_core import failpoints, logs
from safehand_core.clock import Clock, SystemClock
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store import inbox
from safehand_store.engine import begin_read, begin_write, says_unavailable
from sqlalchemy import Connection as Db
from sqlalchemy import Engine
from sqlalchemy import exc as database

from safehand_bus import dead_letter, envelope, topology
from safehand_bus.backoff import Backoff
from safehand_bus.connection import Connection, Counters, keep_running
from safehand_bus.envelope import BadMessageError
from safehand_bus.link import NatsLink
from safehand_bus.pull import pull
from safehand_bus.pulse import Pulse
from safehand_bus.traced import applying

CHUNK: Final = 256
"""Events applied in one transaction: a long gap must not hold the write lock for long."""
FIRST_DELAY_S: Final = 0.25
LAST_DELAY_S: Final = 4.0
"""What could not be applied is tried again after a wait whose bound doubles between these."""
SHORTEST_NAK_S: Final = 0.01
"""The shortest wait that is asked of the server."""
MAX_ATTEMPTS: Final = 8
"""An event whose effect failed so often is set aside: some ten seconds after the first try."""
LOOK_EVERY_S: Final = 30.0
"""While the bus is quiet the source is asked this often, in seconds: what the stream dropped waits
no longer for its effect, and a source answers one small call."""
LOOK_PAGES: Final = 64
"""Pages that one look takes up before messages have their turn again."""
ANSWER_S: Final = 0.5
"""Seconds for which messages wait for the answer to a look. A later one is taken up later: a
source that hangs must not hold up what the bus brings."""

Event = events_pb2.Event
Apply = Callable[[Db, Event], None]
"""The effect of one event, in the transaction given. Raise, and the event comes again later."""
Fetch = Callable[[int], Sequence[Event]]
"""The source's own next events behind a sequence number, in order, at most one page. Blocking."""

_SURROUNDINGS: Final = (
    OSError,
    MemoryError,
    database.OperationalError,
    database.InterfaceError,
    database.TimeoutError,
)


class SourceSilentError(Exception):
    """The source does not have, or does not give, the events that are missing."""


class EffectError(Exception):
    """The effect of one event failed, for a reason that lies in the event."""

    def __init__(self, event: Event, cause: Exception) -> None:
        self.event = event
        self.code = type(cause).__name__
        super().__init__(self.code)


@dataclass(slots=True)
class _Attempts:
    """How often the effect of one event failed; only the first missing one is ever tried."""

    sequence: int = 0
    count: int = 0

    def add(self, sequence: int) -> int:
        self.count = self.count + 1 if sequence == self.sequence else 1
        self.sequence = sequence
        return self.count


class Consumer:
    """Applies the events of one source to ``engine``'s database, as the durable ``user``.

    Args:
        apply: the effect.
        fetch: asks the source for what the bus lost.
        applied: called in the event loop after each commit, with the events of it.
        look_every_s: how often the source is asked while the bus is quiet, in seconds.
        failpoint: prefix of the failpoints around the commit; "" for none.
        attempts: after so many failures of its own, an event is set aside.
        pulse: told whether this loop gets on with its work.
        backoff: how long to wait after a failure.
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
        attempts: int = MAX_ATTEMPTS,
        look_every_s: float = LOOK_EVERY_S,
        clock: Clock | None = None,
        pulse: Pulse | None = None,
        backoff: Backoff | None = None,
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
        self._max_attempts = attempts
        self._clock = clock or SystemClock()
        self._pulse = pulse or Pulse()
        self._backoff = backoff or Backoff(FIRST_DELAY_S, LAST_DELAY_S)
        self._attempts = _Attempts()
        self._not_before = 0.0
        """Loop time before which nothing is tried again: an attempt is not spent on a message
        that merely came with others."""
        self._look_every_s = look_every_s
        self._look_at = 0.0
        """Loop time of the next look."""
        self._asked: asyncio.Future[list[Event]] | None = None
        """A look whose answer is not there yet."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume until ``stopping`` is set."""

        async def session(connection: Connection) -> None:
            self._look_at = 0.0
            try:
                await pull(
                    connection,
                    self._stream,
                    self._link.user,
                    self._handle,
                    stopping,
                    alive=lambda: self._pulse.worked(f"{self._source}.link"),
                    quiet=self._look,
                )
            finally:
                await self._forget_look()

        await keep_running(
            self._link,
            session,
            stopping,
            self.counters,
            failed=lambda: self._pulse.failed(f"{self._source}.link"),
        )

    async def _handle(self, messages: Sequence[Msg]) -> None:
        good: list[tuple[Msg, Event]] = []
        for message in messages:
            event = await self._decode(message)
            if event is not None:
                good.append((message, event))
        now = asyncio.get_running_loop().time()
        if now < self._not_before:
            await self._put_off(good, self._not_before - now)
            return
        if await self._work([event for _, event in good]):
            for message, _ in good:
                await message.ack()
        else:
            await self._put_off(good, self._not_before - asyncio.get_running_loop().time())

    async def _work(self, events: Sequence[Event]) -> bool:
        """Apply ``events`` and what is missing before them; False where that is to be tried again,
        not before ``_not_before``."""
        done: list[Event] = []
        try:
            await asyncio.to_thread(self._take, events, done)
        except Exception as error:
            self._ring(done)
            self._failed(error)
            return False
        # Those who wait hear of it first: the acknowledgements are for the bus alone.
        self._ring(done)
        self._backoff.reset()
        self._pulse.worked(f"{self._source}.effect")
        return True

    def _ring(self, done: Sequence[Event]) -> None:
        if done:
            self._applied(done)

    def _failed(self, error: Exception) -> None:
        self.counters["failed"] += 1
        self._pulse.failed(f"{self._source}.effect")
        code = error.code if isinstance(error, EffectError) else type(error).__name__
        delay = self._backoff.next()
        logs.get().warning(
            "consumer.failed", stream=self._stream, exception=code, delay_s=round(delay, 3)
        )
        self._not_before = asyncio.get_running_loop().time() + delay

    async def _look(self) -> None:
        """Apply what the source has and no message told of."""
        clock = asyncio.get_running_loop().time
        for _ in range(LOOK_PAGES):
            if clock() < max(self._look_at, self._not_before):
                return
            if self._asked is None:
                self._asked = asyncio.ensure_future(asyncio.to_thread(self._ask))
            await asyncio.wait({self._asked}, timeout=ANSWER_S)
            if not self._asked.done():
                return
            asked, self._asked = self._asked, None
            if (error := asked.exception()) is not None:
                # Nothing says that anything is missing: no failure of an effect.
                self.counters["looks_failed"] += 1
                logs.get().info(
                    "consumer.look_failed", stream=self._stream, exception=type(error).__name__
                )
                self._look_at = clock() + self._look_every_s
                return
            self.counters["looks"] += 1
            if not (events := asked.result()):
                self._look_at = clock() + self._look_every_s
                return
            await self._work(events)

    async def _forget_look(self) -> None:
        """An answer counts in its own session only, and no thread outlives that."""
        asked, self._asked = self._asked, None
        if asked is not None:
            await asyncio.gather(asked, return_exceptions=True)

    async def _put_off(self, good: Sequence[tuple[Msg, Event]], delay_s: float) -> None:
        for message, _ in good:
            # Without a delay the server would take it for a request to deliver at once.
            await message.nak(delay=max(delay_s, SHORTEST_NAK_S))

    async def _decode(self, message: Msg) -> Event | None:
        try:
            return envelope.decode(self._source, message.subject, message.headers, message.data)
        except BadMessageError as bad:
            self.counters["dead"] += 1
            logs.get().error("consumer.dead_letter", stream=self._stream, step=bad.code)
            # Written first: a crash in between makes the server deliver it again.
            await asyncio.to_thread(self._bury, message, bad.code)
            await message.term()
            return None

    def _bury(self, message: Msg, code: str) -> None:
        with begin_write(self._engine) as db:
            dead_letter.add(
                db,
                source=self._source,
                stream_sequence=message.metadata.sequence.stream,
                code=code,
                data=message.data,
                time=self._clock.wall(),
            )

    def _take(self, events: Sequence[Event], done: list[Event]) -> None:
        """Apply what is new among ``events`` and everything missing before it.

        What was committed is added to ``done``, also where it raises in the end.
        """
        with begin_read(self._engine) as db:
            last = inbox.position(db, self._source)
        waiting = {event.sequence: event for event in events if event.sequence > last}
        self.counters["repeated"] += len(events) - len(waiting)
        while waiting and last < max(waiting):
            chunk = _run_from(waiting, last) or self._fill(last)
            try:
                self._commit(chunk)
                done += chunk
            except EffectError as error:
                # The others are not held up by it: those before it now, those behind it below.
                before = [event for event in chunk if event.sequence < error.event.sequence]
                if before:
                    self._commit(before)
                    done += before
                self._set_aside_or_raise(error)
                chunk = [*before, error.event]
            last = chunk[-1].sequence

    def _set_aside_or_raise(self, error: EffectError) -> None:
        attempts = self._attempts.add(error.event.sequence)
        if attempts < self._max_attempts:
            raise error
        with begin_write(self._engine) as db:
            if inbox.first_time(db, self._source, error.event.sequence):
                dead_letter.add(
                    db,
                    source=self._source,
                    stream_sequence=0,
                    code=error.code,
                    data=error.event.SerializeToString(deterministic=True),
                    time=self._clock.wall(),
                    attempts=attempts,
                    event=error.event,
                )
        self.counters["dead"] += 1
        logs.get().error(
            "consumer.dead_letter", stream=self._stream, exception=error.code, attempt=attempts
        )

    def _fill(self, last: int) -> list[Event]:
        """The source's next events behind ``last``, checked; there must be one."""
        self.counters["gaps"] += 1
        fetched = self._fetched(last)
        if not fetched:
            raise SourceSilentError
        return fetched

    def _ask(self) -> list[Event]:
        """The source's next events behind the inbox, checked."""
        with begin_read(self._engine) as db:
            last = inbox.position(db, self._source)
        return self._fetched(last)

    def _fetched(self, last: int) -> list[Event]:
        fetched = list(self._fetch(last))[:CHUNK]
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
                    self._effect(db, event)
                    self.counters["applied"] += 1
            self._hit("before_commit")
        self._hit("committed")

    def _effect(self, db: Db, event: Event) -> None:
        tried = self._attempts.count if event.sequence == self._attempts.sequence else 0
        try:
            with applying(event, attempt=tried + 1):
                self._apply(db, event)
        except Exception as error:
            if of_the_surroundings(error):
                raise
            raise EffectError(event, error) from error

    def _hit(self, place: str) -> None:
        if self._failpoint:
            failpoints.hit(f"{self._failpoint}.{place}")


def _run_from(waiting: dict[int, Event], last: int) -> list[Event]:
    """The events of ``waiting`` that follow ``last`` without a gap, at most one chunk."""
    run: list[Event] = []
    while len(run) < CHUNK and (event := waiting.get(last + 1 + len(run))) is not None:
        run.append(event)
    return run


def of_the_surroundings(error: Exception) -> bool:
    """Whether the same event may well have its effect later, without anybody doing anything."""
    if isinstance(error, SafehandError):
        return error.reason in (Reason.UNAVAILABLE, Reason.OVERLOADED)
    return isinstance(error, _SURROUNDINGS) or says_unavailable(error)

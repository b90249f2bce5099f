"""Following consent's own event sequence: what a grant's end does to referrals (PROTOCOL rule 7).

The bus only wakes this; what counts is consent's sequence, asked for by gRPC, applied in order and
in one transaction with the place reached. A stop sets one field of every referral of the grant
and tells both ends; state, place and clocks stay as they are.

An event that cannot be applied is never skipped, for it may be a stop. While it is tried again
nothing is created or fetched. After bounded attempts it is set aside, and from then on it denies
what it may be about (``holds``), and those behind it are applied.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from safehand.events.v1.events_pb2 import Event, EventType
from safehand_bus.backoff import Backoff
from safehand_bus.consumer import (
    FIRST_DELAY_S,
    LAST_DELAY_S,
    MAX_ATTEMPTS,
    EffectError,
    of_the_surroundings,
)
from safehand_bus.envelope import BadMessageError, check
from safehand_bus.letters import Letters
from safehand_bus.traced import applying
from safehand_bus.wake import WakeListener, Waker
from safehand_core import failpoints, logs
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store import inbox
from safehand_store.engine import begin_read, begin_write
from sqlalchemy import Connection

from safehand_referral_service import holds, referral_store
from safehand_referral_service.consent_events import ConsentEvents
from safehand_referral_service.context import Context
from safehand_referral_service.states import SHARING

SOURCE: Final = "consent"
AUDIENCE: Final = "service/referral"
POLL_S: Final = 1.0
"""Consent is asked at least this often, in seconds; a wake-up only makes it sooner."""
RETRY_S: Final = 0.25
"""Seconds between tries before the service begins to serve."""
GATHER_S: Final = 0.01
"""Where the next wake-up comes this soon, in seconds, it is a rush, and there is a pause of this
length before the look: one look for many events. A single event never waits."""
CHUNK: Final = 256
"""Events applied in one transaction, so that a long gap does not hold the write lock for long."""

SILENT: Final = frozenset(
    {
        EventType.EVENT_TYPE_CONSENT_GRANTED,
        EventType.EVENT_TYPE_CONSENT_NARROWED,
        EventType.EVENT_TYPE_CONSENT_CONFIRMED,
    }
)
"""What consent says of a grant that changes nothing here. A type that is in no list may be a new
kind of stop: it is never taken for one of these."""

_RESOURCE: Final = re.compile(r"(grants|referrals)/([0-9a-f]{32})")


class Follower:
    """Applies the events of ``source`` to the referrals. ``start`` runs it in a thread of its own.

    It owns ``source``, and the socket ``wake_path`` on which it is woken: ``close`` closes both.
    """

    def __init__(self, context: Context, source: ConsentEvents, wake_path: Path) -> None:
        self._context = context
        self._source = source
        self._wake_path = wake_path
        self._wake = WakeListener(wake_path)
        self._stopping = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._thread: threading.Thread | None = None
        self._silent = False
        self._current_at = context.clock.monotonic()
        self._failed_at, self._attempts = 0, 0
        """The sequence of the event that could not be applied last, and how often."""
        self._backoff = Backoff(FIRST_DELAY_S, LAST_DELAY_S)
        self._not_before = 0.0
        """Monotonic time before which the thread tries nothing again: a rush of wake-ups must not
        use up the attempts."""

    def behind_s(self) -> float:
        """Seconds since consent last said that there is nothing that was not applied here."""
        return self._context.clock.monotonic() - self._current_at

    def catch_up(self) -> int:
        """Apply everything that consent has by now; returns how many events that was.

        Raises UNAVAILABLE where consent does not answer, or answers with a gap, and EffectError
        where an event could not be applied and is to be tried again.
        """
        applied = 0
        with self._one_at_a_time:
            while not self._stopping.is_set():
                asked = self._context.clock.monotonic()
                with begin_read(self._context.engine) as connection:
                    last = inbox.position(connection, SOURCE)
                    anything = holds.everything(connection)
                events = self._source.fetch(last)
                if not events:
                    self._current_at = asked
                    self._know(not anything)
                    break
                try:
                    _require_gapless(events, last)
                    for start in range(0, len(events), CHUNK):
                        self._take(events[start : start + CHUNK])
                except Exception:
                    # Consent said something that is not applied here: a stop may be in it.
                    self._know(False)
                    raise
                applied += len(events)
        return applied

    def _know(self, everything: bool) -> None:
        """Whether this process knows of every stop that consent has told us of."""
        if everything:
            self._context.followed.set()
        else:
            self._context.followed.clear()

    def look(self) -> None:
        """Have the thread ask consent now."""
        waker = Waker(self._wake_path)
        waker.wake()
        waker.close()

    def start(self, *, first_within_s: float) -> None:
        """Catch up once, trying for about so many seconds, then follow in a thread.

        Where consent stays silent the service still starts: until it has read consent's events
        once it refuses create and fetch (``Context.require_followed``), and nothing else.
        """
        for _ in range(max(1, int(first_within_s / RETRY_S))):
            if self._try() or self._stopping.wait(RETRY_S):
                break
        self._thread = threading.Thread(target=self._run, name="follow", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; an event that is being applied is applied whole or not at all."""
        self._stopping.set()
        self.look()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._source.close()
        self._wake.close()

    def _run(self) -> None:
        looked = 0.0
        while not self._stopping.is_set():
            if (pause := self._not_before - time.monotonic()) > 0:
                self._stopping.wait(pause)
            elif self._wake.wait(POLL_S) and time.monotonic() - looked < GATHER_S:
                self._stopping.wait(GATHER_S)
                self._wake.wait(0.0)  # what rang meanwhile is answered by the same look
            self._try()
            looked = time.monotonic()

    def _try(self) -> bool:
        """Catch up; False, and one line in the log for each silence, where that fails."""
        try:
            self.catch_up()
        except Exception as error:
            if not self._silent:
                logs.get().warning("follow.failed", exception=type(error).__name__)
            self._silent = True
            self._not_before = time.monotonic() + self._backoff.next()
            return False
        self._backoff.reset()
        if self._silent:
            logs.get().info("follow.recovered")
        self._silent = False
        return True

    def _take(self, events: Sequence[Event]) -> None:
        """Apply ``events``; set aside what failed too often. Raises EffectError for one that has
        attempts left, with those before it applied."""
        while events:
            try:
                self._apply(events)
                return
            except EffectError as error:
                place = error.event.sequence - events[0].sequence
                if place:
                    self._apply(events[:place])
                self._set_aside_or_raise(error)
                events = events[place + 1 :]

    def _apply(self, events: Sequence[Event]) -> None:
        with begin_write(self._context.engine) as connection:
            now = self._context.clock.wall()
            for event in events:
                if inbox.first_time(connection, SOURCE, event.sequence):
                    self._effect(connection, event, now)
            failpoints.hit("referral.follow.before_commit")
        self._context.wake()

    def _effect(self, connection: Connection, event: Event, now: int) -> None:
        try:
            _apply_one(connection, event, now)
        except Exception as error:
            if of_the_surroundings(error):
                raise
            raise EffectError(event, error) from error

    def _set_aside_or_raise(self, error: EffectError) -> None:
        event = error.event
        self._attempts = self._attempts + 1 if event.sequence == self._failed_at else 1
        self._failed_at = event.sequence
        if self._attempts < MAX_ATTEMPTS:
            raise error
        with begin_write(self._context.engine) as connection:
            if inbox.first_time(connection, SOURCE, event.sequence):
                now = self._context.clock.wall()
                holds.set_aside(connection, SOURCE, event, error.code, self._attempts, now)
        logs.get().error("follow.dead_letter", exception=error.code, attempt=self._attempts)


def _require_gapless(events: Sequence[Event], last: int) -> None:
    for sequence, event in enumerate(events, start=last + 1):
        try:
            check(SOURCE, event)
        except BadMessageError:
            raise SafehandError(Reason.UNAVAILABLE, "consent sent a broken event") from None
        if event.sequence != sequence:
            raise SafehandError(Reason.UNAVAILABLE, "consent sent a gap")


class UnknownEventError(Exception):
    """What it means here is not known: of a newer consent, or of none."""


def letters(context: Context, follower: Follower) -> Letters:
    """The events that were set aside, and a way to apply them after all."""

    def effect(connection: Connection, event: Event) -> None:
        _apply_late(connection, event, context.clock.wall())

    def applied(event: Event) -> None:
        context.wake()
        # What was denied because nobody knew what it ends is let go by the next look.
        follower.look()

    def of_source(_: str) -> Callable[[Connection, Event], None]:
        return effect

    return Letters(context.engine, of_source, applied=applied)


def _apply_late(connection: Connection, event: Event, now: int) -> None:
    """The effect of an event that was set aside, unless consent has said something newer since."""
    match = _RESOURCE.fullmatch(event.resource)
    newer = (
        match is not None
        and match[1] == "grants"
        and event.type in SHARING
        and referral_store.said_at(connection, match[2]) > event.sequence
    )
    if not newer:
        _apply_one(connection, event, now)
    holds.lift(connection, event.sequence)


def _apply_one(connection: Connection, event: Event, now: int) -> None:
    """The effect of one event; those for others, and kinds that mean nothing here, have none.

    Raises UnknownEventError for one that is for us and that we do not know.
    """
    if event.audience != AUDIENCE:
        return
    match = _RESOURCE.fullmatch(event.resource)
    if match is None:
        raise UnknownEventError("resource")
    with applying(event):
        _effect(connection, event, match[1], match[2], now)


def _effect(connection: Connection, event: Event, kind: str, resource: str, now: int) -> None:
    sharing = SHARING.get(event.type)
    if kind == "grants" and event.type in SILENT:
        return
    if kind == "grants" and sharing is not None:
        stopped, told = sharing
        # Remembered also where there is no referral yet: one that arrives later is refused.
        referral_store.set_grant(connection, resource, stopped, event.sequence)
        for referral in referral_store.of_grant(connection, resource):
            referral_store.set_sharing(connection, referral, stopped, told, now)
    elif kind == "referrals" and event.type == EventType.EVENT_TYPE_CONSENT_DISCLOSED:
        referral_store.set_disclosed(connection, resource)
    else:
        raise UnknownEventError("type")

"""What can be read of an outbox, an inbox and the loops between them, when somebody scrapes.

The api process shows its outbox, although the worker empties it: a process that hangs must not be
the one that says whether it hangs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from safehand_core.clock import Clock
from safehand_store import inbox, outbox
from safehand_store.engine import begin_read
from safehand_telemetry.gauges import Gauge
from sqlalchemy import Engine

from safehand_bus import dead_letter
from safehand_bus.connection import Counters

_ONE: Final = 1


def outbox_gauges(engine: Engine, clock: Clock) -> list[Gauge]:
    """How many events there are, how many the relay has not published, and since when."""

    def head() -> float:
        with begin_read(engine) as db:
            return outbox.head(db)

    def unpublished() -> float:
        with begin_read(engine) as db:
            return max(0, outbox.head(db) - outbox.cursor(db))

    def oldest() -> float:
        with begin_read(engine) as db:
            waiting = outbox.after(db, outbox.cursor(db), _ONE)
        return max(0, clock.wall() - waiting[0].time) if waiting else 0.0

    return [
        Gauge("safehand_outbox_head", "Sequence number of this service's newest event", head),
        Gauge("safehand_outbox_unpublished", "Events that are not on the bus yet", unpublished),
        Gauge(
            "safehand_outbox_oldest_unpublished_seconds",
            "Age of the oldest event that is not on the bus yet; 0 where all are",
            oldest,
        ),
    ]


def inbox_gauges(engine: Engine, sources: Sequence[str]) -> list[Gauge]:
    """How far this service has applied the events of each of ``sources``."""

    def positions() -> Mapping[str, float]:
        with begin_read(engine) as db:
            return {source: inbox.position(db, source) for source in sources}

    return [
        Gauge(
            "safehand_inbox_position",
            "Sequence number of the newest event of the source that is applied here",
            positions,
            "source",
        )
    ]


def dead_letter_gauges(engine: Engine, sources: Sequence[str]) -> list[Gauge]:
    """Messages that were given up and wait for an operator."""

    def open_letters() -> Mapping[str, float]:
        found = dict.fromkeys(sources, 0.0)
        with begin_read(engine) as db:
            for (source, _), count in dead_letter.counts(db).items():
                if source in found:
                    found[source] += count
        return found

    return [
        Gauge(
            "safehand_dead_letters",
            "Messages that were set aside and not replayed yet",
            open_letters,
            "source",
        )
    ]


def relayed(counters: Counters) -> Gauge:
    """What the relay counted since its process started."""

    def read() -> Mapping[str, float]:
        return {"published": 0.0, **{what: float(count) for what, count in counters.items()}}

    return Gauge(
        "safehand_relay", "What the relay did since it started, by what it was", read, "what"
    )


def consumed(counters: Mapping[str, Counters]) -> Gauge:
    """What the consumers counted, all sources together."""

    def read() -> Mapping[str, float]:
        total: Counters = sum(counters.values(), Counters())
        return {"applied": 0.0, **{what: float(count) for what, count in total.items()}}

    return Gauge(
        "safehand_consumer",
        "What the consumers did since they started, by what it was",
        read,
        "what",
    )

"""What notify shows to whoever watches it: how far behind agencies are, and never which agency."""

from __future__ import annotations

from collections.abc import Mapping

from safehand_bus.connection import Counters
from safehand_bus.measures import consumed, dead_letter_gauges, inbox_gauges
from safehand_core.clock import Clock
from safehand_store.engine import begin_read
from safehand_telemetry.gauges import Gauge
from sqlalchemy import Engine

from safehand_notify_service import acknowledged
from safehand_notify_service.hub import Hub


def gauges(engine: Engine, hub: Hub, clock: Clock, counters: Mapping[str, Counters]) -> list[Gauge]:
    """Everything that is read at a scrape; ``counters``: the consumers', by source."""

    def oldest() -> float:
        with begin_read(engine) as db:
            found = acknowledged.oldest_stop(db)
        return 0.0 if found is None else max(0, clock.wall() - found)

    def stops() -> float:
        with begin_read(engine) as db:
            return acknowledged.stops(db)

    def deliveries() -> float:
        with begin_read(engine) as db:
            return acknowledged.deliveries(db)

    sources = sorted(counters)
    return [
        Gauge(
            "safehand_stop_unacknowledged_oldest_seconds",
            "Age of the oldest stop that an agency has not said to have dealt with; 0: none",
            oldest,
        ),
        Gauge(
            "safehand_stops_unacknowledged",
            "Stops that an agency has not said to have dealt with, each agency's counted",
            stops,
        ),
        Gauge(
            "safehand_deliveries_unacknowledged",
            "Deliveries of any kind that nobody has said to have dealt with",
            deliveries,
        ),
        Gauge("safehand_streams_open", "Streams that agencies have open", hub.streams),
        consumed(counters),
        *inbox_gauges(engine, sources),
        *dead_letter_gauges(engine, sources),
    ]

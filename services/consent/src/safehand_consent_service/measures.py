"""What consent shows to whoever watches it: numbers about the service, never about anybody.

How many grants there are in which state is left out on purpose: over time that is a record of
how many survivors there are and when they stop, and nobody needs it to run the service.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from safehand_bus.measures import outbox_gauges
from safehand_ledger.observer import Observer
from safehand_telemetry import metrics, names, tracing
from safehand_telemetry.gauges import Gauge

from safehand_consent_service import kek_roll
from safehand_consent_service.context import Context


class Watched(Observer):
    """Counts the writer's transactions, and puts each operation into its caller's trace."""

    def submitting(self, *, stop: bool) -> AbstractContextManager[None]:
        return tracing.ledger_append(stop=stop)

    def committed(self, operations: int, seconds: float) -> None:
        metrics.ledger_committed(operations, seconds)


def gauges(context: Context) -> list[Gauge]:
    """Everything that is read at a scrape. The writer must have started."""
    writer, gates, clock = context.writer, context.gates, context.clock

    def head_age() -> float:
        return max(0, clock.wall() - writer.head.ledger_time)

    def waiting() -> Mapping[str, float]:
        stops, others = writer.waiting
        return {names.STOP_LANE: stops, names.OTHER_LANE: others}

    return [
        Gauge("safehand_ledger_size", "Entries of the ledger", lambda: writer.head.size),
        Gauge(
            "safehand_ledger_head_age_seconds",
            "Since the ledger's newest head, by the wall clock; at most minutes while it runs",
            head_age,
        ),
        Gauge(
            "safehand_ledger_anchor_lag_entries",
            "Entries that are committed and not under the anchor yet",
            lambda: max(0, writer.head.size - writer.anchored_size),
        ),
        Gauge(
            "safehand_ledger_waiting",
            "Operations that wait for the writer's next transaction",
            waiting,
            "lane",
        ),
        Gauge(
            "safehand_ledger_starting_seconds",
            "Seconds until others than stops are taken; 0 when they are",
            writer.starting_for,
        ),
        Gauge(
            "safehand_clock_suspect",
            "1 while the wall clock is not believed: no release, nothing expires",
            lambda: float(writer.clock_suspect),
        ),
        Gauge(
            "safehand_gates_raised",
            "Grants whose release gate a stop holds up at this moment",
            lambda: gates.counts().raising,
        ),
        Gauge(
            "safehand_releases_leaving",
            "Released keys that are on their way out at this moment",
            lambda: gates.counts().inside,
        ),
        Gauge(
            "safehand_kek_age_seconds",
            "Age of the oldest release KEK that is on the disk",
            lambda: float(kek_roll.oldest_age_s(context)),
        ),
        *outbox_gauges(context.engine, clock),
    ]

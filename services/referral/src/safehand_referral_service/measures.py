"""What referral shows to whoever watches it: numbers about the service, never about anybody."""

from __future__ import annotations

from safehand_bus.measures import dead_letter_gauges, inbox_gauges, outbox_gauges
from safehand_store.engine import begin_read
from safehand_telemetry.gauges import Gauge

from safehand_referral_service import holds
from safehand_referral_service.context import Context
from safehand_referral_service.follow import SOURCE, Follower


def gauges(context: Context, follower: Follower) -> list[Gauge]:
    """Everything that is read at a scrape."""

    def held() -> float:
        with begin_read(context.engine) as connection:
            return holds.count(connection)

    return [
        Gauge(
            "safehand_follow_behind_seconds",
            "Since this process last knew that it has applied every event of consent's: a stop"
            " may be unknown here for so long",
            follower.behind_s,
        ),
        Gauge(
            "safehand_grants_held",
            "Events of consent that are set aside and deny sharing until they are applied",
            held,
        ),
        *dead_letter_gauges(context.engine, [SOURCE]),
        *inbox_gauges(context.engine, [SOURCE]),
        *outbox_gauges(context.engine, context.clock),
    ]

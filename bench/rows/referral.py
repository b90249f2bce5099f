"""Row: a referral, from its creation to the recipient's event on its stream."""

from __future__ import annotations

import threading
import time
from typing import Final

from bench import stats
from bench.load import Run
from bench.rows import sealed
from bench.stand import Stand
from bench.stats import Figure
from tests.harness.world import World

ROW: Final = "referral, create → recipient's event"
GOAL: Final = 10.0
EVENT_S: Final = 60.0
"""Longest wait for one event."""
SHARE: Final = 4
"""A quarter of the calls of other rows: each needs a sealed and authorised referral."""


def measure(stand: Stand) -> list[Figure]:
    """Sealing and AuthorizeReferral come before the clock starts, the event's stream ends it."""
    heard, desk = Stream(stand.world), sealed.Desk(stand)
    target = sealed.create(stand)
    took: dict[int, list[float]] = {}

    def run(calls: int, clients: int) -> Run:
        each = max(1, calls // SHARE)
        ready = [[desk.ready() for _ in range(each)] for _ in range(clients)]
        done = stand.clients.run(target, [[one.again() for one in mine] for mine in ready])
        for mine, answered in zip(ready, done.calls, strict=True):
            for one, call in zip(mine, answered, strict=True):
                arrived = heard.wait(f"referrals/{one.referral}")
                took.setdefault(clients, []).append(arrived - call.began)
        return done

    run(1, 1)
    took.clear()
    done = stand.compare(run, process="referral")
    warm_up = max(1, stand.effort.warm_up // SHARE) * stand.effort.clients
    took[stand.effort.clients] = took[stand.effort.clients][warm_up:]
    figures = []
    for clients, seconds in sorted(took.items()):
        floor = stats.p50(done.echo[clients].seconds)
        figures.append(
            Figure(
                ROW,
                f"p50, {clients} client{'s' if clients > 1 else ''}",
                stats.milliseconds(stats.p50(seconds)),
                f"echo {stats.milliseconds(floor)}",
                stats.p50(seconds) / floor,
                GOAL,
            )
        )
        figures.append(
            Figure(
                ROW,
                "p99; p50 of CreateReferral",
                f"{stats.milliseconds(stats.p99(seconds))}; "
                f"{stats.milliseconds(stats.p50(done.done[clients].seconds))}",
                f"echo p99 {stats.milliseconds(stats.p99(done.echo[clients].seconds))}",
                0.0,
                None,
            )
        )
    return figures


class Stream:
    """The recipient's events by resource, with the time at which each came off its stream."""

    def __init__(self, world: World) -> None:
        self._arrived: dict[str, float] = {}
        self._changed = threading.Condition()
        after = 0
        while page := world.agency_b.deliveries(after):
            after = page[-1].cursor
        threading.Thread(target=self._listen, args=(world, after), daemon=True).start()

    def _listen(self, world: World, after: int) -> None:
        try:
            for delivery in world.agency_b.follow(after):
                now = time.monotonic()
                with self._changed:
                    self._arrived[delivery.event.resource] = now
                    self._changed.notify_all()
        except Exception:
            return  # the stand is being taken down

    def wait(self, resource: str, *, since: float = 0.0) -> float:
        """When the newest event of ``resource`` came, which is after ``since`` (monotonic)."""
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: self._arrived.get(resource, 0.0) > since, EVENT_S
            )
            if not arrived:
                raise RuntimeError("an event did not arrive")
            return self._arrived[resource]

"""Row: a referral, from its creation to the recipient's event on its stream."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from safehand_client import AgencyClient

from bench import stats
from bench.stand import Stand
from bench.stats import Figure
from tests.harness.world import World

ROW: Final = "referral, create → recipient's event"
GOAL: Final = 10.0
EVENT_S: Final = 30.0
"""Longest wait for one event."""


@dataclass
class _Timed:
    """The referral stub, noting when ``CreateReferral`` was called and answered."""

    stub: Any
    called: float = 0.0
    answered: list[float] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stub, name)

    def CreateReferral(self, request: Any, **options: Any) -> Any:  # noqa: N802
        self.called = time.perf_counter()
        answer = self.stub.CreateReferral(request, **options)
        self.answered.append(time.perf_counter() - self.called)
        return answer


def measure(stand: Stand) -> list[Figure]:
    """One referral at a time; sealing and AuthorizeReferral come before the clock starts."""
    world = stand.world
    echo: list[float] = []
    took: list[float] = []
    timed = _Timed(world.agency_a.stubs.referral)
    sender = AgencyClient(
        world.party("agency-a"), stubs=replace(world.agency_a.stubs, referral=cast(Any, timed))
    )
    heard = _follow(world)
    grant = world.grant(world.person())
    for _ in range(stand.effort.rounds):
        echo += stand.run_echo(stand.effort.singles, 1).latencies
        for _ in range(max(10, stand.effort.singles // 4)):
            sent = _send(sender, grant)
            while True:
                resource, at = heard.get(timeout=EVENT_S)
                if resource == f"referrals/{sent}":
                    break
            took.append(at - timed.called)
    middle, floor = stats.p50(took), stats.p50(echo)
    return [
        Figure(
            ROW,
            "p50, one at a time",
            stats.milliseconds(middle),
            f"echo {stats.milliseconds(floor)}",
            middle / floor,
            GOAL,
        ),
        Figure(
            ROW,
            "p99; p50 of CreateReferral alone",
            f"{stats.milliseconds(stats.p99(took))}; "
            f"{stats.milliseconds(stats.p50(timed.answered))}",
            f"echo p99 {stats.milliseconds(stats.p99(echo))}",
            0.0,
            None,
        ),
    ]


def _send(sender: AgencyClient, grant: str) -> str:
    from safehand_cli.story import PURPOSE, SERVICE, TEST_FORM

    return sender.send(
        grant=grant,
        recipient="agency-b",
        purpose=PURPOSE,
        service=SERVICE,
        form=TEST_FORM,
        categories=("CARD", "NAME"),
    ).referral


def _follow(world: World) -> queue.Queue[tuple[str, float]]:
    """The recipient's events, with the time at which each came off its stream."""
    heard: queue.Queue[tuple[str, float]] = queue.Queue()
    after = 0
    while page := world.agency_b.deliveries(after):
        after = page[-1].cursor

    def listen() -> None:
        try:
            for delivery in world.agency_b.follow(after):
                heard.put((delivery.event.resource, time.perf_counter()))
        except Exception:
            return  # the stand is being taken down

    threading.Thread(target=listen, daemon=True).start()
    return heard

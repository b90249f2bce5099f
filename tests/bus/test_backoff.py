"""Waiting and failing: bounded, jittered, never the end of a loop, and seen from outside."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from safehand_bus.backoff import Backoff
from safehand_bus.connection import Connection, Counters, keep_running
from safehand_bus.link import NatsLink
from safehand_bus.pulse import Pulse, Verdict
from safehand_core.clock import ManualClock
from safehand_core.entropy import SeededEntropy

from tests.bus.world import Bus, Reader, Source, eventually


class Fixed:
    """Entropy of one byte value."""

    def __init__(self, value: int) -> None:
        self._value = value

    def bytes(self, n: int) -> bytes:
        return bytes([self._value]) * n


def test_the_bound_doubles_up_to_the_cap() -> None:
    most = Backoff(0.5, 6.0, entropy=Fixed(255))
    assert [round(most.next(), 6) for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 6.0, 6.0]
    most.reset()
    assert round(most.next(), 6) == 0.5
    assert round(most.at(10**9), 6) == 6.0


def test_the_jitter_is_full_and_repeatable() -> None:
    assert Backoff(1, 8, entropy=Fixed(0)).next() == 0.0
    waits = [Backoff(1, 8, entropy=SeededEntropy(b"a")).at(n) for n in range(40)]
    assert waits == [Backoff(1, 8, entropy=SeededEntropy(b"a")).at(n) for n in range(40)]
    drawn = Backoff(1, 8, entropy=SeededEntropy(b"b"))
    spread = [drawn.at(5) for _ in range(400)]
    assert all(0 <= wait < 8 for wait in spread)
    assert min(spread) < 1
    assert max(spread) > 7
    assert 3 < sum(spread) / len(spread) < 5


@pytest.mark.parametrize("error", [RuntimeError, KeyError, AssertionError, asyncio.TimeoutError])
def test_a_loop_outlives_any_exception(bus: Bus, error: type[Exception]) -> None:
    counters, failed, ran = Counters(), 0, 0

    async def main() -> None:
        stopping = asyncio.Event()

        async def session(connection: Connection) -> None:
            nonlocal ran
            ran += 1
            if ran < 5:
                raise error
            stopping.set()

        def count() -> None:
            nonlocal failed
            failed += 1

        await keep_running(
            bus.link("consent"),
            session,
            stopping,
            counters,
            backoff=Backoff(0.01, 0.02),
            failed=count,
        )

    asyncio.run(main())
    assert (ran, failed, counters["sessions_failed"]) == (5, 4, 4)


def test_a_loop_waits_for_a_bus_that_is_not_there_and_for_its_key(tmp_path: Path) -> None:
    """Neither a refused connection nor a missing file ends it."""
    counters = Counters()

    async def main(link: NatsLink) -> None:
        stopping = asyncio.Event()

        async def never(connection: Connection) -> None:
            raise AssertionError("there is no bus")

        def enough() -> None:
            if counters["sessions_failed"] >= 3:
                stopping.set()

        await keep_running(
            link, never, stopping, counters, backoff=Backoff(0.01, 0.02), failed=enough
        )

    asyncio.run(main(NatsLink("nats://127.0.0.1:1", "consent")))
    asyncio.run(main(NatsLink("nats://127.0.0.1:1", "consent", tmp_path / "none.seed")))
    assert counters["sessions_failed"] == 4


def test_the_pulse_counts_the_worst_part() -> None:
    clock = ManualClock()
    pulse = Pulse(clock)
    verdict = Verdict(pulse, failing_s=30.0)
    assert pulse.failing_s() == 0.0
    pulse.failed("consent.link")
    clock.advance(20)
    pulse.failed("referral.link")
    pulse.failed("consent.link")  # still the same trouble
    assert pulse.failing_s() == 20.0
    clock.advance(10)
    assert verdict.healthy()
    clock.advance(1)
    assert not verdict.healthy()
    pulse.worked("consent.link")
    assert pulse.failing_s() == 11.0
    assert verdict.healthy()


def test_a_consumer_says_that_it_fails_and_that_it_works_again(
    bus: Bus, consent: Source, reader: Reader
) -> None:
    consent.worker.start()
    consent.write(1)
    with reader.running() as consumer:
        pulse = consumer._pulse
        eventually(lambda: reader.position() == 1)
        assert pulse.failing_s() == 0.0
        bus.server.kill()
        eventually(lambda: pulse.failing_s() > 0.0)
        bus.server.start()
        eventually(lambda: pulse.failing_s() == 0.0)
        broken = True

        def fail(event: object) -> None:
            if broken:
                raise OSError

        reader.fail = fail
        consent.write(1)
        eventually(lambda: pulse.failing_s() > 0.0)
        broken = False
        eventually(lambda: reader.position() == 2)
        eventually(lambda: pulse.failing_s() == 0.0)

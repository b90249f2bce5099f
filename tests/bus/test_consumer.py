"""The durable consumer: what the bus loses, repeats or reorders changes nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import pytest
from nats.js.errors import NotFoundError
from safehand.events.v1 import events_pb2
from safehand_bus import envelope
from safehand_bus.connection import Connection
from safehand_store.outbox import OutboxEvent

from tests.bus.world import ENDED, NOON, Bus, Reader, Source, eventually


def put(bus: Bus, *sequences: int) -> None:
    """Publish these, as they come, past every check of the relay."""

    async def publish(connection: Connection) -> None:
        for sequence in sequences:
            row = OutboxEvent(sequence, ENDED, NOON, "agency/b", f"grants/{sequence:032x}")
            message = envelope.encode("consent", row)
            await connection.js.publish(message.subject, message.data, headers=message.headers)

    bus.do("consent", publish)


def put_raw(bus: Bus, data: bytes, headers: dict[str, str] | None = None) -> None:
    async def publish(connection: Connection) -> None:
        await connection.js.publish("safehand.v1.consent.ended", data, headers=headers)

    bus.do("consent", publish)


async def _unacknowledged(connection: Connection) -> int:
    info = await connection.js.consumer_info("CONSENT", "notify")
    return (info.num_ack_pending or 0) + (info.num_pending or 0)


def settled(bus: Bus) -> bool:
    """Whether the server knows that everything was dealt with."""
    try:
        return bus.do("provision", _unacknowledged) == 0
    except NotFoundError:
        return False


def test_relayed_events_are_applied_in_order(bus: Bus, consent: Source, reader: Reader) -> None:
    consent.worker.start()
    with reader.running():
        consent.write(150)
        eventually(lambda: reader.position() == 150)
        eventually(lambda: settled(bus))
    assert reader.applied == list(range(1, 151))
    assert reader.committed == reader.applied


def test_repeats_and_disorder_have_no_effect(bus: Bus, consent: Source, reader: Reader) -> None:
    consent.write(5)
    with reader.running() as consumer:
        put(bus, 2, 1, 1, 3, 2, 5, 4, 5, 1)
        eventually(lambda: reader.position() == 5)
        eventually(lambda: settled(bus))
        assert consumer.counters["repeated"] > 0
    assert reader.applied == [1, 2, 3, 4, 5]


def test_what_the_bus_lost_is_fetched_from_the_source(
    bus: Bus, consent: Source, reader: Reader
) -> None:
    consent.write(250)
    with reader.running() as consumer:
        put(bus, 1, 2)
        eventually(lambda: reader.position() == 2)
        put(bus, 250)
        eventually(lambda: reader.position() == 250)
        assert consumer.counters["gaps"] == 3  # pages of 100
    assert reader.applied == list(range(1, 251))


@pytest.mark.parametrize("seed", [1, 2])
def test_any_mixture_of_loss_repeats_and_disorder_has_one_effect(
    bus: Bus, consent: Source, reader: Reader, seed: int
) -> None:
    dice = random.Random(seed)
    consent.write(120, wake=False)
    seen = [dice.randint(1, 119) for _ in range(150)]
    with reader.running() as consumer:
        for start in range(0, len(seen), 30):
            put(bus, *seen[start : start + 30])
        put(bus, 120)
        eventually(lambda: reader.position() == 120)
        eventually(lambda: settled(bus))
        assert consumer.counters["fetched"] > 0
    assert reader.applied == list(range(1, 121))


def test_a_silent_source_delays_and_loses_nothing(
    bus: Bus, consent: Source, reader: Reader
) -> None:
    consent.write(3)
    silent = True

    def fetch(after: int) -> Sequence[events_pb2.Event]:
        if silent:
            raise OSError("down")
        return consent.fetch(after)

    reader.fetch = fetch
    with reader.running() as consumer:
        put(bus, 3)
        eventually(lambda: consumer.counters["failed"] > 0)
        assert reader.applied == []
        silent = False
        eventually(lambda: reader.position() == 3)
    assert reader.applied == [1, 2, 3]


def test_a_source_that_skips_is_not_believed(bus: Bus, consent: Source, reader: Reader) -> None:
    consent.write(4)
    reader.fetch = lambda after: consent.fetch(after + 1)
    with reader.running() as consumer:
        put(bus, 4)
        eventually(lambda: consumer.counters["failed"] > 1)
    assert reader.position() == 0


def test_a_failing_effect_is_tried_again_and_rolled_back(
    bus: Bus, consent: Source, reader: Reader
) -> None:
    consent.write(3)
    failures = 2

    def fail(event: events_pb2.Event) -> None:
        nonlocal failures
        if event.sequence == 2 and failures:
            failures -= 1
            raise RuntimeError("transient")

    reader.fail = fail
    with reader.running():
        put(bus, 1, 2, 3)
        eventually(lambda: reader.position() == 3)
        eventually(lambda: settled(bus))
    # 1 was applied in transactions that rolled back; only what was committed counts.
    assert reader.committed == [1, 2, 3]


def test_what_is_no_event_is_buried_once_and_holds_nobody_up(
    bus: Bus, consent: Source, reader: Reader
) -> None:
    consent.write(2)
    good = envelope.encode("consent", OutboxEvent(1, ENDED, NOON, "agency/b", "grants/x"))
    with reader.running():
        put_raw(bus, b"\xff\xff")
        put_raw(bus, b"\xff\xff", good.headers)
        put_raw(bus, good.data, {**good.headers, "ce-id": "consent:2"})
        put_raw(bus, good.data, {**good.headers, "ce-source": "referral"})
        put_raw(bus, b"x" * 4097, good.headers)
        put(bus, 1, 2)
        eventually(lambda: reader.position() == 2)
        eventually(lambda: settled(bus))
    assert reader.dead() == 5
    assert reader.applied == [1, 2]


def test_a_restarted_consumer_goes_on(bus: Bus, consent: Source, reader: Reader) -> None:
    consent.worker.start()
    with reader.running():
        consent.write(3)
        eventually(lambda: reader.position() == 3)
    consent.write(3)
    with reader.running():
        eventually(lambda: reader.position() == 6)
    assert reader.applied == [1, 2, 3, 4, 5, 6]


def test_a_killed_bus_delivers_nothing_and_then_everything(
    bus: Bus, consent: Source, reader: Reader
) -> None:
    consent.worker.start()
    with reader.running():
        consent.write(3)
        eventually(lambda: reader.position() == 3)
        bus.server.kill()
        consent.write(3)
        time.sleep(0.5)
        assert reader.position() == 3
        bus.server.start()
        eventually(lambda: reader.position() == 6)
    assert reader.applied == [1, 2, 3, 4, 5, 6]


def test_a_wiped_bus_repeats_everything_to_no_effect(
    bus: Bus, consent: Source, reader: Reader
) -> None:
    consent.worker.start()
    with reader.running() as consumer:
        consent.write(20)
        eventually(lambda: reader.position() == 20)
        bus.server.kill()
        for path in sorted(bus.server.store.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        bus.server.start()
        consent.write(1)
        eventually(lambda: reader.position() == 21)
        assert consumer.counters["repeated"] >= 1
    assert reader.applied == list(range(1, 22))

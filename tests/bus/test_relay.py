"""The relay: in order, without gaps, whatever happens to it or to the bus."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from nats.js.errors import APIError
from safehand_bus import envelope
from safehand_bus.connection import Connection
from safehand_bus.relay import WRONG_LAST
from safehand_store.outbox import OutboxEvent

from tests.bus.world import ENDED, NOON, Bus, Source, eventually


def ids(first: int, last: int) -> list[str]:
    return [f"consent:{n}" for n in range(first, last + 1)]


def test_everything_in_the_outbox_arrives_in_order(bus: Bus, consent: Source) -> None:
    consent.write(300)  # more than one batch
    consent.worker.start()
    eventually(lambda: consent.cursor() == 300)
    assert bus.ids("CONSENT") == ids(1, 300)
    headers = [found for _, found, _ in bus.messages("CONSENT")]
    assert headers[0]["Nats-Expected-Last-Sequence"] == "0"
    assert [h["Nats-Expected-Last-Msg-Id"] for h in headers[1:]] == ids(1, 299)


def test_a_wake_up_is_faster_than_the_poll(bus: Bus, consent: Source) -> None:
    consent.write()
    consent.worker.start()
    eventually(lambda: consent.cursor() == 1)
    time.sleep(0.05)
    begun = time.monotonic()
    consent.write()
    eventually(lambda: len(bus.ids("CONSENT")) == 2)
    assert time.monotonic() - begun < 0.6


def test_without_a_wake_up_the_poll_finds_it(bus: Bus, consent: Source) -> None:
    consent.worker.start()
    consent.write(wake=False)
    eventually(lambda: consent.cursor() == 1, 3.0)


async def _publish(connection: Connection, sequence: int, expected: str) -> bool:
    message = envelope.encode("consent", OutboxEvent(sequence, ENDED, NOON, "agency/b", "grants/x"))
    headers = {**message.headers, "Nats-Msg-Id": f"consent:{sequence}"}
    headers["Nats-Expected-Last-Msg-Id"] = expected
    answer = await connection.js.publish(message.subject, message.data, headers=headers)
    return bool(answer.duplicate)


def test_the_server_refuses_a_gap_and_knows_a_repeat(bus: Bus, consent: Source) -> None:
    consent.write(2)
    consent.worker.start()
    eventually(lambda: consent.cursor() == 2)

    with pytest.raises(APIError) as refused:
        bus.do("consent", lambda c: _publish(c, 4, "consent:3"))
    assert refused.value.err_code in WRONG_LAST
    assert bus.do("consent", lambda c: _publish(c, 2, "consent:1")) is True
    assert bus.ids("CONSENT") == ids(1, 2)


def test_a_restarted_relay_goes_on_where_the_stream_ends(bus: Bus, consent: Source) -> None:
    consent.write(3)
    consent.worker.start()
    eventually(lambda: consent.cursor() == 3)
    consent.worker.stop()
    # Killed after the acknowledgement, before the cursor moved.
    consent.set_cursor(1)
    consent.write(2)
    consent.restart_worker()
    eventually(lambda: consent.cursor() == 5)
    assert bus.ids("CONSENT") == ids(1, 5)


def test_a_second_relay_is_fenced(bus: Bus, consent: Source, tmp_path: Path) -> None:
    consent.worker.start()
    other = Source(tmp_path, "consent", bus, store=consent.store)
    other.worker.start()
    for _ in range(20):
        consent.write(5)
    eventually(lambda: consent.cursor() == 100)
    other.close()
    assert bus.ids("CONSENT") == ids(1, 100)


def test_a_killed_bus_comes_back_with_everything(bus: Bus, consent: Source) -> None:
    consent.write(5)
    consent.worker.start()
    eventually(lambda: consent.cursor() == 5)
    port = bus.server.port
    bus.server.kill()
    consent.write(5)
    time.sleep(0.3)
    assert consent.cursor() == 5
    bus.server.start()
    assert bus.server.port == port
    eventually(lambda: consent.cursor() == 10)
    assert bus.ids("CONSENT") == ids(1, 10)


def test_a_wiped_bus_is_filled_again_from_the_outbox(bus: Bus, consent: Source) -> None:
    consent.write(7)
    consent.worker.start()
    eventually(lambda: consent.cursor() == 7)
    bus.server.kill()
    shutil.rmtree(bus.server.store)
    bus.server.start()
    consent.write(1)
    eventually(lambda: consent.cursor() == 8)
    assert bus.ids("CONSENT") == ids(1, 8)


def test_a_stream_ahead_of_the_outbox_is_left_alone(bus: Bus, consent: Source) -> None:
    """The database was restored from an old copy: its next events would reuse ids."""
    for number in range(1, 4):
        bus.do("consent", lambda c, n=number: _publish_first(c, n))  # type: ignore[misc]
    consent.write(2)
    consent.worker.start()
    time.sleep(0.4)
    assert consent.cursor() == 0
    assert bus.ids("CONSENT") == ids(1, 3)


@pytest.mark.parametrize("before", [0, 2])
def test_a_foreign_message_is_stepped_over(bus: Bus, consent: Source, before: int) -> None:
    """Nobody else may write to the stream. If somebody did, what follows still goes out."""
    if before:
        consent.write(before)
    consent.worker.start()
    eventually(lambda: consent.cursor() == before)
    consent.worker.stop()
    for _ in range(3):
        bus.do("consent", _publish_foreign)
    consent.write(2)
    consent.restart_worker()
    eventually(lambda: consent.cursor() == before + 2)
    own = [headers.get("Nats-Msg-Id") for _, headers, _ in bus.messages("CONSENT")]
    assert own == [*ids(1, before), None, None, None, *ids(before + 1, before + 2)]


async def _publish_foreign(connection: Connection) -> None:
    await connection.js.publish("safehand.v1.consent.ended", b"not ours")


async def _publish_first(connection: Connection, sequence: int) -> None:
    message = envelope.encode("consent", OutboxEvent(sequence, ENDED, NOON, "agency/b", "grants/x"))
    headers = {**message.headers, "Nats-Msg-Id": f"consent:{sequence}"}
    await connection.js.publish(message.subject, message.data, headers=headers)


def test_subject_and_headers_hold_no_id_but_the_events_own(bus: Bus, consent: Source) -> None:
    consent.write(1, audience="agency/harbor-house")
    consent.worker.start()
    eventually(lambda: consent.cursor() == 1)
    (subject, headers, _body) = bus.messages("CONSENT")[0]
    assert subject == "safehand.v1.consent.ended"
    assert {k: v for k, v in headers.items() if not k.startswith("Nats-Expected")} == {
        "ce-specversion": "1.0",
        "ce-id": "consent:1",
        "ce-source": "consent",
        "ce-type": "safehand.v1.consent.ended",
        "ce-time": "2026-09-21T14:13:20Z",
        "ce-datacontenttype": "application/protobuf",
        "Nats-Msg-Id": "consent:1",
    }
    assert not any("harbor" in value or "grants" in value for value in headers.values())

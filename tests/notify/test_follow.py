"""An agency follows its events: its own, in order, at once, and once in effect."""

from __future__ import annotations

import shutil
import time

import pytest
from safehand.events.v1 import events_pb2
from safehand.notify.v1 import notify_pb2, notify_pb2_grpc
from safehand_bus import envelope
from safehand_bus.connection import Connection
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_notify_service.hub import STREAMS_PER_AGENCY
from safehand_store.outbox import OutboxEvent

from tests.bus.world import NOON, eventually
from tests.notify.world import World

CREATED = events_pb2.EVENT_TYPE_REFERRAL_CREATED


def test_each_agency_sees_its_own_events_and_no_others(world: World) -> None:
    world.start()
    harbor, north = world.follow("harbor"), world.follow("north")
    world.referral.write(2, audience="agency/harbor")
    world.referral.write(1, audience="agency/north")
    world.referral.write(1, audience="agency/harbor")
    harbor.wait_for(3)
    north.wait_for(1)
    assert harbor.ids() == ["referral:1", "referral:2", "referral:4"]
    assert [delivery.cursor for delivery in harbor.got] == [1, 2, 3]
    assert north.ids() == ["referral:3"]
    assert north.got[0].cursor == 1
    first = harbor.got[0].event
    assert first.type == CREATED
    assert first.time.seconds == NOON
    assert first.audience == "agency/harbor"
    assert first.resource.startswith("grants/")


def test_events_for_services_are_consumed_and_delivered_to_nobody(world: World) -> None:
    notify = world.start()
    harbor = world.follow("harbor")
    world.consent.write(1, audience="service/referral")
    world.consent.write(1, audience="subject/harbor")
    world.consent.write(1, audience="agency/Harbor House")
    world.consent.write(1, audience="agency/harbor")
    harbor.wait_for(1)
    assert harbor.ids() == ["consent:4"]
    assert notify.consumers["consent"].counters["applied"] == 4


def test_a_stream_starts_behind_its_cursor_and_stays_open(world: World) -> None:
    world.start()
    world.referral.write(5, audience="agency/harbor")
    first = world.follow("harbor")
    first.wait_for(5)
    second = world.follow("harbor", after=3)
    second.wait_for(2)
    world.referral.write(1, audience="agency/harbor")
    second.wait_for(3)
    assert second.ids() == ["referral:4", "referral:5", "referral:6"]


def test_a_long_past_comes_in_pages_and_in_order(world: World) -> None:
    world.start()
    world.referral.write(350, audience="agency/harbor")
    harbor = world.follow("harbor")
    eventually(lambda: len(harbor.got) == 350)
    assert harbor.ids() == [f"referral:{n}" for n in range(1, 351)]


def test_a_new_event_reaches_the_stream_at_once(world: World) -> None:
    world.start()
    harbor = world.follow("harbor")
    world.referral.write(1, audience="agency/harbor")
    harbor.wait_for(1)
    time.sleep(0.05)
    begun = time.monotonic()
    world.referral.write(1, audience="agency/harbor")
    harbor.wait_for(2)
    assert time.monotonic() - begun < 0.5


def test_a_cursor_that_was_never_given_out_is_refused(world: World) -> None:
    world.start()
    ahead = world.follow("harbor", after=1)
    ahead.wait_end()
    assert ahead.error is not None
    assert ahead.error.reason is Reason.MALFORMED
    with pytest.raises(SafehandError) as refused:
        world.list("harbor", after=1)
    assert refused.value.reason is Reason.MALFORMED


def test_one_stream_too_many_is_refused_and_a_closed_one_makes_room(world: World) -> None:
    notify = world.start()
    streams = [world.follow("harbor") for _ in range(STREAMS_PER_AGENCY)]
    eventually(lambda: notify.hub.open_streams("harbor") == STREAMS_PER_AGENCY)
    extra = world.follow("harbor")
    extra.wait_end()
    assert extra.error is not None
    assert extra.error.reason is Reason.OVERLOADED
    other = world.follow("north")
    eventually(lambda: notify.hub.open_streams("north") == 1)
    assert other.error is None
    streams[0].close()
    eventually(lambda: notify.hub.open_streams("harbor") == STREAMS_PER_AGENCY - 1)


def test_only_agencies_may_ask(world: World) -> None:
    world.start()
    for kind, name in (("service", "referral"), ("operator", "notify"), ("oversight", "court")):
        with world.channel(kind, name) as channel:  # type: ignore[arg-type]
            stub = notify_pb2_grpc.NotifyServiceStub(channel)
            with pytest.raises(SafehandError) as refused:
                stub.ListDeliveries(notify_pb2.ListDeliveriesRequest(), timeout=5)
            assert refused.value.reason is Reason.NOT_ALLOWED


def test_pages_of_deliveries(world: World) -> None:
    world.start()
    world.referral.write(7, audience="agency/harbor")
    eventually(lambda: len(world.list("harbor").deliveries) == 7)
    first = world.list("harbor", after=1, page_size=4)
    assert [delivery.cursor for delivery in first.deliveries] == [2, 3, 4, 5]
    rest = world.list("harbor", after=1, page_size=4, page_token=first.next_page_token)
    assert [delivery.cursor for delivery in rest.deliveries] == [6, 7]
    assert rest.next_page_token == ""
    for agency, after in (("north", 0), ("harbor", 2)):
        with pytest.raises(SafehandError) as refused:
            world.list(agency, after=after, page_token=first.next_page_token)
        assert refused.value.reason is Reason.PAGE_TOKEN_INVALID


def test_a_restart_ends_streams_with_a_reason_and_loses_nothing(world: World) -> None:
    world.start()
    harbor = world.follow("harbor")
    world.referral.write(2, audience="agency/harbor")
    harbor.wait_for(2)
    begun = time.monotonic()
    world.stop()
    assert time.monotonic() - begun < 5
    harbor.wait_end()
    assert harbor.error is not None
    assert harbor.error.reason is Reason.UNAVAILABLE
    world.referral.write(2, audience="agency/harbor")
    world.start()
    again = world.follow("harbor", after=2)
    again.wait_for(2)
    assert again.ids() == ["referral:3", "referral:4"]


def test_without_the_bus_nothing_new_is_delivered_and_nobody_is_asked(world: World) -> None:
    world.start()
    harbor = world.follow("harbor")
    world.referral.write(2, audience="agency/harbor")
    harbor.wait_for(2)
    world.bus.server.kill()
    world.referral.write(3, audience="agency/harbor")
    world.consent.write(3, audience="agency/harbor")
    asked = [len(world.referral.asked), len(world.consent.asked)]
    time.sleep(2.5)  # longer than the bus's silence lasts before somebody is asked
    assert len(harbor.got) == 2
    assert len(world.list("harbor").deliveries) == 2  # what is known is still served
    assert [len(world.referral.asked), len(world.consent.asked)] == asked
    world.bus.server.start()
    harbor.wait_for(8)
    for source, last in (("referral", 5), ("consent", 3)):
        found = [i for i in harbor.ids() if i.startswith(source)]
        assert found == [f"{source}:{n}" for n in range(1, last + 1)]


def test_a_wiped_bus_changes_nothing_for_the_agency(world: World) -> None:
    world.start()
    harbor = world.follow("harbor")
    world.referral.write(10, audience="agency/harbor")
    harbor.wait_for(10)
    world.bus.server.kill()
    shutil.rmtree(world.bus.server.store)
    world.bus.server.start()
    world.referral.write(1, audience="agency/harbor")
    harbor.wait_for(11)
    time.sleep(0.3)
    assert harbor.ids() == [f"referral:{n}" for n in range(1, 12)]


def test_what_the_bus_skipped_is_asked_for_over_grpc(world: World) -> None:
    world.start()
    harbor = world.follow("harbor")
    world.consent.worker.stop()  # nothing is relayed
    world.consent.write(4, audience="agency/harbor")

    async def publish(connection: Connection) -> None:
        for sequence in (1, 4, 2, 4):
            row = OutboxEvent(
                sequence,
                events_pb2.EVENT_TYPE_CONSENT_ENDED,
                NOON,
                "agency/harbor",
                f"grants/{sequence - 1:032x}",
            )
            message = envelope.encode("consent", row)
            await connection.js.publish(message.subject, message.data, headers=message.headers)

    world.bus.do("consent", publish)
    harbor.wait_for(4)
    assert harbor.ids() == ["consent:1", "consent:2", "consent:3", "consent:4"]
    assert set(world.consent.asked) == {"service:notify"}


def test_what_only_the_sources_know_is_delivered_without_a_new_event(world: World) -> None:
    """Away for so long that the bus forgot it: the last of it is delivered all the same."""
    world.referral.worker.stop()  # nothing is relayed
    world.consent.worker.stop()
    world.referral.write(3, audience="agency/harbor")
    world.consent.write(2, audience="agency/harbor")
    world.start()
    harbor = world.follow("harbor")
    harbor.wait_for(5)
    for source, last in (("referral", 3), ("consent", 2)):
        found = [i for i in harbor.ids() if i.startswith(source)]
        assert found == [f"{source}:{n}" for n in range(1, last + 1)]
    assert set(world.consent.asked) == set(world.referral.asked) == {"service:notify"}

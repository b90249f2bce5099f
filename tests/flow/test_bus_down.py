"""The bus held dead, and then without its memory: nothing that matters depends on it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from safehand.events.v1.events_pb2 import EventType
from safehand.notify.v1 import notify_pb2
from safehand.referral.v1 import referral_pb2
from safehand_client import AgencyClient, Fetched
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.flow.following import Follower, everything, follow
from tests.harness.world import WORKER, World, eventually, running

pytestmark = pytest.mark.slow

NATS = "nats-server"
SILENCE_S = 1.5
"""Seconds in which an event would have arrived: the slowest wake-up is a poll of one second."""
BACK_S = 30.0
"""Seconds until everything must have arrived: sessions start again after at most two seconds."""
TO_SENDER = ("DELIVERED", "ACKNOWLEDGED", "ACCEPTED")
"""What the sender hears of a referral that is accepted, in order."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of its own: its bus is killed."""
    with running(tmp_path_factory.mktemp("bus") / "sandbox") as found:
        # The streams are warm: everybody has heard something once.
        sent = found.send(found.grant(found.person()))
        eventually(lambda: heard(found.agency_b, f"referrals/{sent.referral}") == ["CREATED"], "it")
        yield found


@dataclass
class Done:
    """What was done while the bus was dead."""

    grant: str
    referral: str
    other: str


def names(deliveries: list[notify_pb2.Delivery], resource: str) -> list[str]:
    """The types of events about ``resource``, without their family's name."""
    return [
        EventType.Name(item.event.type).removeprefix("EVENT_TYPE_").split("_", 1)[1]
        for item in deliveries
        if item.event.resource == resource
    ]


def heard(agency: AgencyClient, resource: str) -> list[str]:
    return names(everything(agency), resource)


def refuses(world: World, fetched: Fetched, category: str) -> Reason:
    with pytest.raises(SafehandError) as caught:
        world.agency_b.open(fetched, category, worker_ref=WORKER)
    return caught.value.reason


def live_without_a_bus(world: World) -> Done:
    """Everything that users do goes on, and a stop holds, with nobody to carry an event."""
    person = world.person()
    grant = world.grant(person)
    fetched = world.accepted(grant)
    b = world.agency_b
    assert b.open(fetched, "NAME", worker_ref=WORKER).form.preferred_name
    assert b.status(fetched.referral).state == referral_pb2.REFERRAL_STATE_ACCEPTED
    other = world.send(grant).referral

    with world.session(person) as her:
        her.stop(grant)
        assert refuses(world, fetched, "NAME") is Reason.CONSENT_ENDED
        assert refuses(world, fetched, "CARD") is Reason.CONSENT_ENDED
        with pytest.raises(SafehandError) as unsent:
            world.send(grant)
        assert unsent.value.reason is Reason.CONSENT_ENDED
        # The referral service follows consent by gRPC too, so it knows without the bus.
        eventually(lambda: b.status(other).sharing_stopped, "referral heard of the stop")
        with pytest.raises(SafehandError) as unfetched:
            b.fetch(other)
        assert unfetched.value.reason is Reason.CONSENT_ENDED
        # A stop ends sharing and not help.
        status = b.status(fetched.referral)
        assert (status.state, status.sharing_stopped) == (
            referral_pb2.REFERRAL_STATE_ACCEPTED,
            True,
        )
        her.resume(grant)
        eventually(lambda: not b.status(other).sharing_stopped, "referral heard that it goes on")
        assert b.open(fetched, "NAME", worker_ref=WORKER).form.preferred_name
        her.stop(grant, destroy_now=True)
    eventually(lambda: b.status(other).sharing_stopped, "referral heard of the end")
    assert refuses(world, fetched, "NAME") is Reason.CONSENT_ENDED
    b.complete(fetched.referral, "received_service")
    return Done(grant, fetched.referral, other)


def arrived(world: World, done: Done) -> bool:
    """Whether both agencies have heard all of it."""
    return (
        "COMPLETED" in heard(world.agency_a, f"referrals/{done.referral}")
        and heard(world.agency_b, f"referrals/{done.other}").count("SHARING_STOPPED") == 2
        and heard(world.agency_b, f"grants/{done.grant}").count("ENDED") == 2
    )


def check_once_and_in_order(agency: AgencyClient) -> None:
    """Cursors without a gap, no event twice, each source in its own order."""
    found = everything(agency)
    assert [item.cursor for item in found] == list(range(1, len(found) + 1))
    assert len({item.event.id for item in found}) == len(found)
    for source in ("consent", "referral"):
        order = [i.event.sequence for i in found if i.event.id.startswith(f"{source}:")]
        assert order == sorted(order)
        assert order


def check_story(world: World, done: Done) -> None:
    """What each end was told of the same referral and grant, in its order."""
    sender = heard(world.agency_a, f"referrals/{done.referral}")
    course = [name for name in sender if name in (*TO_SENDER, "COMPLETED")]
    assert course == [*TO_SENDER, "COMPLETED"]
    for agency in (world.agency_a, world.agency_b):
        sharing = [n for n in heard(agency, f"referrals/{done.other}") if n.startswith("SHARING")]
        assert sharing == ["SHARING_STOPPED", "SHARING_RESUMED", "SHARING_STOPPED"]
        ends = [n for n in heard(agency, f"grants/{done.grant}") if n != "GRANTED"]
        assert ends == ["ENDED", "RESUMED", "ENDED"]
    assert heard(world.agency_b, f"referrals/{done.other}")[0] == "CREATED"
    assert heard(world.agency_a, f"referrals/{done.referral}").count("DISCLOSED") == 2


def caught_up(follower: Follower, last: int) -> None:
    """The stream brings everything up to ``last``, without a gap."""
    eventually(lambda: follower.seen[-1].cursor >= last, "the stream caught up")
    first = follower.seen[0].cursor
    assert [item.cursor for item in follower.seen] == list(range(first, last + 1))


@pytest.mark.parametrize("store", ["kept", "wiped"])
def test_without_the_bus_and_with_it_back(own: World, store: str) -> None:
    supervisor = own.system.supervisor
    with follow(own.agency_a) as a, follow(own.agency_b) as b:
        supervisor.hold(NATS)
        done = live_without_a_bus(own)
        time.sleep(SILENCE_S)
        assert a.seen == []
        assert b.seen == []
        assert a.open
        assert b.open, "the stream stands, and has nothing to say"
        if store == "wiped":
            shutil.rmtree(own.system.nats.store)
        supervisor.release(NATS)
        eventually(lambda: arrived(own, done), "everything arrived", within_s=BACK_S)
        for follower, agency in ((a, own.agency_a), (b, own.agency_b)):
            caught_up(follower, everything(agency)[-1].cursor)
    check_story(own, done)
    for agency in (own.agency_a, own.agency_b):
        check_once_and_in_order(agency)
    assert own.fsck().ok


def test_killed_with_its_store_lost_it_comes_back_by_itself(own: World) -> None:
    """Nobody calls anybody: the supervisor starts it, and makes the streams again."""
    supervisor = own.system.supervisor
    starts = supervisor.starts(NATS)
    store = own.system.nats.store
    supervisor.kill(NATS)
    shutil.rmtree(store, ignore_errors=True)
    sent = own.send(own.grant(own.person()))
    eventually(lambda: supervisor.starts(NATS) > starts, "it was started again", within_s=BACK_S)
    eventually(
        lambda: heard(own.agency_b, f"referrals/{sent.referral}") == ["CREATED"],
        "the event arrived",
        within_s=BACK_S,
    )
    check_once_and_in_order(own.agency_b)

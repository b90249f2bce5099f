"""Sealing again, through every real process: place and clocks stay, the old seal is shut."""

from __future__ import annotations

import pytest
from safehand.events.v1 import events_pb2
from safehand.referral.v1 import referral_pb2
from safehand_client import Fetched
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.harness.world import WORKER, Person, World, eventually

STAYS = ("state", "created_at", "answer_by", "answered_at", "service", "urgency", "recipient")


def heard(world: World, after: int, kind: events_pb2.EventType.ValueType, resource: str) -> bool:
    """Whether B's own stream tells of it behind ``after``."""
    for delivery in world.agency_b.follow(after):
        if (delivery.event.type, delivery.event.resource) == (kind, resource):
            return True
    return False


def stopped_for_good(world: World, person: Person, grant: str) -> None:
    with world.session(person) as her:
        her.stop(grant, destroy_now=True)


def test_after_a_final_stop_she_says_yes_again_and_nothing_is_lost(world: World) -> None:
    person = world.person()
    grant = world.grant(person)
    fetched = world.accepted(grant)
    before = world.agency_b.status(fetched.referral)
    stopped_for_good(world, person, grant)
    with pytest.raises(SafehandError) as refused:
        world.agency_b.open(fetched, "NAME", worker_ref=WORKER)
    assert refused.value.reason is Reason.CONSENT_ENDED

    newer = world.grant(person)
    world.agency_a.reseal(fetched.referral, grant=newer)

    again = world.agency_b.fetch(fetched.referral)
    after = again.state
    assert after.state == referral_pb2.REFERRAL_STATE_ACCEPTED
    assert [getattr(after, name) for name in STAYS] == [getattr(before, name) for name in STAYS]
    assert after.grant == newer
    assert not after.sharing_stopped
    opened = world.agency_b.open(again, "NAME", worker_ref=WORKER)
    assert opened.form.ByteSize() > 0
    _shut(world, fetched)
    assert heard(world, 0, events_pb2.EVENT_TYPE_REFERRAL_RESEALED, f"referrals/{after.referral}")
    assert world.fsck().ok


def _shut(world: World, fetched: Fetched) -> None:
    """What was fetched before opens no more, and tells its holder what to do."""
    with pytest.raises(SafehandError) as refused:
        world.agency_b.open(fetched, "NAME", worker_ref=WORKER)
    assert refused.value.reason is Reason.STATE_CONFLICT


def test_the_recipient_asks_and_the_sender_seals_again(world: World) -> None:
    person = world.person()
    fetched = world.accepted(world.grant(person))
    asked = world.agency_b.ask_reseal(fetched.referral)
    assert asked.HasField("reseal_asked_at")
    assert world.agency_b.ask_reseal(fetched.referral).reseal_asked_at == asked.reseal_asked_at
    world.agency_b.publish_key()
    world.agency_a.reseal(fetched.referral)
    again = world.agency_b.fetch(fetched.referral)
    assert not again.state.HasField("reseal_asked_at")
    assert again.manifest.header.recipient_key != fetched.manifest.header.recipient_key
    assert world.agency_b.open(again, "NAME", worker_ref=WORKER).form.ByteSize() > 0


def test_only_the_recipient_asks_and_only_the_sender_seals(world: World) -> None:
    fetched = world.accepted(world.grant(world.person()))
    with pytest.raises(SafehandError) as refused:
        world.agency_a.ask_reseal(fetched.referral)
    assert refused.value.reason is Reason.NOT_ALLOWED
    with pytest.raises(SafehandError) as refused:
        world.agency_b.reseal(fetched.referral)
    assert refused.value.reason is Reason.MANIFEST_MISMATCH


def test_a_refused_seal_leaves_the_draft_for_the_next_try(world: World) -> None:
    person = world.person()
    fetched = world.accepted(world.grant(person))
    with pytest.raises(SafehandError) as refused:
        world.agency_a.reseal(fetched.referral, grant=world.grant(world.person()))
    assert refused.value.reason is Reason.CONSENT_MISSING
    world.agency_a.reseal(fetched.referral, grant=world.grant(person))
    assert world.agency_b.open(
        world.agency_b.fetch(fetched.referral), "NAME", worker_ref=WORKER
    ).disclose_index


def test_a_stop_of_the_old_consent_leaves_the_new_seal_alone(world: World) -> None:
    person = world.person()
    grant = world.grant(person)
    fetched = world.accepted(grant)
    newer = world.grant(person)
    world.agency_a.reseal(fetched.referral, grant=newer)
    stopped_for_good(world, person, grant)
    other = world.accepted(world.grant(person))
    # Referral has read past the stop once it has heard of what came after it.
    eventually(
        lambda: world.agency_b.status(other.referral).state == referral_pb2.REFERRAL_STATE_ACCEPTED,
        "the later referral",
    )
    assert not world.agency_b.status(fetched.referral).sharing_stopped
    stopped_for_good(world, person, newer)
    eventually(
        lambda: world.agency_b.status(fetched.referral).sharing_stopped, "the stop of the new one"
    )

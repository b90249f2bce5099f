"""A newer seal in the same place: at the service that routes, and knows no key."""

from __future__ import annotations

import pytest
from safehand.referral.v1 import referral_pb2
from safehand_core.reasons import Reason

from tests.referral.conftest import Refusal
from tests.referral.making import Draft, rid
from tests.referral.test_sharing import stop
from tests.referral.world import World

HOUR_S = 3600


def send(world: World, draft: Draft, index: int) -> referral_pb2.Referral:
    request = world.create_request(draft, ledger_index=index)
    made: referral_pb2.Referral = world.a.referral.CreateReferral(request).referral
    return made


def newer(world: World, older: Draft, **changes: object) -> Draft:
    values = {
        "referral": older.referral,
        "reseals": older.signed.digest.hex(),
        "urgency": older.manifest.header.urgency,
        **changes,
    }
    return world.draft(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("answered", [True, False], ids=["answered", "unanswered"])
def test_place_and_clocks_stay_and_the_parts_are_new(world: World, answered: bool) -> None:
    """An hour passes before each step, so that nothing computed anew is what it was."""
    first = world.create()
    world.clock.advance(HOUR_S)
    behind = world.create()
    if answered:
        world.answer(first, "ACCEPT")
    before, places = world.state(first), places_of(world)
    assert [place for place in places[0] if place in (first.referral, behind.referral)] == [
        behind.referral,
        first.referral,
    ]
    world.clock.advance(HOUR_S)
    second = newer(world, first)
    after = send(world, second, 9)
    assert after.resealed_at.seconds == world.clock.wall()
    assert after.grant == second.grant != before.grant
    assert after == changed(before, after)
    for seen in (world.state(first), world.state(first, by=world.b)):
        assert seen == after
    assert places_of(world) == places
    fetched = world.fetch(second)
    assert fetched.manifest == second.signed.manifest_bytes
    assert [part.ciphertext for part in fetched.parts] == list(second.ciphertexts)


def changed(before: referral_pb2.Referral, after: referral_pb2.Referral) -> referral_pb2.Referral:
    """``before`` with the only fields that a new seal replaces taken from ``after``."""
    expected = referral_pb2.Referral()
    expected.CopyFrom(before)
    expected.grant = after.grant
    for name in ("not_after", "resealed_at"):
        getattr(expected, name).CopyFrom(getattr(after, name))
    return expected


def places_of(world: World) -> list[list[str]]:
    """The referrals in the lists of the sender and of the recipient, in their order."""
    found = []
    for agency in (world.a, world.b):
        page = agency.referral.ListReferrals(referral_pb2.ListReferralsRequest(page_size=200))
        assert not page.next_page_token
        found.append([one.referral for one in page.referrals])
    return found


def test_an_older_seal_never_comes_back(world: World, refuses: Refusal) -> None:
    first = world.create()
    second = newer(world, first)
    late = world.create_request(second, ledger_index=9)
    send(world, second, 9)
    third = newer(world, second)
    send(world, third, 12)
    with refuses(Reason.ALREADY_EXISTS):
        world.a.referral.CreateReferral(
            referral_pb2.CreateReferralRequest(
                request_id=rid(),
                token=late.token,
                manifest=late.manifest,
                signature=late.signature,
                parts=late.parts,
            )
        )
    with refuses(Reason.ALREADY_EXISTS):
        world.a.referral.CreateReferral(world.create_request(first))
    assert world.fetch(third).manifest == third.signed.manifest_bytes


def test_the_same_seal_again_is_the_same(world: World) -> None:
    first = world.create()
    second = newer(world, first)
    assert send(world, second, 9) == send(world, second, 9)


def test_another_service_is_another_referral(world: World, refuses: Refusal) -> None:
    first = world.create()
    with refuses(Reason.ALREADY_EXISTS):
        send(world, newer(world, first, service="legal-2"), 9)


def test_an_answer_to_the_seal_before_counts(world: World, refuses: Refusal) -> None:
    first = world.create()
    send(world, newer(world, first), 9)
    answered = world.answer(first, "ACCEPT")
    assert answered.state == referral_pb2.REFERRAL_STATE_ACCEPTED
    with refuses(Reason.MANIFEST_MISMATCH):
        world.answer(newer(world, first), "DECLINE", reason="no_capacity")


def test_a_closed_referral_takes_no_seal(world: World, refuses: Refusal) -> None:
    first = world.create()
    world.answer(first, "DECLINE", reason="no_capacity")
    with refuses(Reason.REFERRAL_CLOSED):
        send(world, newer(world, first), 9)


def test_sharing_is_on_again_under_the_new_consent(world: World) -> None:
    first = world.create()
    stop(world, first.grant)
    assert world.state(first).sharing_stopped
    assert not send(world, newer(world, first), 9).sharing_stopped

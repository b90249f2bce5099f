"""Delivery, acknowledgement, answers, completion over the wire: who may, when, who hears of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.referral.v1 import referral_pb2 as pb
from safehand_core.reasons import Reason
from safehand_core.words import DECLINE_REASONS, OUTCOMES

from tests.referral.conftest import Refusal
from tests.referral.making import ENTROPY, Agency, Draft, rid
from tests.referral.world import World


def deliver(world: World, draft: Draft, by: Agency | None = None) -> Any:
    request = pb.ConfirmDeliveryRequest(request_id=rid(), referral=draft.referral)
    return (by or world.b).referral.ConfirmDelivery(request).referral


def acknowledge(world: World, draft: Draft, by: Agency | None = None) -> Any:
    request = pb.AcknowledgeReferralRequest(request_id=rid(), referral=draft.referral)
    return (by or world.b).referral.AcknowledgeReferral(request).referral


def complete(
    world: World, draft: Draft, by: Agency | None = None, outcome: str = "received_service"
) -> Any:
    request = pb.CompleteReferralRequest(request_id=rid(), referral=draft.referral, outcome=outcome)
    return (by or world.b).referral.CompleteReferral(request).referral


def of(world: World, draft: Draft) -> list[tuple[str, str]]:
    """(event, audience) of one referral, in order."""
    return [(e[0], e[1]) for e in world.events() if e[2] == f"referrals/{draft.referral}"]


def test_the_whole_course_and_who_hears_of_it(world: World) -> None:
    draft = world.create()
    assert deliver(world, draft).state == pb.REFERRAL_STATE_DELIVERED
    assert acknowledge(world, draft).state == pb.REFERRAL_STATE_ACKNOWLEDGED
    world.clock.advance(60)
    accepted = world.answer(draft, "ACCEPT")
    assert accepted.state == pb.REFERRAL_STATE_ACCEPTED
    assert accepted.answered_at.seconds == world.clock.wall()
    assert accepted.ended_by == pb.PARTY_UNSPECIFIED
    done = complete(world, draft, outcome="partly")
    assert (done.state, done.outcome) == (pb.REFERRAL_STATE_COMPLETED, "partly")
    assert done.ended_by == pb.PARTY_RECIPIENT
    assert done.answered_at == accepted.answered_at
    assert of(world, draft) == [
        ("CREATED", "agency/b-agency"),
        ("DELIVERED", "agency/a-agency"),
        ("ACKNOWLEDGED", "agency/a-agency"),
        ("ACCEPTED", "agency/a-agency"),
        ("COMPLETED", "agency/a-agency"),
    ]


def test_declined_with_a_code(world: World) -> None:
    draft = world.create()
    declined = world.answer(draft, "DECLINE", reason="language_unavailable")
    assert declined.state == pb.REFERRAL_STATE_DECLINED
    assert declined.reason_code == "language_unavailable"
    assert declined.ended_by == pb.PARTY_RECIPIENT
    assert declined.HasField("answered_at")
    assert of(world, draft)[-1] == ("DECLINED", "agency/a-agency")


def test_withdrawn_by_the_sender(world: World) -> None:
    draft = world.create()
    withdrawn = world.answer(draft, "WITHDRAW", reason="survivor_declined")
    assert withdrawn.state == pb.REFERRAL_STATE_WITHDRAWN
    assert withdrawn.ended_by == pb.PARTY_REFERRER
    assert not withdrawn.HasField("answered_at")
    assert of(world, draft)[-1] == ("WITHDRAWN", "agency/b-agency")


def test_an_accepted_place_ended_by_the_recipient_keeps_the_time_of_its_answer(
    world: World,
) -> None:
    draft = world.create()
    accepted = world.answer(draft, "ACCEPT")
    world.clock.advance(3600)
    declined = world.answer(draft, "DECLINE")
    assert declined.state == pb.REFERRAL_STATE_DECLINED
    assert declined.answered_at == accepted.answered_at


def test_every_outcome_word_is_taken_and_no_other(world: World, refuses: Refusal) -> None:
    for outcome in OUTCOMES:
        draft = world.create(world.draft(("CARD",)))
        world.answer(draft, "ACCEPT")
        with refuses(Reason.MALFORMED):
            complete(world, draft, outcome="she is fine now")
        assert complete(world, draft, outcome=outcome).outcome == outcome


def test_every_decline_code_is_taken(world: World) -> None:
    for reason in DECLINE_REASONS:
        draft = world.create(world.draft(("CARD",)))
        assert world.answer(draft, "DECLINE", reason=reason).reason_code == reason


STEPS: dict[str, Callable[[World, Draft], Any]] = {
    "DELIVER": deliver,
    "ACKNOWLEDGE": acknowledge,
    "ACCEPT": lambda w, d: w.answer(d, "ACCEPT"),
    "DECLINE": lambda w, d: w.answer(d, "DECLINE"),
    "WITHDRAW": lambda w, d: w.answer(d, "WITHDRAW"),
    "COMPLETE": complete,
}
PATHS: dict[str, tuple[str, ...]] = {
    "SENT": (),
    "DELIVERED": ("DELIVER",),
    "ACKNOWLEDGED": ("ACKNOWLEDGE",),
    "ACCEPTED": ("ACCEPT",),
    "COMPLETED": ("ACCEPT", "COMPLETE"),
    "DECLINED": ("DECLINE",),
    "WITHDRAWN": ("WITHDRAW",),
}


@pytest.mark.parametrize("state", PATHS)
def test_the_servicer_obeys_the_table(world: World, refuses: Refusal, state: str) -> None:
    """In each state every action: moved, left alone, or refused with nothing changed."""
    from tests.referral.test_states import EXPECTED, REASONS, STATES

    for action in STEPS:
        draft = world.create(world.draft(("CARD",)))
        for step in PATHS[state]:
            STEPS[step](world, draft)
        outcome = EXPECTED[action][1][STATES.index(state)]
        told = len(of(world, draft))
        if outcome in REASONS:
            world.clock.advance(1)  # another answer than one that is on file
            with refuses(REASONS[outcome]):
                STEPS[action](world, draft)
        else:
            moved = STEPS[action](world, draft)
            target = state if outcome == "=" else outcome
            assert moved.state == pb.ReferralState.Value(f"REFERRAL_STATE_{target}")
            assert len(of(world, draft)) == told + (outcome != "=")


# --- who ---


def test_the_sender_cannot_do_the_recipients_part(world: World, refuses: Refusal) -> None:
    draft = world.create()
    for act in (deliver, acknowledge, complete):
        with refuses(Reason.NOT_ALLOWED):
            act(world, draft, world.a)
    for answer in ("ACCEPT", "DECLINE"):
        with refuses(Reason.NOT_ALLOWED):
            world.answer(draft, answer, world.a)


def test_the_recipient_cannot_withdraw(world: World, refuses: Refusal) -> None:
    draft = world.create()
    with refuses(Reason.NOT_ALLOWED):
        world.answer(draft, "WITHDRAW", world.b)


def test_a_third_agency_learns_nothing_and_does_nothing(world: World, refuses: Refusal) -> None:
    draft, missing = world.create(), world.draft()
    calls: list[Callable[[Draft], Any]] = [
        lambda d: deliver(world, d, world.c),
        lambda d: acknowledge(world, d, world.c),
        lambda d: complete(world, d, world.c),
        lambda d: world.answer(d, "ACCEPT", world.c),
        lambda d: world.answer(d, "WITHDRAW", world.c),
        lambda d: world.state(d, world.c),
        lambda d: world.fetch(d, world.c),
    ]
    for call in calls:
        for which in (draft, missing):  # one that is there and one that is not: no difference
            with refuses(Reason.NOT_ALLOWED):
                call(which)


def test_only_the_recipient_gets_the_sealed_parts(world: World, refuses: Refusal) -> None:
    draft = world.create()
    got = world.fetch(draft)
    assert [part.ciphertext for part in got.parts] == list(draft.ciphertexts)
    assert [part.outer_wrap for part in got.parts] == list(draft.outer_wraps)
    assert (got.manifest, got.signature) == (draft.signed.manifest_bytes, draft.signed.signature)
    with refuses(Reason.NOT_ALLOWED):
        world.fetch(draft, world.a)


def test_a_fetch_stores_nothing(world: World) -> None:
    draft = world.create()
    before = world.dump()
    world.fetch(draft)
    world.state(draft, world.b)
    assert world.dump() == before


def test_parts_are_not_served_after_decline_withdrawal_or_the_end(
    world: World, refuses: Refusal
) -> None:
    for answer in ("DECLINE", "WITHDRAW"):
        draft = world.create()
        world.answer(draft, answer)
        with refuses(Reason.REFERRAL_CLOSED):
            world.fetch(draft)
        assert world.state(draft, world.b).reason_code == "no_capacity"
    draft = world.create(world.draft(not_after=world.clock.wall() + 60))
    world.fetch(draft)
    world.clock.advance(60)
    with refuses(Reason.CONSENT_ENDED):
        world.fetch(draft)
    assert world.state(draft).state == pb.REFERRAL_STATE_SENT


# --- signed answers ---


def test_an_answer_signed_by_another_key_is_refused(world: World, refuses: Refusal) -> None:
    draft = world.create()
    with refuses(Reason.SIGNATURE_INVALID):
        world.answer(draft, "ACCEPT", private=world.c.private)


def test_an_acknowledgement_by_another_key_is_refused(world: World, refuses: Refusal) -> None:
    draft = world.create()
    forged = Ed25519PrivateKey.from_private_bytes(ENTROPY.bytes(32))
    with refuses(Reason.SIGNATURE_INVALID):
        world.answer(draft, "ACCEPT", ack_key=forged)


def test_an_acknowledgement_of_another_answer_is_refused(world: World, refuses: Refusal) -> None:
    draft = world.create()
    with refuses(Reason.MANIFEST_MISMATCH):
        world.answer(draft, "ACCEPT", ack_of=bytes(32))


def test_an_answer_for_another_manifest_is_refused(world: World, refuses: Refusal) -> None:
    draft, other = world.create(), world.create()
    with refuses(Reason.MANIFEST_MISMATCH):
        world.answer(draft, "ACCEPT", manifest=other.signed.digest.hex())


def test_an_answer_in_another_agencys_name_is_refused(world: World, refuses: Refusal) -> None:
    draft = world.create()
    with refuses(Reason.NOT_ALLOWED):
        world.answer(draft, "ACCEPT", agency="c-agency")


def test_a_decline_without_a_code_is_refused(world: World, refuses: Refusal) -> None:
    draft = world.create()
    request = world.answer_request(draft, "DECLINE")
    request.answer = request.answer.replace(b'"no_capacity"', b'"her husband rang"')
    with refuses(Reason.MALFORMED):
        world.b.referral.AnswerReferral(request)


def test_the_same_answer_again_changes_nothing(world: World) -> None:
    draft = world.create()
    request = world.answer_request(draft, "ACCEPT")
    first = world.b.referral.AnswerReferral(request)
    before = world.dump()
    assert world.b.referral.AnswerReferral(request) == first
    assert world.dump() == before
    request.request_id = rid()
    assert world.b.referral.AnswerReferral(request) == first
    after = world.dump()
    after["idempotency"] = before["idempotency"]
    assert after == before


def test_another_acceptance_than_the_one_on_file_is_refused(world: World, refuses: Refusal) -> None:
    draft = world.create()
    world.answer(draft, "ACCEPT")
    with refuses(Reason.STATE_CONFLICT):
        world.answer(draft, "ACCEPT", at=world.clock.wall() + 1)


def test_a_request_id_of_another_request_is_refused(world: World, refuses: Refusal) -> None:
    draft, other = world.create(), world.create()
    request = pb.AcknowledgeReferralRequest(request_id=rid(), referral=draft.referral)
    first = world.b.referral.AcknowledgeReferral(request)
    assert world.b.referral.AcknowledgeReferral(request) == first
    request.referral = other.referral
    with refuses(Reason.REQUEST_ID_REUSED):
        world.b.referral.AcknowledgeReferral(request)


def test_request_ids_of_two_agencies_do_not_meet(world: World) -> None:
    """A request id belongs to its caller: another's cannot be taken, probed or spoilt."""
    first, second = world.create(), world.create()
    accept = world.answer_request(first, "ACCEPT")
    withdraw = world.answer_request(second, "WITHDRAW")
    withdraw.request_id = accept.request_id
    world.b.referral.AnswerReferral(accept)
    world.a.referral.AnswerReferral(withdraw)
    assert world.state(second).state == pb.REFERRAL_STATE_WITHDRAWN


# --- lists ---


def test_lists_are_paged_newest_first_and_hold_no_parts(empty: World) -> None:
    world = empty
    world.set_up()
    drafts = [world.create(world.draft(("CARD",))) for _ in range(5)]
    wanted = [draft.referral for draft in reversed(drafts)]
    for agency, expected in ((world.a, wanted), (world.b, wanted), (world.c, [])):
        seen: list[str] = []
        token = ""
        while True:
            page = agency.referral.ListReferrals(
                pb.ListReferralsRequest(page_size=2, page_token=token)
            )
            assert len(page.referrals) <= 2
            seen += [r.referral for r in page.referrals]
            token = page.next_page_token
            if not token:
                break
        assert seen == expected


def test_a_page_token_of_another_agency_is_refused(world: World, refuses: Refusal) -> None:
    for _ in range(2):
        world.create(world.draft(("CARD",)))
    page = world.a.referral.ListReferrals(pb.ListReferralsRequest(page_size=1))
    with refuses(Reason.PAGE_TOKEN_INVALID):
        world.b.referral.ListReferrals(
            pb.ListReferralsRequest(page_size=1, page_token=page.next_page_token)
        )


def test_events_are_gapless_and_paged(world: World) -> None:
    for _ in range(3):
        world.create(world.draft(("CARD",)))
    everything = world.notify.ListEvents(pb.ListEventsRequest()).events
    assert [e.sequence for e in everything] == list(range(1, len(everything) + 1))
    assert [e.id for e in everything] == [f"referral:{e.sequence}" for e in everything]
    seen: list[int] = []
    token = ""
    while True:
        page = world.notify.ListEvents(pb.ListEventsRequest(after=1, page_size=2, page_token=token))
        seen += [e.sequence for e in page.events]
        token = page.next_page_token
        if not token:
            break
    assert seen == [e.sequence for e in everything][1:]

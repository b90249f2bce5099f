"""CreateReferral: every check on its own, each with its reason, and nothing stored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from safehand.referral.v1 import directory_pb2, referral_pb2
from safehand_core.errors import SafehandError
from safehand_core.ids import new_id
from safehand_core.reasons import Reason
from safehand_core.words import URGENCY_ANSWER_S
from safehand_formats.manifest import Manifest, SignedManifest

from tests.referral.conftest import Refusal
from tests.referral.making import DAY_S, ENTROPY, rid
from tests.referral.world import FOREIGN_SERVICE, OTHER_SERVICE, World


def test_a_sealed_referral_with_its_token_is_stored_for_the_recipient(world: World) -> None:
    draft = world.draft()
    made = world.a.referral.CreateReferral(world.create_request(draft)).referral
    assert made.state == referral_pb2.REFERRAL_STATE_SENT
    assert (made.sender, made.recipient, made.grant) == ("a-agency", "b-agency", draft.grant)
    assert made.disclosure == referral_pb2.DISCLOSURE_STATE_NONE
    assert made.ended_by == referral_pb2.PARTY_UNSPECIFIED
    assert not made.HasField("answered_at")
    assert made.created_at.seconds == world.clock.wall()
    assert ("CREATED", "agency/b-agency", f"referrals/{draft.referral}") in world.events()


@pytest.mark.parametrize("urgency", sorted(URGENCY_ANSWER_S))
def test_the_answer_window_follows_the_urgency(world: World, urgency: str) -> None:
    draft = world.create(world.draft(urgency=urgency))
    found = world.state(draft)
    hours = {"emergency": 24, "urgent": 72, "normal": 14 * 24}[urgency]
    assert found.answer_by.seconds - found.created_at.seconds == hours * 3600


def test_creating_wakes_the_relay(world: World) -> None:
    from safehand_bus.wake import WakeListener

    with WakeListener(world.settings.relay_wake) as listener:
        world.create()
        assert listener.wait(2.0)


# --- who, and signatures ---


def test_another_agency_cannot_send_it(world: World, refuses: Refusal) -> None:
    draft = world.draft()
    request = world.create_request(draft)
    with refuses(Reason.NOT_ALLOWED):
        world.c.referral.CreateReferral(request)


def test_a_manifest_signed_by_another_key_is_refused(world: World, refuses: Refusal) -> None:
    draft = world.draft(private=world.c.private)
    with refuses(Reason.SIGNATURE_INVALID):
        world.a.referral.CreateReferral(world.create_request(draft))


def test_a_changed_signature_is_refused(world: World, refuses: Refusal) -> None:
    draft = world.draft()
    signature = bytes([draft.signed.signature[0] ^ 1]) + draft.signed.signature[1:]
    changed = replace(draft, signed=replace(draft.signed, signature=signature))
    with refuses(Reason.SIGNATURE_INVALID):
        world.a.referral.CreateReferral(world.create_request(changed))


def test_an_agency_that_the_registry_does_not_list_cannot_send(
    world: World, refuses: Refusal
) -> None:
    stranger = world.agency("d-agency")
    draft = world.draft(sender=stranger.name, private=stranger.private)
    with refuses(Reason.AGENCY_UNKNOWN):
        stranger.referral.CreateReferral(world.create_request(draft))


def test_bytes_that_are_no_manifest_are_refused(world: World, refuses: Refusal) -> None:
    request = world.create_request(world.draft())
    request.manifest = request.manifest.replace(b'":', b'": ', 1)
    with refuses(Reason.MALFORMED):
        world.a.referral.CreateReferral(request)


# --- parts against the manifest ---


def test_a_changed_ciphertext_is_refused(world: World, refuses: Refusal) -> None:
    request = world.create_request(world.draft())
    request.parts[0].ciphertext = bytes([request.parts[0].ciphertext[0] ^ 1]) + bytes(
        request.parts[0].ciphertext[1:]
    )
    with refuses(Reason.MANIFEST_MISMATCH):
        world.a.referral.CreateReferral(request)


def test_a_ciphertext_that_is_not_of_its_bucket_is_refused(world: World, refuses: Refusal) -> None:
    request = world.create_request(world.draft())
    request.parts[0].ciphertext += b"\x00"
    with refuses(Reason.MANIFEST_MISMATCH):
        world.a.referral.CreateReferral(request)


def test_a_part_too_few_is_refused(world: World, refuses: Refusal) -> None:
    request = world.create_request(world.draft())
    del request.parts[1]
    with refuses(Reason.MANIFEST_MISMATCH):
        world.a.referral.CreateReferral(request)


def test_two_parts_in_each_others_place_are_refused(world: World, refuses: Refusal) -> None:
    request = world.create_request(world.draft())
    first, second = request.parts[0].ciphertext, request.parts[1].ciphertext
    request.parts[0].ciphertext, request.parts[1].ciphertext = second, first
    with refuses(Reason.MANIFEST_MISMATCH):
        world.a.referral.CreateReferral(request)


def test_another_outer_wrap_than_the_tokens_is_refused(world: World, refuses: Refusal) -> None:
    request = world.create_request(world.draft())
    request.parts[0].outer_wrap = ENTROPY.bytes(1196)
    with refuses(Reason.TOKEN_INVALID):
        world.a.referral.CreateReferral(request)


# --- what must hold between the agencies ---


@pytest.mark.parametrize(
    ("categories", "changes"),
    [(("CARD",), {"purpose": "health"}), (("CARD", "MONEY_WORK"), {})],
    ids=["purpose", "category"],
)
def test_what_no_protocol_covers_is_refused(
    world: World, refuses: Refusal, categories: tuple[str, ...], changes: dict[str, Any]
) -> None:
    draft = world.draft(categories, **changes)
    with refuses(Reason.PROTOCOL_MISSING):
        world.a.referral.CreateReferral(world.create_request(draft))


def test_agencies_without_a_protocol_cannot_refer(world: World, refuses: Refusal) -> None:
    draft = world.draft(("CARD",), recipient=world.c.name)
    with refuses(Reason.PROTOCOL_MISSING):
        world.a.referral.CreateReferral(world.create_request(draft))


def test_a_protocol_that_ended_covers_nothing(empty: World) -> None:
    world = empty
    world.set_up()
    world.create()
    world.clock.advance(365 * DAY_S)
    draft = world.draft()
    with pytest.raises(SafehandError) as caught:
        world.a.referral.CreateReferral(world.create_request(draft))
    assert caught.value.reason is Reason.PROTOCOL_MISSING


def test_a_category_that_the_service_does_not_need_is_refused(
    world: World, refuses: Refusal
) -> None:
    draft = world.draft(("CARD", "HEALTH"))
    with refuses(Reason.SERVICE_NEEDS_EXCEEDED):
        world.a.referral.CreateReferral(world.create_request(draft))


def test_a_service_needs_the_card_alone_unless_an_operator_said_more(
    world: World, refuses: Refusal
) -> None:
    with refuses(Reason.SERVICE_NEEDS_EXCEEDED):
        world.a.referral.CreateReferral(
            world.create_request(world.draft(("CARD", "NAME"), service=OTHER_SERVICE))
        )
    world.create(world.draft(("CARD",), service=OTHER_SERVICE))


@pytest.mark.parametrize("service", ["nowhere", FOREIGN_SERVICE])
def test_a_service_that_the_recipient_does_not_deliver_is_refused(
    world: World, refuses: Refusal, service: str
) -> None:
    draft = world.draft(("CARD",), service=service)
    with refuses(Reason.NOT_FOUND):
        world.a.referral.CreateReferral(world.create_request(draft))


def test_a_manifest_that_has_ended_is_refused(world: World, refuses: Refusal) -> None:
    now = world.clock.wall()
    draft = world.draft(created=now - 10, not_after=now)
    with refuses(Reason.EXPIRY_INVALID):
        world.a.referral.CreateReferral(world.create_request(draft))
    world.create(world.draft(created=now - 10, not_after=now + 1))


# --- repeats ---


def test_the_same_request_again_is_answered_and_nothing_is_done_twice(world: World) -> None:
    request = world.create_request(world.draft())
    first = world.a.referral.CreateReferral(request)
    before = world.dump()
    assert world.a.referral.CreateReferral(request) == first
    assert world.dump() == before


def test_a_repeat_is_answered_also_when_its_token_is_over(world: World) -> None:
    request = world.create_request(world.draft())
    first = world.a.referral.CreateReferral(request)
    world.clock.advance(301)
    assert world.a.referral.CreateReferral(request) == first


def test_a_request_id_for_another_request_is_refused(world: World, refuses: Refusal) -> None:
    request = world.create_request(world.draft())
    world.a.referral.CreateReferral(request)
    other = world.create_request(world.draft())
    other.request_id = request.request_id
    with refuses(Reason.REQUEST_ID_REUSED):
        world.a.referral.CreateReferral(other)


def test_the_same_manifest_under_a_new_token_is_the_same_referral(world: World) -> None:
    draft = world.create()
    again = replace(draft, outer_wraps=tuple(ENTROPY.bytes(1196) for _ in draft.outer_wraps))
    made = world.a.referral.CreateReferral(world.create_request(again)).referral
    assert made.referral == draft.referral
    created = [e for e in world.events() if e[0] == "CREATED" and draft.referral in e[2]]
    assert len(created) == 1
    assert [part.outer_wrap for part in world.fetch(draft).parts] == list(draft.outer_wraps)


def test_the_same_id_with_another_manifest_is_refused(world: World, refuses: Refusal) -> None:
    draft = world.create()
    other = world.draft(referral=draft.referral)
    with refuses(Reason.ALREADY_EXISTS):
        world.a.referral.CreateReferral(world.create_request(other))


# --- the bounds of the wire ---


def test_sixteen_parts_of_the_largest_bucket_would_fit(world: World, refuses: Refusal) -> None:
    request = world.create_request(world.draft())
    del request.parts[:]
    request.parts.extend(
        referral_pb2.SealedPart(ciphertext=bytes(65552), outer_wrap=bytes(1196)) for _ in range(16)
    )
    with refuses(Reason.MANIFEST_MISMATCH):
        world.a.referral.CreateReferral(request)


def test_a_request_above_its_limit_is_refused(world: World, refuses: Refusal) -> None:
    request = world.create_request(world.draft())
    request.parts[0].ciphertext = bytes(2 * 1024 * 1024)
    with refuses(Reason.TOO_LARGE):
        world.a.referral.CreateReferral(request)


@pytest.mark.parametrize("field", ["request_id", "token", "manifest", "signature", "parts"])
def test_a_request_without_a_field_is_refused(world: World, refuses: Refusal, field: str) -> None:
    request = world.create_request(world.draft())
    request.ClearField(field)  # type: ignore[arg-type]
    with refuses(Reason.MALFORMED):
        world.a.referral.CreateReferral(request)


def test_needs_that_an_operator_widened_hold_at_once(world: World, refuses: Refusal) -> None:
    draft = world.draft(("CARD", "CONTACT"), service=OTHER_SERVICE)
    with refuses(Reason.SERVICE_NEEDS_EXCEEDED):
        world.a.referral.CreateReferral(world.create_request(draft))
    for categories in (["CONTACT"], []):
        world.operator_directory.SetServiceNeeds(
            directory_pb2.SetServiceNeedsRequest(
                request_id=rid(), service=OTHER_SERVICE, categories=categories
            )
        )
        if categories:
            world.create(draft)
    fresh = world.draft(("CARD", "CONTACT"), service=OTHER_SERVICE, referral=new_id(ENTROPY))
    with refuses(Reason.SERVICE_NEEDS_EXCEEDED):
        world.a.referral.CreateReferral(world.create_request(fresh))


def test_a_ciphertext_of_another_size_than_its_label_says_is_refused(
    world: World, refuses: Refusal
) -> None:
    """The sender signed for these bytes, and lied about their bucket."""
    draft = world.draft()
    first, *rest = draft.manifest.parts
    lied = replace(first, label=replace(first.label, bucket=4096))
    signed = SignedManifest.sign(Manifest(draft.manifest.header, (lied, *rest)), world.a.private)
    with refuses(Reason.MANIFEST_MISMATCH):
        world.a.referral.CreateReferral(world.create_request(replace(draft, signed=signed)))

"""RecordAnswer: who may say what, what a repeat gets, and that a stop never ends help."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.consent.v1 import consent_pb2 as pb
from safehand_core.reasons import Reason
from safehand_core.words import DECLINE_REASONS
from safehand_formats import signing
from safehand_formats.answer import SignedAnswerAck

from tests.consent.release.world import A, B, C, Sent, World, new_request_id, refused


@pytest.fixture
def session(world: World) -> bytes:
    return world.session()


@pytest.fixture
def grant(world: World, session: bytes) -> str:
    return world.grant(session)


@pytest.fixture
def sent(world: World, grant: str) -> Sent:
    return world.send(grant)


def test_the_acknowledgement_names_the_answer_under_the_token_key(world: World, sent: Sent) -> None:
    signed = world.signed_answer(sent.sealed)
    answer = world.record_answer(signed)
    public = signing.public_bytes(world.app.context.token_key)
    ack = SignedAnswerAck(answer.ack, answer.ack_signature).verify(public)
    assert (ack.answer, ack.at) == (signed.digest.hex(), world.now)


def test_an_answer_adds_no_entry_and_a_repeat_gets_the_same_acknowledgement(
    world: World, sent: Sent
) -> None:
    size = world.size
    signed = world.signed_answer(sent.sealed)
    request_id = new_request_id()
    first = world.record_answer(signed, request_id=request_id)
    assert world.record_answer(signed, request_id=request_id) == first
    assert world.record_answer(signed) == first
    assert world.size == size
    with refused(Reason.REQUEST_ID_REUSED):
        other = world.signed_answer(sent.sealed, "DECLINE", "no_capacity")
        world.record_answer(other, request_id=request_id)


def test_another_acceptance_is_refused(world: World, sent: Sent) -> None:
    world.accept(sent)
    with refused(Reason.ALREADY_EXISTS):
        world.record_answer(world.signed_answer(sent.sealed, at=world.now - 1))


@pytest.mark.parametrize("first", ["DECLINE", "WITHDRAW"])
def test_nothing_follows_a_closing_answer_but_its_own_repeat(
    world: World, sent: Sent, first: str
) -> None:
    caller = A if first == "WITHDRAW" else B
    closing = world.signed_answer(sent.sealed, first, "not_eligible")
    given = world.record_answer(closing, caller)
    for answer, reason in (("ACCEPT", ""), ("DECLINE", "out_of_area"), ("WITHDRAW", "no_capacity")):
        with refused(Reason.REFERRAL_CLOSED):
            later = world.signed_answer(sent.sealed, answer, reason)
            world.record_answer(later, A if answer == "WITHDRAW" else B)
    assert world.record_answer(closing, caller) == given


def test_a_recipient_that_accepted_may_still_decline(world: World, sent: Sent) -> None:
    world.accept(sent)
    world.decline(sent)
    with refused(Reason.REFERRAL_CLOSED):
        world.release(sent, "NAME")


def test_a_stop_ends_sharing_and_never_help(
    world: World, session: bytes, grant: str, sent: Sent
) -> None:
    world.stop_grant(session, grant)
    world.accept(sent)
    with refused(Reason.CONSENT_ENDED):
        world.release(sent, "NAME")
    world.resume_grant(session, grant)
    world.release(sent, "NAME")
    world.stop_grant(session, grant, pb.STOP_MODE_DESTROY_NOW)
    world.decline(sent)


def test_only_its_own_party_gives_an_answer(world: World, sent: Sent) -> None:
    sealed = sent.sealed
    for signed, caller in (
        (world.signed_answer(sealed, by=A), A),
        (world.signed_answer(sealed, by=C), C),
        (world.signed_answer(sealed, "DECLINE", "no_capacity", by=A), A),
        (world.signed_answer(sealed, "WITHDRAW", "no_capacity", by=B), B),
        (world.signed_answer(sealed), A),
        (world.signed_answer(sealed), C),
        (world.signed_answer(sealed, manifest="0" * 64), B),
        (world.signed_answer(sealed, agency=A), B),
    ):
        with refused(Reason.NOT_ALLOWED):
            world.record_answer(signed, caller)
    world.accept(sent)


def test_an_answer_that_another_key_signed(world: World, sent: Sent) -> None:
    for key in (Ed25519PrivateKey.generate(), world.agencies[A].identity):
        with refused(Reason.SIGNATURE_INVALID):
            world.record_answer(world.signed_answer(sent.sealed, key=key))
    with refused(Reason.NOT_ACCEPTED):
        world.release(sent, "NAME")


def test_an_answer_for_another_referral_of_the_manifest(world: World, sent: Sent) -> None:
    with refused(Reason.MANIFEST_MISMATCH):
        world.record_answer(world.signed_answer(sent.sealed, referral="0" * 32))


def test_reasons_come_from_a_closed_list(world: World, grant: str, sent: Sent) -> None:
    signed = world.signed_answer(sent.sealed, "DECLINE", "no_capacity")
    data = signed.answer_bytes.replace(b"no_capacity", b"she_is_rude")
    signature = signing.sign(world.agencies[B].identity, "safehand/v1/answer", data)
    with refused(Reason.MALFORMED):
        world.record_answer(type(signed)(data, signature))
    for reason in DECLINE_REASONS:
        other = world.send(grant)
        world.record_answer(world.signed_answer(other.sealed, "DECLINE", reason))


def test_an_answer_from_the_future(world: World, sent: Sent) -> None:
    with refused(Reason.MALFORMED):
        world.record_answer(world.signed_answer(sent.sealed, at=world.now + 301))
    world.record_answer(world.signed_answer(sent.sealed, at=world.now + 300))


def test_an_answer_outlives_a_restart(fresh_world: World) -> None:
    sent = fresh_world.send(fresh_world.grant(fresh_world.session()))
    signed = fresh_world.signed_answer(sent.sealed)
    first = fresh_world.record_answer(signed)
    fresh_world.restart()
    assert fresh_world.record_answer(signed) == first
    fresh_world.release(sent, "NAME")

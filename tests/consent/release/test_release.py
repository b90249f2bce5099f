"""ReleaseKey: who gets an inner wrap, and for every lie the reason why nobody else does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import consent_pb2_grpc
from safehand_consent_service import release
from safehand_consent_service.sweeper import forget
from safehand_consent_service.tables import category_key, look, refused_look
from safehand_core import canonical, failpoints
from safehand_core.reasons import Reason
from safehand_formats import proof, wraps
from safehand_formats.bodies import decode_body
from safehand_formats.kinds import Kind
from safehand_formats.leaf import Leaf, body_commitment
from safehand_formats.release_request import SignedReleaseRequest
from safehand_store import idempotency
from safehand_store.engine import begin_read
from sqlalchemy import func, select

from tests.consent.release.world import (
    DAY_S,
    ENTROPY,
    A,
    B,
    C,
    Sent,
    World,
    in_background,
    new_request_id,
    refused,
    wait_for,
)


@pytest.fixture
def session(world: World) -> bytes:
    return world.session()


@pytest.fixture
def grant(world: World, session: bytes) -> str:
    return world.grant(session)


@pytest.fixture
def sent(world: World, grant: str) -> Sent:
    return world.send(grant)


def body_of(receipt: object) -> dict[str, canonical.Json]:
    return decode_body(Kind.DISCLOSE, receipt.body)  # type: ignore[attr-defined]


# --- what is right -------------------------------------------------------------------------------


def test_the_recipient_opens_the_card_and_after_its_accept_the_rest(
    world: World, sent: Sent
) -> None:
    card = world.release(sent)
    assert world.open(sent, "CARD", card.inner_wrap) == b"content of CARD"
    assert body_of(card.receipt)["accept"] == ""
    signed = world.signed_answer(sent.sealed)
    world.record_answer(signed)
    name = world.release(sent, "NAME")
    assert world.open(sent, "NAME", name.inner_wrap) == b"content of NAME"
    assert body_of(name.receipt)["accept"] == signed.digest.hex()


def test_the_receipt_proves_who_opened_what(world: World, sent: Sent) -> None:
    request = world.release_request(sent)
    receipt = world.agency(B).ReleaseKey(request).receipt
    proven = proof.TlogProof.from_text(receipt.proof)
    assert proven.index == receipt.index
    leaf = Leaf.decode(receipt.leaf)
    assert leaf.kind is Kind.DISCLOSE
    assert leaf.commitment == body_commitment(receipt.salt, receipt.body)
    body = body_of(receipt)
    assert (body["manifest"], body["part"]) == (sent.sealed.digest, 0)
    assert (body["recipient"], body["worker_ref"]) == (B, "worker-7")
    signed = SignedReleaseRequest(request.request, request.signature)
    assert body["request"] == signed.digest.hex()


def test_the_releasing_agency_and_the_referral_service_hear_of_it(world: World, sent: Sent) -> None:
    world.release(sent)
    stub = consent_pb2_grpc.ConsentServiceStub(world.channel("service", "referral"))
    events = stub.ListEvents(pb.ListEventsRequest(page_size=2000)).events
    heard = [e.audience for e in events if e.resource == f"referrals/{sent.sealed.referral}"]
    assert sorted(heard) == [f"agency/{A}", "service/referral"]


def test_released_bytes_are_in_no_file_of_the_service(world: World, sent: Sent) -> None:
    opened = world.release(sent)
    assert opened.inner_wrap in sent.sealed.inner_wraps
    for path in world.settings.data_dir.iterdir():
        if path.is_file():
            data = path.read_bytes()
            assert all(inner[:64] not in data for inner in sent.sealed.inner_wraps)


# --- (a) who asks --------------------------------------------------------------------------------


def test_another_agency_hears_the_same_as_for_a_referral_that_is_not_there(
    world: World, sent: Sent
) -> None:
    own_key = world.agencies[C].identity
    for request in (
        world.release_request(sent, key=own_key),
        world.release_request(sent, key=own_key, recipient=C),
        world.release_request(sent, key=own_key, recipient=C, manifest="0" * 64),
        world.release_request(sent, key=world.agencies[B].identity),
    ):
        with refused(Reason.NOT_ALLOWED, by=world):
            world.agency(C).ReleaseKey(request)


def test_the_sender_cannot_open_what_it_sent(world: World, sent: Sent) -> None:
    with refused(Reason.NOT_ALLOWED, by=world):
        world.agency(A).ReleaseKey(world.release_request(sent, key=world.agencies[A].identity))


def test_an_unknown_manifest_is_not_allowed(world: World, sent: Sent) -> None:
    with refused(Reason.NOT_ALLOWED, by=world):
        world.release(sent, manifest="0" * 64)


def test_a_second_certificate_of_the_recipient_opens_nothing_without_its_signing_key(
    world: World, sent: Sent
) -> None:
    with world.new_channel(world.second_certificate(B)) as channel:
        stub = consent_pb2_grpc.ConsentServiceStub(channel)
        with refused(Reason.SIGNATURE_INVALID, by=world):
            stub.ReleaseKey(world.release_request(sent, key=Ed25519PrivateKey.generate()))
        assert stub.ReleaseKey(world.release_request(sent)).inner_wrap  # with it, it is the agency


def test_a_signature_over_another_request_does_not_do(world: World, sent: Sent) -> None:
    request = world.release_request(sent)
    request.signature = world.release_request(sent).signature
    with refused(Reason.SIGNATURE_INVALID, by=world):
        world.agency(B).ReleaseKey(request)


def test_a_request_for_another_referral_or_a_part_that_is_not_there(
    world: World, sent: Sent
) -> None:
    with refused(Reason.MANIFEST_MISMATCH, by=world):
        world.release(sent, referral="0" * 32)
    with refused(Reason.MANIFEST_MISMATCH, by=world):
        world.release(sent, part=9, outer_wrap=sent.outer_wraps[0])


def test_a_malformed_request(world: World, sent: Sent) -> None:
    request = world.release_request(sent)
    request.request = request.request + b" "
    with refused(Reason.MALFORMED, by=world):
        world.agency(B).ReleaseKey(request)


def test_identity_parts_wait_for_a_signed_acceptance(world: World, sent: Sent) -> None:
    with refused(Reason.NOT_ACCEPTED, by=world):
        world.release(sent, "NAME")
    world.accept(sent)
    world.release(sent, "NAME")


@pytest.mark.parametrize("close", [World.decline, World.withdraw])
@pytest.mark.parametrize("accepted", [False, True])
def test_after_decline_or_withdraw_nothing_opens(
    world: World,
    sent: Sent,
    close: Callable[[World, Sent], pb.RecordAnswerResponse],
    accepted: bool,
) -> None:
    if accepted:
        world.accept(sent)
    close(world, sent)
    for category in ("CARD", "NAME"):
        with refused(Reason.REFERRAL_CLOSED, by=world):
            world.release(sent, category)


# --- (b) the wrap --------------------------------------------------------------------------------


def test_a_wrap_of_another_part_referral_or_category_does_not_open(
    world: World, grant: str, sent: Sent
) -> None:
    world.accept(sent)
    other = world.send(grant)
    for wrong in (sent.outer_wraps[1], other.outer_wraps[0]):
        with refused(Reason.WRAP_INVALID, by=world):
            world.release(sent, outer_wrap=wrong)
    with refused(Reason.WRAP_INVALID, by=world):
        world.release(sent, "NAME", outer_wrap=sent.outer_wraps[sent.sealed.part("CONTACT")])


def test_a_wrap_of_another_survivors_grant_does_not_open(world: World, sent: Sent) -> None:
    hers = world.send(world.grant(world.session()))
    with refused(Reason.WRAP_INVALID, by=world):
        world.release(sent, outer_wrap=hers.outer_wraps[0])


def test_a_wrap_that_somebody_made_does_not_open(world: World, sent: Sent) -> None:
    digest = sent.sealed.signed.digest
    made = wraps.outer_wrap(bytes(32), digest, 0, sent.sealed.inner_wraps[0], ENTROPY)
    for wrong in (made, ENTROPY.bytes(wraps.OUTER_WRAP_BYTES), _flipped(sent.outer_wraps[0])):
        with refused(Reason.WRAP_INVALID, by=world):
            world.release(sent, outer_wrap=wrong)


def test_another_inner_wrap_under_the_right_category_key_is_not_released(
    world: World, grant: str, sent: Sent
) -> None:
    """Who could reach the category key could wrap anything: the sender's signed hash decides."""
    key = world.category_key(grant, "CARD")
    assert key is not None
    foreign = world.seal(grant).inner_wraps[0]
    made = wraps.outer_wrap(key, sent.sealed.signed.digest, 0, foreign, ENTROPY)
    with refused(Reason.WRAP_INVALID, by=world):
        world.release(sent, outer_wrap=made)


def test_a_relabelled_part_is_another_manifest(world: World, grant: str) -> None:
    """A wrap that was made for a manifest does not open under the same parts relabelled."""
    first = world.send(grant, ("CARD", "NAME"))
    parts = first.sealed.manifest.parts
    label = replace(parts[1].label, category="CONTACT")
    manifest = replace(
        first.sealed.manifest,
        header=world.header(grant),
        parts=(parts[0], replace(parts[1], label=label)),
    )
    signed = type(first.sealed.signed).sign(manifest, world.agencies[A].identity)
    second = world.authorise(replace(first.sealed, signed=signed, manifest=manifest))
    world.accept(second)
    with refused(Reason.WRAP_INVALID, by=world):
        world.release(second, "CONTACT", outer_wrap=first.outer_wraps[1])


def _flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


# --- (c) the entry -------------------------------------------------------------------------------


def test_after_a_stop_nothing_opens_and_after_a_resume_it_does(
    world: World, session: bytes, grant: str, sent: Sent
) -> None:
    world.stop_grant(session, grant)
    with refused(Reason.CONSENT_ENDED, by=world):
        world.release(sent)
    world.resume_grant(session, grant)
    world.release(sent)


def test_a_restarted_service_still_refuses_after_a_stop(fresh_world: World) -> None:
    """The gate's flag is memory; what is on record is not."""
    session = fresh_world.session()
    grant = fresh_world.grant(session)
    sent = fresh_world.send(grant)
    fresh_world.stop_grant(session, grant)
    fresh_world.restart()
    with refused(Reason.CONSENT_ENDED, by=fresh_world):
        fresh_world.release(sent)


def test_destroyed_keys_open_nothing(world: World, session: bytes, grant: str, sent: Sent) -> None:
    world.stop_grant(session, grant, pb.STOP_MODE_DESTROY_NOW)
    with begin_read(world.app.context.engine) as connection:
        left = select(func.count()).where(category_key.c.grant_id == grant)
        assert connection.execute(left).scalar_one() == 0
    with refused(Reason.CONSENT_ENDED, by=world):
        world.release(sent)


def test_expiry_refuses_before_anybody_swept(fresh_world: World) -> None:
    grant = fresh_world.grant(
        fresh_world.session(), fresh_world.terms(expires_at={"seconds": fresh_world.now + DAY_S})
    )
    sent = fresh_world.authorise(fresh_world.seal(grant, not_after=fresh_world.now + DAY_S))
    fresh_world.clock.advance(DAY_S - 1)
    fresh_world.release(sent)
    fresh_world.clock.advance(1)
    with refused(Reason.CONSENT_ENDED, by=fresh_world):
        fresh_world.release(sent)


def test_a_manifest_past_its_end_opens_nothing(fresh_world: World) -> None:
    grant = fresh_world.grant(fresh_world.session())
    sent = fresh_world.authorise(fresh_world.seal(grant, not_after=fresh_world.now + DAY_S))
    fresh_world.clock.advance(DAY_S)
    with refused(Reason.CONSENT_ENDED, by=fresh_world):
        fresh_world.release(sent)


def test_while_the_clock_is_suspect_nothing_opens_until_an_operator_confirms(
    fresh_world: World,
) -> None:
    session = fresh_world.session()
    grant = fresh_world.grant(session)
    sent = fresh_world.send(grant)
    fresh_world.clock.jump_wall(3600)
    with refused(Reason.CLOCK_SUSPECT, by=fresh_world):
        fresh_world.release(sent)
    confirmed = fresh_world.operator().ConfirmClock(
        pb.ConfirmClockRequest(request_id=new_request_id())
    )
    assert confirmed.ledger_now.seconds == fresh_world.now
    fresh_world.release(sent)
    fresh_world.restart()
    fresh_world.release(sent)


# --- repeats -------------------------------------------------------------------------------------


def test_the_same_request_again_cites_its_entry_and_adds_none(world: World, sent: Sent) -> None:
    request = world.release_request(sent)
    first = world.agency(B).ReleaseKey(request)
    size = world.size
    again = world.agency(B).ReleaseKey(request)
    assert world.size == size
    assert again.receipt.index == first.receipt.index
    assert (again.receipt.leaf, again.receipt.body) == (first.receipt.leaf, first.receipt.body)
    assert again.inner_wrap == first.inner_wrap


def test_the_same_request_is_one_look_for_ever(world: World, sent: Sent) -> None:
    """Long after its idempotency row is forgotten: two leaves of one request break the ledger."""
    request = world.release_request(sent)
    first = world.agency(B).ReleaseKey(request)
    world.clock.advance(idempotency.KEEP_S + DAY_S)
    forget(world.app.context)
    size = world.size
    again = world.agency(B).ReleaseKey(request)
    assert again.receipt.index == first.receipt.index
    assert world.size == size


def test_a_repeat_is_checked_all_over_again(
    world: World, session: bytes, grant: str, sent: Sent
) -> None:
    request = world.release_request(sent)
    world.agency(B).ReleaseKey(request)
    world.stop_grant(session, grant)
    with refused(Reason.CONSENT_ENDED, by=world):
        world.agency(B).ReleaseKey(request)
    world.resume_grant(session, grant)
    world.agency(B).ReleaseKey(request)
    world.decline(sent)
    with refused(Reason.REFERRAL_CLOSED, by=world):
        world.agency(B).ReleaseKey(request)


def test_a_new_id_is_a_new_look_and_a_used_id_no_other_request(world: World, sent: Sent) -> None:
    first = world.release_request(sent)
    request_id = str(canonical.decode_object(first.request, max_bytes=4096)["request_id"])
    one = world.agency(B).ReleaseKey(first).receipt.index
    two = world.release(sent).receipt.index
    assert two > one
    with refused(Reason.REQUEST_ID_REUSED, by=world):
        world.release(sent, request_id=request_id, worker_ref="worker-8")


# --- quotas and refused looks --------------------------------------------------------------------


def test_one_referral_gives_so_many_looks_an_hour(
    fresh_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "LOOKS", 3)
    grant = fresh_world.grant(fresh_world.session())
    sent, other = fresh_world.send(grant), fresh_world.send(grant)
    request = fresh_world.release_request(sent)
    fresh_world.agency(B).ReleaseKey(request)
    for _ in range(2):
        fresh_world.release(sent)
    with pytest.raises(Exception, match="QUOTA_EXCEEDED") as caught:
        fresh_world.release(sent)
    assert 0 < caught.value.retry_after_s <= release.LOOKS_WINDOW_S  # type: ignore[attr-defined]
    fresh_world.agency(B).ReleaseKey(request)  # a repeat is no new look
    fresh_world.release(other)  # and another referral has its own
    fresh_world.clock.advance(release.LOOKS_WINDOW_S)
    fresh_world.release(sent)


def test_she_sees_the_looks_and_the_refused_ones(
    world: World, session: bytes, grant: str, sent: Sent
) -> None:
    world.release(sent)
    with refused(Reason.NOT_ACCEPTED):
        world.release(sent, "NAME")
    with refused(Reason.SIGNATURE_INVALID):
        world.release(sent, key=Ed25519PrivateKey.generate(), worker_ref="framed-worker")
    world.app.context.refused.settle()
    looks = world.portal().ListLooks(pb.ListLooksRequest(session=session, grant=grant)).looks
    seen = {(one.category, one.worker_ref, one.ledger_index >= 0) for one in looks}
    assert seen == {
        ("CARD", "worker-7", True),
        ("NAME", "worker-7", False),
        ("CARD", "unverified", False),
    }


def test_refused_looks_of_one_agency_are_kept_to_a_number(
    world: World, grant: str, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safehand_consent_service.refused_looks.QUOTA", 2)
    for _ in range(4):
        with refused(Reason.NOT_ACCEPTED):
            world.release(sent, "NAME")
        world.app.context.refused.settle()
    with begin_read(world.app.context.engine) as connection:
        rows = select(func.count()).where(refused_look.c.grant_id == grant)
        assert connection.execute(rows).scalar_one() == 2


def test_somebody_elses_try_is_no_look_of_the_recipient(
    world: World, grant: str, sent: Sent
) -> None:
    with refused(Reason.NOT_ALLOWED):
        world.agency(C).ReleaseKey(world.release_request(sent, key=world.agencies[C].identity))
    world.app.context.refused.settle()
    with begin_read(world.app.context.engine) as connection:
        for table in (refused_look, look):
            rows = select(func.count()).where(table.c.grant_id == grant)
            assert connection.execute(rows).scalar_one() == 0


# --- (d) the gate --------------------------------------------------------------------------------


def test_a_stop_between_the_entry_and_the_answer_keeps_the_key_back(
    world: World, session: bytes, grant: str, sent: Sent
) -> None:
    """The entry is committed, its thread is not yet told, and the stop takes the gate first."""
    handed: list[str] = []
    world.app.hooks.release_handed = lambda which, _at: handed.append(which)
    size = world.size
    failpoints.arm("consent.writer.committed=sleep:0.4")
    outcome = in_background(lambda: world.release(sent))
    wait_for(lambda: world.app.context.writer.head.size > size)
    world.stop_grant(session, grant)
    failpoints.arm("")
    with refused(Reason.CONSENT_ENDED):
        outcome()
    world.app.hooks.release_handed = None
    assert not handed
    assert world.size == size + 2  # DISCLOSE: "was or may have been opened"; then STOP


def test_a_stop_cancels_a_release_that_does_not_leave(
    world: World, session: bytes, grant: str, sent: Sent
) -> None:
    """In the gate, but stuck before the transport: the stop waits a second and no longer."""
    order: list[tuple[str, float]] = []
    world.app.hooks.release_handed = lambda _which, at: order.append(("handed", at))
    world.app.hooks.stop_answered = lambda _which, at: order.append(("stopped", at))
    failpoints.arm("consent.release.before_answer=sleep:2.5")
    outcome = in_background(lambda: world.release(sent))
    wait_for(lambda: world.app.context.gates.inside(grant) == 1)
    world.stop_grant(session, grant)
    with refused(Reason.UNAVAILABLE):  # cancelled: how gRPC ends a call without a status of ours
        outcome()
    world.app.hooks.release_handed = world.app.hooks.stop_answered = None
    assert [what for what, _ in order] == ["stopped"]

"""Attacks on what is recorded for her: one word alone, the recipient's own, forged, late."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import guardians_pb2, recorded_pb2
from safehand_consent_service.recorded import CONFIRM_WITHIN_S
from safehand_core import failpoints
from safehand_core.reasons import Reason
from safehand_core.words import CARD, SENSITIVE
from safehand_formats.answer import ACCEPT
from safehand_formats.record import Record, RecordedTerms, Second, SignedRecord, SignedSecond

from tests.consent.release.world import (
    DAY_S,
    NOTICE,
    PURPOSE,
    A,
    B,
    C,
    Card,
    Sent,
    World,
    in_background,
    new_request_id,
    refused,
    wait_for,
)

PLAIN = ("CARD", "CONTACT", "NAME")
WITH_SENSITIVE = ("CARD", "EVENTS", "NAME")
ONE, TWO = "worker-one", "worker-two"


@dataclass
class Her:
    """Somebody whom every agency knows as ``ref``, signed in."""

    card: Card
    session: bytes
    ref: str


@pytest.fixture
def her(fresh_world: World) -> Her:
    return person(fresh_world, "ref-of-hers")


def person(world: World, ref: str) -> Her:
    card = world.new_card()
    for agency in (A, B, C):
        world.agency(agency).RegisterSubject(
            pb.RegisterSubjectRequest(
                request_id=new_request_id(), subject_ref=ref, card_number=card.number, pin=card.pin
            )
        )
    return Her(card, world.sign_in(card), ref)


def sign_record(
    world: World, her: Her, *, by: str = A, key: Ed25519PrivateKey | None = None, **changed: Any
) -> SignedRecord:
    values: dict[str, Any] = {
        "releasing": A,
        "recipient": B,
        "purpose": PURPOSE,
        "categories": tuple(sorted({CARD, *PLAIN, *SENSITIVE})),
        "expires_at": world.now + 90 * DAY_S,
        "erase_by": world.now + 100 * DAY_S,
        "notice": NOTICE,
        "language": "es",
        "given_how": "heard",
        "present": "with_worker",
    }
    worker = changed.pop("worker", ONE)
    terms = RecordedTerms(**{**values, **changed})
    record = Record(by, worker, her.ref, "paper", terms, new_request_id(), world.now)
    return SignedRecord.sign(record, key or world.agencies[by].identity)


def file_record(world: World, signed: SignedRecord, caller: str = A) -> Any:
    return world.agency(caller).RecordGrant(
        recorded_pb2.RecordGrantRequest(record=signed.record_bytes, signature=signed.signature)
    )


def file_second(
    world: World,
    her: Her,
    signed: SignedRecord,
    worker: str = TWO,
    by: str = A,
    *,
    caller: str = "",
    key: Ed25519PrivateKey | None = None,
) -> Any:
    second = Second(by, worker, her.ref, signed.digest.hex(), new_request_id(), world.now)
    made = SignedSecond.sign(second, key or world.agencies[by].identity)
    return world.agency(caller or by).SecondGrant(
        recorded_pb2.SecondGrantRequest(second=made.second_bytes, signature=made.signature)
    )


def reply(world: World, session: bytes, grant: str, what: recorded_pb2.Reply.ValueType) -> Any:
    return world.portal().ConfirmGrant(
        recorded_pb2.ConfirmGrantRequest(
            request_id=new_request_id(), session=session, grant=grant, reply=what
        )
    )


def send(world: World, grant: str, categories: tuple[str, ...]) -> Sent:
    """A referral of a provisional grant ends before the grant's own term."""
    return world.authorise(world.seal(grant, categories, not_after=world.now + 10 * DAY_S))


# --- who may record ------------------------------------------------------------------------------


def test_the_recipients_own_staff_record_nothing(fresh_world: World, her: Her) -> None:
    with refused(Reason.NOT_ALLOWED, by=fresh_world):
        file_record(fresh_world, sign_record(fresh_world, her, by=B), B)


def test_nobody_records_in_anothers_name(fresh_world: World, her: Her) -> None:
    world = fresh_world
    for caller in (B, C):
        with refused(Reason.NOT_ALLOWED, by=world):
            file_record(world, sign_record(world, her), caller)


def test_a_forged_or_changed_record_is_refused(fresh_world: World, her: Her) -> None:
    world = fresh_world
    for key in (Ed25519PrivateKey.generate(), world.agencies[B].identity):
        with refused(Reason.SIGNATURE_INVALID, by=world):
            file_record(world, sign_record(world, her, key=key))
    signed = sign_record(world, her, categories=(CARD, "NAME"))
    wider = sign_record(world, her).record_bytes
    with refused(Reason.SIGNATURE_INVALID, by=world):
        file_record(world, SignedRecord(wider, signed.signature))
    # A second's signature is no record's, and the other way round.
    second = Second(A, TWO, her.ref, signed.digest.hex(), new_request_id(), world.now)
    made = SignedSecond.sign(second, world.agencies[A].identity)
    with refused(Reason.SIGNATURE_INVALID, by=world):
        file_record(world, SignedRecord(signed.record_bytes, made.signature))


def test_a_replayed_record_is_one_grant(fresh_world: World, her: Her) -> None:
    world = fresh_world
    signed = sign_record(world, her)
    first = file_record(world, signed)
    size = world.size
    for _ in range(3):
        assert file_record(world, signed).grant == first.grant
    assert world.size == size
    with refused(Reason.NOT_ALLOWED, by=world):
        file_record(world, signed, C)


# --- who may second ------------------------------------------------------------------------------


def test_a_second_person_is_another_person(fresh_world: World, her: Her) -> None:
    world = fresh_world
    signed = sign_record(world, her)
    file_record(world, signed)
    with refused(Reason.NOT_ALLOWED, by=world):
        file_second(world, her, signed, worker=ONE)
    # The same reference at another agency is another agency's worker.
    file_second(world, her, signed, worker=ONE, by=C)


def test_the_recipients_own_staff_second_nothing(fresh_world: World, her: Her) -> None:
    world = fresh_world
    signed = sign_record(world, her)
    file_record(world, signed)
    with refused(Reason.NOT_ALLOWED, by=world):
        file_second(world, her, signed, by=B)
    with refused(Reason.NOT_ALLOWED, by=world):
        file_second(world, her, signed, by=A, caller=C)
    with refused(Reason.SIGNATURE_INVALID, by=world):
        file_second(world, her, signed, key=world.agencies[B].identity)


def test_a_second_is_about_somebody_whom_its_agency_knows(fresh_world: World, her: Her) -> None:
    world = fresh_world
    other = person(world, "ref-of-another")
    signed = sign_record(world, her)
    with refused(Reason.NOT_FOUND, by=world):
        file_second(world, her, signed)  # no such record yet
    file_record(world, signed)
    with refused(Reason.NOT_FOUND, by=world):
        file_second(world, other, signed)
    with refused(Reason.NOT_FOUND, by=world):
        file_second(world, Her(her.card, her.session, "nobody-here"), signed, by=C)


# --- sensitive on one word -----------------------------------------------------------------------


@pytest.mark.parametrize("category", sorted(SENSITIVE))
def test_nothing_sensitive_is_sent_on_one_workers_word(
    fresh_world: World, her: Her, category: str
) -> None:
    world = fresh_world
    signed = sign_record(world, her)
    grant = file_record(world, signed).grant
    # The whole of it is refused, not only the part.
    with refused(Reason.CONSENT_UNCONFIRMED, by=world):
        send(world, grant, tuple(sorted({"CARD", "NAME", category})))
    sent = send(world, grant, PLAIN)
    world.accept(sent)
    assert world.release(sent, "NAME").inner_wrap


@pytest.mark.parametrize("who", ["she", "second"])
def test_a_second_word_lets_it_out(fresh_world: World, her: Her, who: str) -> None:
    world = fresh_world
    signed = sign_record(world, her)
    grant = file_record(world, signed).grant
    if who == "she":
        reply(world, her.session, grant, recorded_pb2.REPLY_YES)
    else:
        file_second(world, her, signed)
    sent = send(world, grant, WITH_SENSITIVE)
    world.accept(sent)
    inner = world.release(sent, "EVENTS").inner_wrap
    assert world.open(sent, "EVENTS", inner) == b"content of EVENTS"


def test_release_asks_again_what_was_asked_when_it_was_sent(fresh_world: World, her: Her) -> None:
    """Whatever let a sensitive part in: on one word it does not open."""
    world = fresh_world
    signed = sign_record(world, her)
    grant = file_record(world, signed).grant
    file_second(world, her, signed)
    sent = send(world, grant, WITH_SENSITIVE)
    world.accept(sent)
    world.app.context.writer.submit(
        lambda txn: txn.connection.exec_driver_sql("UPDATE consent_grant SET seconded = 0")
    )
    with refused(Reason.CONSENT_UNCONFIRMED, by=world):
        world.release(sent, "EVENTS")
    assert world.release(sent, "NAME").inner_wrap


def test_not_sure_is_no_yes(fresh_world: World, her: Her) -> None:
    world = fresh_world
    grant = file_record(world, sign_record(world, her)).grant
    reply(world, her.session, grant, recorded_pb2.REPLY_NOT_SURE)
    with refused(Reason.CONSENT_UNCONFIRMED, by=world):
        send(world, grant, WITH_SENSITIVE)


# --- late ----------------------------------------------------------------------------------------


def test_at_the_second_of_its_lapse_nothing_is_sent_or_opened(fresh_world: World, her: Her) -> None:
    world = fresh_world
    grant = file_record(world, sign_record(world, her)).grant
    not_after = world.now + 20 * DAY_S
    sent = world.authorise(world.seal(grant, PLAIN, not_after=not_after))
    other = world.seal(grant, PLAIN, not_after=not_after)
    world.clock.advance(CONFIRM_WITHIN_S - 1)
    assert world.release(sent, "CARD").inner_wrap
    world.clock.advance(1)  # and nothing was swept
    with refused(Reason.CONSENT_ENDED, by=world):
        world.release(sent, "CARD")
    with refused(Reason.CONSENT_ENDED, by=world):
        world.authorise(other)
    with refused(Reason.CONSENT_ENDED, by=world):
        reply(world, world.sign_in(her.card), grant, recorded_pb2.REPLY_YES)


def test_a_token_does_not_outlive_what_is_not_confirmed(fresh_world: World, her: Her) -> None:
    world = fresh_world
    grant = file_record(world, sign_record(world, her)).grant
    end = world.now + CONFIRM_WITHIN_S
    sealed = world.seal(grant, PLAIN, not_after=world.now + 20 * DAY_S)
    world.clock.advance(CONFIRM_WITHIN_S - 60)
    claims = _claims(world.authorise(sealed).token)
    assert claims["exp"] == end


def _claims(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


# --- no, and made to say yes ---------------------------------------------------------------------


def test_after_no_nothing_opens(fresh_world: World, her: Her) -> None:
    world = fresh_world
    grant = file_record(world, sign_record(world, her)).grant
    sent = send(world, grant, PLAIN)
    reply(world, her.session, grant, recorded_pb2.REPLY_NO)
    with refused(Reason.CONSENT_ENDED, by=world):
        world.release(sent, "CARD")
    assert world.category_key(grant, "CARD") is None


def test_what_she_was_made_to_say_ends_for_good(fresh_world: World, her: Her) -> None:
    world = fresh_world
    grant = world.grant(her.session)
    sent = world.send(grant)
    done = world.stop_grant(her.session, grant, pb.STOP_MODE_INVALIDATE)
    assert (done.grant.state, done.grant.end_cause) == (pb.GRANT_STATE_REVOKED, "invalidated")
    assert b'"why":"coercion"' in done.stop_receipt.body
    assert b'"cause":"invalidated"' in done.revoke_receipt.body
    assert world.category_key(grant, "CARD") is None
    # The recipient hears what it hears of every stop.
    with refused(Reason.CONSENT_ENDED, by=world):
        world.release(sent, "CARD")
    with refused(Reason.CONSENT_ENDED, by=world):
        world.resume_grant(her.session, grant)


def test_a_stopped_grant_can_still_be_invalidated_and_an_ended_one_not(
    fresh_world: World, her: Her
) -> None:
    world = fresh_world
    grant = world.grant(her.session)
    first = world.stop_grant(her.session, grant)
    done = world.stop_grant(her.session, grant, pb.STOP_MODE_INVALIDATE)
    assert done.stop_receipt.index == first.stop_receipt.index
    assert done.grant.end_cause == "invalidated"
    again = world.stop_grant(her.session, grant, pb.STOP_MODE_INVALIDATE)
    assert again.revoke_receipt.index == done.revoke_receipt.index
    over = world.grant(her.session)
    world.clock.advance(90 * DAY_S)
    with refused(Reason.CONSENT_ENDED, by=world):
        world.stop_grant(world.sign_in(her.card), over, pb.STOP_MODE_INVALIDATE)


# --- guardians -----------------------------------------------------------------------------------


@dataclass
class Ward:
    """Somebody who needs a guardian's signature, and the guardian, signed in."""

    her: Her
    guardian: str
    session: bytes


def ward(world: World, ref: str) -> Ward:
    her = person(world, ref)
    card = world.new_card()
    agency = world.agency(A)
    agency.SetCosign(
        guardians_pb2.SetCosignRequest(
            request_id=new_request_id(), subject_ref=ref, cosign=True, alone_purposes=[]
        )
    )
    guardian = agency.RegisterGuardian(
        guardians_pb2.RegisterGuardianRequest(
            request_id=new_request_id(), subject_ref=ref, card_number=card.number, pin=card.pin
        )
    ).guardian
    session = (
        world.portal()
        .OpenGuardianSession(
            guardians_pb2.OpenGuardianSessionRequest(card_number=card.number, pin=card.pin)
        )
        .session
    )
    return Ward(her, guardian, session)


def cosign(world: World, session: bytes, grant: str) -> None:
    world.portal().CosignGrant(
        guardians_pb2.CosignGrantRequest(request_id=new_request_id(), session=session, grant=grant)
    )


def waits(world: World, session: bytes) -> list[str]:
    request = guardians_pb2.ListCosignRequestsRequest(session=session)
    return [one.grant for one in world.portal().ListCosignRequests(request).requests]


def test_nothing_is_sent_before_the_guardian_signs(fresh_world: World) -> None:
    world = fresh_world
    one = ward(world, "ward-one")
    grant = world.grant(one.her.session)
    with refused(Reason.CONSENT_UNCONFIRMED, by=world):
        world.send(grant, ("CARD",))
    cosign(world, one.session, grant)
    sent = world.send(grant, ("CARD",))
    assert world.release(sent, "CARD").inner_wrap


def test_release_asks_again_whether_the_guardian_signed(fresh_world: World) -> None:
    world = fresh_world
    one = ward(world, "ward-one")
    grant = world.grant(one.her.session)
    cosign(world, one.session, grant)
    sent = world.send(grant)
    end = world.now + DAY_S
    world.app.context.writer.submit(
        lambda txn: txn.connection.exec_driver_sql(f"UPDATE consent_grant SET cosign_by = {end}")
    )
    with refused(Reason.CONSENT_UNCONFIRMED, by=world):
        world.release(sent, "CARD")


def test_a_recorded_grant_of_a_ward_waits_for_both(fresh_world: World) -> None:
    world = fresh_world
    one = ward(world, "ward-one")
    signed = sign_record(world, one.her)
    grant = file_record(world, signed).grant
    file_second(world, one.her, signed)
    with refused(Reason.CONSENT_UNCONFIRMED, by=world):
        send(world, grant, ("CARD",))
    cosign(world, one.session, grant)
    send(world, grant, WITH_SENSITIVE)
    world.clock.advance(CONFIRM_WITHIN_S)
    with refused(Reason.CONSENT_ENDED, by=world):
        send(world, grant, ("CARD",))


def test_a_barred_guardian_with_a_live_session_sees_and_signs_nothing(fresh_world: World) -> None:
    world = fresh_world
    one = ward(world, "ward-one")
    grant = world.grant(one.her.session)
    assert waits(world, one.session) == [grant]
    # Another agency that knows her, which filed nothing and need not say whom it means.
    world.agency(C).ExcludeGuardian(
        guardians_pb2.ExcludeGuardianRequest(
            request_id=new_request_id(), subject_ref="ward-one", guardian=""
        )
    )
    with refused(Reason.SESSION_INVALID, by=world):
        waits(world, one.session)
    with refused(Reason.SESSION_INVALID, by=world):
        cosign(world, one.session, grant)


def test_the_bar_holds_although_a_session_row_is_left(fresh_world: World) -> None:
    """The bar is asked in the same query that finds the session, not only when it is set."""
    world = fresh_world
    one = ward(world, "ward-one")
    grant = world.grant(one.her.session)
    end = world.now
    world.app.context.writer.submit(
        lambda txn: txn.connection.exec_driver_sql(
            f"UPDATE guardian SET excluded_at = {end}, excluded_by = 'self'"
        )
    )
    with refused(Reason.SESSION_INVALID, by=world):
        waits(world, one.session)
    with refused(Reason.SESSION_INVALID, by=world):
        cosign(world, one.session, grant)


def test_a_barred_card_is_never_filed_again(fresh_world: World) -> None:
    world = fresh_world
    her = person(world, "ward-one")
    card = world.new_card()

    def register(agency: str, ref: str) -> Any:
        return world.agency(agency).RegisterGuardian(
            guardians_pb2.RegisterGuardianRequest(
                request_id=new_request_id(), subject_ref=ref, card_number=card.number, pin=card.pin
            )
        )

    guardian = register(A, her.ref).guardian
    exclude = guardians_pb2.ExcludeGuardianRequest(
        request_id=new_request_id(), subject_ref=her.ref, guardian=guardian
    )
    world.agency(A).ExcludeGuardian(exclude)
    for agency in (A, C):
        with refused(Reason.NOT_ALLOWED):
            register(agency, her.ref)
    other = person(world, "ward-two")
    with refused(Reason.ALREADY_EXISTS):
        register(A, other.ref)
    with refused(Reason.SIGN_IN_FAILED):
        world.portal().OpenGuardianSession(
            guardians_pb2.OpenGuardianSessionRequest(card_number=card.number, pin=card.pin)
        )


def test_a_guardian_reads_and_signs_for_his_own_ward_alone(fresh_world: World) -> None:
    world = fresh_world
    one, two = ward(world, "ward-one"), ward(world, "ward-two")
    grant, other = world.grant(one.her.session), world.grant(two.her.session)
    assert waits(world, one.session) == [grant]
    with refused(Reason.NOT_FOUND, by=world):
        cosign(world, one.session, other)
    with refused(Reason.NOT_FOUND, by=world):
        cosign(world, one.session, "0" * 32)
    with refused(Reason.CONSENT_UNCONFIRMED, by=world):
        world.send(other)


def test_whom_an_agency_does_not_know_it_bars_nobody_of(fresh_world: World) -> None:
    world = fresh_world
    one = ward(world, "ward-one")
    for guardian in ("", one.guardian):
        with refused(Reason.NOT_FOUND):
            world.agency(C).ExcludeGuardian(
                guardians_pb2.ExcludeGuardianRequest(
                    request_id=new_request_id(), subject_ref="nobody-here", guardian=guardian
                )
            )
    # Nor anybody who is another person's.
    two = ward(world, "ward-two")
    world.agency(C).ExcludeGuardian(
        guardians_pb2.ExcludeGuardianRequest(
            request_id=new_request_id(), subject_ref="ward-two", guardian=one.guardian
        )
    )
    assert waits(world, one.session) == waits(world, two.session) == []


def test_a_guardian_grants_nothing(fresh_world: World) -> None:
    world = fresh_world
    one = ward(world, "ward-one")
    with refused(Reason.SESSION_INVALID, by=world):
        world.grant(one.session)


def test_the_answer_to_a_referral_is_still_taken(fresh_world: World, her: Her) -> None:
    """What ends sharing ends no help: an answer is taken after a no as after a stop."""
    world = fresh_world
    grant = file_record(world, sign_record(world, her)).grant
    sent = send(world, grant, PLAIN)
    reply(world, her.session, grant, recorded_pb2.REPLY_NO)
    assert world.record_answer(world.signed_answer(sent.sealed, ACCEPT)).ack


def test_a_no_between_the_entry_and_the_answer_keeps_the_key_back(
    fresh_world: World, her: Her
) -> None:
    """Her no takes the gate as a stop does."""
    world = fresh_world
    grant = file_record(world, sign_record(world, her)).grant
    sent = send(world, grant, PLAIN)
    handed: list[str] = []
    world.app.hooks.release_handed = lambda which, _at: handed.append(which)
    size = world.size
    failpoints.arm("consent.writer.committed=sleep:0.4")
    outcome = in_background(lambda: world.release(sent))
    wait_for(lambda: world.app.context.writer.head.size > size)
    reply(world, her.session, grant, recorded_pb2.REPLY_NO)
    failpoints.arm("")
    with refused(Reason.CONSENT_ENDED):
        outcome()
    assert not handed
    assert world.size == size + 3  # DISCLOSE, then STOP and REVOKE

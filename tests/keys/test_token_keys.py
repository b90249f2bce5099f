"""Token keys: published before they sign, verified after they did, gone when they are stolen."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from safehand.consent.v1 import keys_pb2, keys_pb2_grpc
from safehand_consent_service.token_keys import LEAD_S, LIFE_S, VERIFY_S, Schedule
from safehand_core.clock import ManualClock
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import signing
from safehand_formats.answer import SignedAnswerAck
from safehand_formats.token import MAX_LIFETIME_S, token_key_id
from safehand_referral_service import token_keys as followed
from safehand_referral_service.token_keys import POLL_S, TokenKey, TokenKeys

from tests.consent.release.world import Sent, World, new_request_id, refused, wait_for
from tests.keys.both import Both


def listed(consent: World) -> list[keys_pb2.TokenKey]:
    stub = keys_pb2_grpc.KeyServiceStub(consent.channel("service", "referral"))
    return list(stub.ListTokenKeys(keys_pb2.ListTokenKeysRequest()).keys)


def operator(consent: World) -> keys_pb2_grpc.KeyServiceStub:
    return keys_pb2_grpc.KeyServiceStub(consent.channel("operator", "consent"))


def private_files(consent: World) -> set[str]:
    found = (path.stem for path in consent.settings.keys_dir.glob("token*.pem"))
    return set(found)


def signer(consent: World) -> str:
    return token_key_id(signing.public_bytes(consent.app.context.token_key))


def to(consent: World, at: int) -> None:
    consent.clock.advance(at - consent.now)
    consent.app.rotation.once()


# --- consent --------------------------------------------------------------------------------------


def test_a_keys_whole_life(consent: World) -> None:
    (first,) = listed(consent)
    began = first.signs_from.seconds
    assert signer(consent) == first.kid
    to(consent, began + LIFE_S - LEAD_S - 1)
    assert [key.kid for key in listed(consent)] == [first.kid]

    to(consent, began + LIFE_S - LEAD_S)
    known, following = listed(consent)
    assert known.kid == signer(consent) == first.kid
    assert following.signs_from.seconds == consent.now + LEAD_S == began + LIFE_S
    assert known.ends_at.seconds == began + LIFE_S + VERIFY_S
    assert not following.HasField("ends_at")

    consent.clock.advance(LEAD_S - 1)
    assert signer(consent) == first.kid
    consent.clock.advance(1)
    assert signer(consent) == following.kid, "it signs in time, though no thread looked"
    consent.app.rotation.once()
    assert private_files(consent) == {"token.1"}, "what signs no more is destroyed"
    assert [key.kid for key in listed(consent)] == [first.kid, following.kid]

    to(consent, began + LIFE_S + VERIFY_S)
    assert [key.kid for key in listed(consent)] == [following.kid]


def test_the_lead_is_longer_than_a_token_and_a_look() -> None:
    assert LEAD_S >= MAX_LIFETIME_S + POLL_S
    assert VERIFY_S >= MAX_LIFETIME_S
    with pytest.raises(ValueError, match="life"):
        Schedule(life_s=10, lead_s=10)


def test_a_restart_in_every_part_of_a_life(consent: World) -> None:
    (first,) = listed(consent)
    for at in (LIFE_S - LEAD_S, LIFE_S - 1, LIFE_S, LIFE_S + VERIFY_S):
        consent.stop()
        consent.clock.advance(first.signs_from.seconds + at - consent.now)
        consent.start()
        if consent.app.context.writer.clock_suspect:  # off for more than a week
            consent.app.context.writer.confirm_clock()
            consent.app.rotation.once()
        consent.send(consent.grant(consent.session()))
    assert first.kid not in {key.kid for key in listed(consent)}


def test_a_key_whose_private_half_is_gone_is_replaced_at_once(consent: World) -> None:
    (first,) = listed(consent)
    consent.stop()
    (consent.settings.keys_dir / "token.pem").unlink()
    consent.start()
    assert [key.kid for key in listed(consent)] == [first.kid, signer(consent)]
    consent.send(consent.grant(consent.session()))


def test_an_operator_may_be_early(consent: World) -> None:
    (first,) = listed(consent)
    request = keys_pb2.RotateTokenKeyRequest(request_id=new_request_id())
    made = operator(consent).RotateTokenKey(request).key
    assert made.signs_from.seconds == consent.now + LEAD_S
    assert operator(consent).RotateTokenKey(request).key == made
    another = keys_pb2.RotateTokenKeyRequest(request_id=new_request_id())
    assert operator(consent).RotateTokenKey(another).key == made, "one is waiting already"
    assert signer(consent) == first.kid


def test_a_stolen_key_ends_at_once(consent: World) -> None:
    (first,) = listed(consent)
    request = keys_pb2.RotateTokenKeyRequest(request_id=new_request_id(), stolen=True)
    made = operator(consent).RotateTokenKey(request).key
    assert [key.kid for key in listed(consent)] == [made.kid] == [signer(consent)]
    assert made.kid != first.kid
    assert private_files(consent) == {"token.1"}


def test_an_acknowledgement_is_signed_by_the_key_of_now(consent: World) -> None:
    """A party that asks again months later gets what referral can verify."""
    sent = consent.send(consent.grant(consent.session()))
    signed = consent.signed_answer(sent.sealed)
    first = consent.record_answer(signed)
    to(consent, consent.now + LIFE_S - LEAD_S)
    to(consent, consent.now + LEAD_S + VERIFY_S)
    again = consent.record_answer(signed)
    assert again.ack == first.ack
    assert again.ack_signature != first.ack_signature
    (only,) = listed(consent)
    SignedAnswerAck(again.ack, again.ack_signature).verify(only.public)


def test_only_the_referral_service_follows_and_only_the_operator_rotates(consent: World) -> None:
    agency = keys_pb2_grpc.KeyServiceStub(consent.channel("agency", "agency-a"))
    with refused(Reason.NOT_ALLOWED):
        agency.ListTokenKeys(keys_pb2.ListTokenKeysRequest())
    with refused(Reason.NOT_ALLOWED):
        agency.RotateTokenKey(keys_pb2.RotateTokenKeyRequest(request_id=new_request_id()))


# --- referral -------------------------------------------------------------------------------------


class Answers:
    """What consent would list."""

    def __init__(self, *keys: TokenKey) -> None:
        self.keys = list(keys)
        self.asked = 0
        self.away = False

    def token_keys(self) -> list[TokenKey]:
        self.asked += 1
        if self.away:
            raise SafehandError(Reason.UNAVAILABLE)
        return self.keys

    def close(self) -> None: ...


def public(number: int) -> bytes:
    return bytes([number]) * 32


def kid(number: int) -> str:
    return token_key_id(public(number))


def test_an_unknown_key_is_asked_for_at_once_and_not_in_a_flood() -> None:
    clock, source = ManualClock(), Answers(TokenKey(public(1), None))
    keys = TokenKeys({}, clock, source)
    assert keys.get(kid(1)) == public(1)
    for _ in range(50):
        assert keys.get(kid(2)) is None
    assert source.asked == followed.ASKS
    source.keys.append(TokenKey(public(2), None))
    clock.advance(followed.ASK_AGAIN_S)
    assert keys.get(kid(2)) == public(2)


def test_what_consent_lists_takes_the_place_of_what_was_pinned() -> None:
    clock, source = ManualClock(), Answers(TokenKey(public(2), None))
    keys = TokenKeys({kid(1): public(1)}, clock, source)
    assert keys.get(kid(1)) == public(1)
    keys.refresh()
    assert keys.get(kid(1)) is None
    assert dict(keys) == {kid(2): public(2)}


def test_while_consent_is_away_the_last_list_counts_and_ends_in_time() -> None:
    clock = ManualClock()
    source = Answers(TokenKey(public(1), clock.wall() + 100), TokenKey(public(2), None))
    keys = TokenKeys({}, clock, source)
    keys.refresh()
    source.away = True
    clock.advance(99)
    keys.refresh()
    assert set(keys) == {kid(1), kid(2)}
    clock.advance(1)
    assert set(keys) == {kid(2)}


def test_an_empty_list_is_no_answer() -> None:
    keys = TokenKeys({kid(1): public(1)}, ManualClock(), Answers())
    keys.refresh()
    assert keys.changes == 0
    assert dict(keys) == {kid(1): public(1)}


def test_a_key_that_another_thread_just_learned_is_known() -> None:
    """What is asked for while somebody else asks is not refused."""
    clock, source = ManualClock(), Answers(TokenKey(public(1), None))
    keys = TokenKeys({}, clock, source)
    for _ in range(followed.ASKS):
        keys.refresh()
    asked = source.asked

    def meanwhile() -> bool:
        """This thread may not ask any more, but another one has."""
        keys._known = {kid(2): TokenKey(public(2), None)}
        return False

    keys._may_ask = meanwhile  # type: ignore[method-assign]
    assert keys.get(kid(2)) == public(2)
    assert source.asked == asked


# --- both, under load -----------------------------------------------------------------------------


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    made = Both(tmp_path)
    yield made
    made.stop()


@pytest.mark.slow
def test_no_request_fails_while_keys_change_every_three_seconds(both: Both) -> None:
    consent = both.consent
    session = consent.session()
    first = {key.kid for key in listed(consent)}
    seen: set[str] = set()
    done = threading.Event()
    errors: list[Exception] = []
    accepted: list[Sent] = []

    def rotate() -> None:
        while not done.wait(0.1):
            consent.app.rotation.once()
            seen.update(key.kid for key in listed(consent))

    def work() -> None:
        while not done.is_set():
            try:
                sent = consent.send(consent.grant(session))
                both.create(sent)
                both.accept(sent)
                accepted.append(sent)
            except Exception as error:
                errors.append(error)
                return

    threads = [threading.Thread(target=target) for target in (rotate, work, work)]
    for thread in threads:
        thread.start()
    try:
        end = time.monotonic() + 60
        while len(seen | first) < 5 and not errors and time.monotonic() < end:
            time.sleep(0.05)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not errors
    assert len(seen | first) >= 5
    assert accepted


def test_a_key_that_was_replaced_as_stolen_is_known_at_the_next_token(both: Both) -> None:
    consent = both.consent
    early = consent.send(consent.grant(consent.session()))
    request = keys_pb2.RotateTokenKeyRequest(request_id=new_request_id(), stolen=True)
    made = operator(consent).RotateTokenKey(request).key
    late = consent.send(consent.grant(consent.session()))
    both.create(late)
    assert set(both.referral.context.token_keys) >= {made.kid}
    with refused(Reason.TOKEN_INVALID):
        both.create(early)
    # The same manifest is authorised again, as a client does.
    both.create(consent.authorise(early.sealed))
    wait_for(lambda: both.accept(late).referral == late.sealed.referral)


def test_a_stolen_and_replaced_key_does_not_outlive_a_restart_of_referral(tmp_path: Path) -> None:
    """Also where its file is still pinned: consent's list takes its place before anything else."""
    made = Both(tmp_path, pinned=str(tmp_path / "c" / "keys" / "public" / "token.hex"))
    try:
        assert made.settings.token_key_file is not None
        (pinned,) = made.settings.token_keys()
        request = keys_pb2.RotateTokenKeyRequest(request_id=new_request_id(), stolen=True)
        operator(made.consent).RotateTokenKey(request)
        made.referral.server.drain(0, settle_s=0)
        made.referral.close()
        from safehand_referral_service import app as referral_app

        made.referral = referral_app.build(
            made.settings, clock=made.consent.clock, entropy=made.consent.app.context.entropy
        )
        made.referral.start()
        assert pinned not in made.referral.context.token_keys
    finally:
        made.stop()

"""Signing in: one answer for every wrong try, few tries, and a session that ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from argon2 import PasswordHasher
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import consent_pb2_grpc
from safehand_consent_service.sessions import IDLE_S
from safehand_consent_service.throttle import EARN_BACK_S, TRIES
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_rpc.tls import channel_credentials, read_material

from tests.consent.refusals import refused
from tests.consent.world import PIN, World, card

WRONG = "000000"


@pytest.fixture
def known(world: World) -> World:
    """Card 1 is on file at haven; card 9 never is."""
    world.register("haven", 1, "her-at-haven")
    return world


def raw_refusal(world: World, number: str, pin: str) -> tuple[Any, str, list[tuple[str, bytes]]]:
    """Everything that the wire tells a caller about a refused sign-in."""
    channel = grpc.secure_channel(
        f"127.0.0.1:{world.port}",
        channel_credentials(read_material(world.tls["portal"])),
        options=[("grpc.ssl_target_name_override", "consent.safehand.example")],
    )
    with channel, pytest.raises(grpc.RpcError) as caught:
        consent_pb2_grpc.ConsentServiceStub(channel).OpenSession(
            pb.OpenSessionRequest(card_number=number, pin=pin), timeout=10
        )
    call: Any = caught.value
    metadata = sorted((key, value) for key, value in call.trailing_metadata())
    return call.code(), call.details(), metadata


def test_card_and_pin_open_a_session_of_ten_minutes(known: World) -> None:
    answer = known.portal.OpenSession(pb.OpenSessionRequest(card_number=card(1), pin=PIN))
    assert len(answer.session) == 32
    assert answer.expires_at.seconds == known.clock.wall() + IDLE_S == known.clock.wall() + 600


def test_a_wrong_card_and_a_wrong_pin_get_the_same_bytes(known: World) -> None:
    wrong_pin = raw_refusal(known, card(1), WRONG)
    wrong_card = raw_refusal(known, card(9), PIN)
    wrong_digit = raw_refusal(known, card(1)[:-1] + str((int(card(1)[-1]) + 1) % 10), PIN)
    assert wrong_pin == wrong_card == wrong_digit
    assert wrong_pin[0] is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("given", ["", "12345678"], ids=["alone", "with a number"])
def test_a_wrong_card_and_a_wrong_pin_take_the_same_work(
    known: World, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    checked: list[str] = []
    verify = PasswordHasher.verify

    def counted(self: PasswordHasher, hash: str, password: bytes) -> bool:
        checked.append(hash.rsplit("$", 2)[0])
        return verify(self, hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    for number, pin in ((card(1), WRONG), (card(9), PIN)):
        with refused(Reason.SIGN_IN_FAILED):
            known.portal.OpenSession(
                pb.OpenSessionRequest(card_number=number, pin=pin, worker_number=given)
            )
    assert len(checked) == 2
    assert checked[0] == checked[1]  # the same parameters


def test_the_dummy_pin_opens_nothing(known: World) -> None:
    cards = known.app.context.cards
    assert not cards.pin_matches(None, PIN)
    assert not cards.pin_matches(None, "no PIN has letters")


@pytest.mark.parametrize("number", [1, 9])
def test_five_tries_then_one_more_every_three_minutes(known: World, number: int) -> None:
    for _ in range(TRIES):
        with refused(Reason.SIGN_IN_FAILED):
            known.sign_in(number, WRONG)
    with refused(Reason.THROTTLED) as caught:
        known.sign_in(number, PIN)
    assert caught.value.retry_after_s == EARN_BACK_S
    known.clock.advance(EARN_BACK_S - 1)
    with refused(Reason.THROTTLED) as caught:
        known.sign_in(number, PIN)
    assert caught.value.retry_after_s == 1
    known.clock.advance(1)
    with refused(Reason.SIGN_IN_FAILED):
        known.sign_in(number, WRONG)
    with refused(Reason.THROTTLED):
        known.sign_in(number, WRONG)


def test_she_is_never_locked_out_for_longer_than_three_minutes(known: World) -> None:
    for _ in range(TRIES + 20):
        with pytest.raises(SafehandError):
            known.sign_in(1, WRONG)
    known.clock.advance(EARN_BACK_S)
    assert known.sign_in(1)


def test_a_throttled_card_does_not_slow_another(known: World) -> None:
    known.register("haven", 2, "another-one")
    for _ in range(TRIES + 1):
        with pytest.raises(SafehandError):
            known.sign_in(1, WRONG)
    assert known.sign_in(2)


def test_the_right_pin_gives_all_tries_back(known: World) -> None:
    for _ in range(3):
        for _ in range(TRIES - 1):
            with refused(Reason.SIGN_IN_FAILED):
                known.sign_in(1, WRONG)
        known.sign_in(1)
    assert known.rows("SELECT count(*) FROM throttle") == [(0,)]


def test_tries_at_the_same_time_count_like_tries_in_a_row(known: World) -> None:
    reasons: list[Reason] = []
    start = threading.Barrier(12)
    portal = known.portal

    def go() -> None:
        start.wait()
        try:
            portal.OpenSession(pb.OpenSessionRequest(card_number=card(1), pin=WRONG))
        except SafehandError as error:
            reasons.append(error.reason)

    threads = [threading.Thread(target=go) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reasons) == [Reason.SIGN_IN_FAILED] * TRIES + [Reason.THROTTLED] * 7


def test_earned_tries_are_forgotten_by_the_sweep(known: World) -> None:
    with refused(Reason.SIGN_IN_FAILED):
        known.sign_in(9, WRONG)
    known.sweep()
    assert known.rows("SELECT count(*) FROM throttle") == [(1,)]
    known.clock.advance(EARN_BACK_S)
    known.sweep()
    assert known.rows("SELECT count(*) FROM throttle") == [(0,)]


def test_a_session_ends_to_the_second_and_these_calls_do_not_extend_it(known: World) -> None:
    session = known.sign_in(1)
    known.clock.advance(IDLE_S - 1)
    known.portal.ListGrants(pb.ListGrantsRequest(session=session))
    known.clock.advance(1)
    with refused(Reason.SESSION_INVALID):
        known.portal.ListGrants(pb.ListGrantsRequest(session=session))
    known.sweep()
    assert known.rows("SELECT count(*) FROM session") == [(0,)]


def test_leaving_ends_the_session_on_the_server(known: World) -> None:
    session, other = known.sign_in(1), known.sign_in(1)
    known.portal.CloseSession(pb.CloseSessionRequest(session=session))
    with refused(Reason.SESSION_INVALID):
        known.portal.ListGrants(pb.ListGrantsRequest(session=session))
    known.portal.ListGrants(pb.ListGrantsRequest(session=other))
    known.portal.CloseSession(pb.CloseSessionRequest(session=session))


def test_a_session_is_not_in_the_database(known: World) -> None:
    session = known.sign_in(1)
    assert known.rows("SELECT count(*) FROM session WHERE session_hash = ?", session) == [(0,)]
    assert known.rows("SELECT count(*) FROM session") == [(1,)]


def test_every_method_of_hers_needs_her_session(known: World) -> None:
    no_session = bytes(32)
    portal, grant = known.portal, "0" * 32
    calls: list[Callable[[], Any]] = [
        lambda: portal.ListSharingOptions(pb.ListSharingOptionsRequest(session=no_session)),
        lambda: known.grant(no_session),
        lambda: known.stop_grant(no_session, grant),
        lambda: known.resume_grant(no_session, grant),
        lambda: portal.ListGrants(pb.ListGrantsRequest(session=no_session)),
        lambda: portal.ListLooks(pb.ListLooksRequest(session=no_session)),
        lambda: known.receipt(no_session, grant),
    ]
    for call in calls:
        with refused(Reason.SESSION_INVALID):
            call()

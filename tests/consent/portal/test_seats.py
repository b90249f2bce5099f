"""Her session at her pages: how long it lives, when it asks for her PIN, and what replaces it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from safehand.consent.v1 import consent_pb2, stops_pb2
from safehand.consent.v1 import portal_pb2 as pb
from safehand_consent_service.seats import KEEP_EVERY_S, Seats
from safehand_consent_service.sessions import COVER_S, IDLE_S
from safehand_consent_service.throttle import EARN_BACK_S, TRIES
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store.prepared import Prepared

from tests.consent.portal.seats_world import (
    NUMBER,
    OWN_PIN,
    WRONG,
    change_pin,
    close,
    home,
    lock,
    own,
    pages,
    sign_in,
    speak,
    unlock,
)
from tests.consent.refusals import refused
from tests.consent.world import PIN, World, card


@pytest.fixture
def known(world: World) -> World:
    """Her card is on file at haven, with a PIN that haven has seen."""
    world.register("haven", NUMBER, "her-at-haven")
    return world


def sessions_kept(world: World) -> int:
    return int(world.rows("SELECT count(*) FROM session")[0][0])


# --- how long it lives --------------------------------------------------------------------------


def test_it_ends_ten_minutes_after_her_last_press_to_the_second(known: World) -> None:
    session = own(known)
    seat = home(known, session).seat
    assert seat.expires_at.seconds == known.clock.wall() + IDLE_S == known.clock.wall() + 600
    known.clock.advance(IDLE_S - 1)
    assert home(known, session).seat.expires_at.seconds == known.clock.wall() + IDLE_S
    known.clock.advance(IDLE_S - 1)
    home(known, session)
    known.clock.advance(IDLE_S)
    with refused(Reason.SESSION_INVALID):
        home(known, session)


def test_it_is_written_at_most_once_a_minute(known: World) -> None:
    session = own(known)
    seen = set()
    for _ in range(KEEP_EVERY_S // 10 * 3):
        known.clock.advance(10)
        seen.add(home(known, session).seat.expires_at.seconds)
    assert len(seen) == 4  # as it was opened, and once in each of three minutes


def test_what_it_says_of_its_end_is_so(known: World) -> None:
    session = own(known)
    known.clock.advance(KEEP_EVERY_S - 1)
    ends = home(known, session).seat.expires_at.seconds
    assert ends == known.clock.wall() + IDLE_S - KEEP_EVERY_S + 1
    known.clock.advance(ends - known.clock.wall())
    with refused(Reason.SESSION_INVALID):
        home(known, session)


def test_calls_of_consent_service_do_not_keep_it_alive(known: World) -> None:
    session = own(known)
    known.clock.advance(IDLE_S - 1)
    known.portal.ListGrants(consent_pb2.ListGrantsRequest(session=session))
    known.clock.advance(1)
    with refused(Reason.SESSION_INVALID):
        home(known, session)


def test_two_hours_after_it_was_opened_it_asks_for_the_pin(known: World) -> None:
    close(known, own(known))
    session = sign_in(known, OWN_PIN)
    opened = known.clock.wall()
    for _ in range(COVER_S // 480):
        assert home(known, session).seat.covered_at.seconds == opened + COVER_S
        known.clock.advance(480)
    assert known.clock.wall() == opened + COVER_S
    with refused(Reason.SESSION_COVERED):
        home(known, session)
    fresh = unlock(known, session)
    assert fresh.seat.covered_at.seconds == known.clock.wall() + COVER_S
    home(known, fresh.session)


def test_a_covered_session_ends_too(known: World) -> None:
    session = own(known)
    lock(known, session)
    known.clock.advance(IDLE_S - 1)
    lock(known, session)
    with refused(Reason.SESSION_COVERED):
        home(known, session)
    known.clock.advance(1)
    with refused(Reason.SESSION_INVALID):
        unlock(known, session)


def test_reading_goes_on_while_nothing_can_be_written(
    known: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = own(known)
    known.clock.advance(2 * KEEP_EVERY_S)
    before = known.rows("SELECT expires_at FROM session")
    tried: list[None] = []

    def full(*_: Any, **__: Any) -> Any:
        tried.append(None)
        raise SafehandError(Reason.UNAVAILABLE)

    with monkeypatch.context() as patch:
        patch.setattr(known.app.context.writer, "submit", full)
        home(known, session)
    assert len(tried) == 1
    assert known.rows("SELECT expires_at FROM session") == before
    home(known, session)
    assert known.rows("SELECT expires_at FROM session") != before


def test_a_stop_waits_for_no_write_of_its_session_but_in_the_last_minute(
    known: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = own(known)
    seats = Seats(known.app.context)
    known.clock.advance(IDLE_S - KEEP_EVERY_S - 1)
    with monkeypatch.context() as patch:
        patch.setattr(known.app.context.writer, "submit", None)
        ends = seats.take_to_stop(session).expires_at
    known.clock.advance(1)
    assert seats.take_to_stop(session).expires_at == ends + IDLE_S - KEEP_EVERY_S


# --- covered ------------------------------------------------------------------------------------


def test_a_covered_session_opens_nothing_but_its_end_and_its_unlocking(known: World) -> None:
    session = own(known)
    lock(known, session)
    number, grant = "0000000000", "0" * 32
    portal, mine, rid = known.portal, pages(known), known.request_id
    calls: dict[str, Callable[[], Any]] = {
        "GetHome": lambda: home(known, session),
        "SetLanguage": lambda: speak(known, session),
        "ChangePin": lambda: change_pin(known, session, OWN_PIN, "975310"),
        "ListSharing": lambda: mine.ListSharing(pb.ListSharingRequest(session=session)),
        "GetSharing": lambda: mine.GetSharing(pb.GetSharingRequest(session=session, number=number)),
        "ListSeen": lambda: mine.ListSeen(pb.ListSeenRequest(session=session)),
        "StopSharing": lambda: mine.StopSharing(
            pb.StopSharingRequest(request_id=rid(), session=session, number=number)
        ),
        "StopEverything": lambda: mine.StopEverything(
            pb.StopEverythingRequest(request_id=rid(), session=session)
        ),
        "ListGrants": lambda: portal.ListGrants(consent_pb2.ListGrantsRequest(session=session)),
        "ListLooks": lambda: portal.ListLooks(consent_pb2.ListLooksRequest(session=session)),
        "ListSharingOptions": lambda: portal.ListSharingOptions(
            consent_pb2.ListSharingOptionsRequest(session=session)
        ),
        "Grant": lambda: known.grant(session),
        "StopGrant": lambda: known.stop_grant(session, grant),
        "ResumeGrant": lambda: known.resume_grant(session, grant),
        "GetReceipt": lambda: known.receipt(session, grant),
    }
    for name, call in calls.items():
        with refused(Reason.SESSION_COVERED):
            call()
            pytest.fail(f"{name} is open to a covered session")
    close(known, session)
    with refused(Reason.SESSION_INVALID):
        unlock(known, session)


def test_covering_says_nothing_about_what_it_covers(known: World) -> None:
    session = own(known)
    over = bytes(32)
    answers = [
        pages(known).LockSession(pb.LockSessionRequest(session=one)).SerializeToString()
        for one in (session, session, over)
    ]
    assert answers == [b""] * 3
    with refused(Reason.SESSION_INVALID):
        home(known, over)


def test_unlocking_puts_a_new_session_in_the_place_of_the_covered_one(known: World) -> None:
    sign_in(known)
    known.clock.advance(60)
    session = own(known, language="ar", shared_device=True)
    before = home(known, session)
    lock(known, session)
    answer = unlock(known, session)
    assert answer.session != session
    for call in (home, unlock):
        with refused(Reason.SESSION_INVALID):
            call(known, session)
    after = home(known, answer.session)
    assert (after.seat.language, after.seat.shared_device) == ("ar", True)
    assert after.previous_sign_in == before.previous_sign_in
    assert answer.seat.expires_at.seconds == known.clock.wall() + IDLE_S


def test_a_wrong_pin_unlocks_nothing_and_the_right_one_still_does(known: World) -> None:
    session = own(known)
    lock(known, session)
    for _ in range(TRIES - 1):
        with refused(Reason.SIGN_IN_FAILED):
            unlock(known, session, WRONG)
    with refused(Reason.SESSION_COVERED):
        home(known, session)
    assert home(known, unlock(known, session).session)
    lock(known, sign_in(known, OWN_PIN))


def test_unlocking_is_throttled_with_the_card(known: World) -> None:
    session = own(known)
    lock(known, session)
    for _ in range(TRIES):
        with refused(Reason.SIGN_IN_FAILED):
            unlock(known, session, WRONG)
    for call in (
        lambda: unlock(known, session),
        lambda: sign_in(known, OWN_PIN),
    ):
        with refused(Reason.THROTTLED) as caught:
            call()
        assert 0 < (caught.value.retry_after_s or 0) <= EARN_BACK_S


# --- her PIN ------------------------------------------------------------------------------------


def test_a_pin_that_somebody_else_has_seen_comes_first(known: World) -> None:
    session = sign_in(known)
    calls: list[Callable[[], Any]] = [
        lambda: home(known, session),
        lambda: pages(known).ListSharing(pb.ListSharingRequest(session=session)),
        lambda: pages(known).ListSeen(pb.ListSeenRequest(session=session)),
        lambda: pages(known).GetSteps(pb.GetStepsRequest(session=session)),
    ]
    for call in calls:
        with refused(Reason.PIN_CHANGE_REQUIRED):
            call()
    assert speak(known, session).seat.must_change_pin
    lock(known, session)
    session = unlock(known, session, PIN).session
    answer = change_pin(known, session)
    assert not answer.seat.must_change_pin
    assert not home(known, answer.session).seat.must_change_pin
    assert not home(known, sign_in(known, OWN_PIN)).seat.must_change_pin


def test_she_stops_everything_without_changing_her_pin(known: World) -> None:
    session = sign_in(known)
    grant = known.grant(session).grant.grant
    pages(known).StopEverything(
        pb.StopEverythingRequest(request_id=known.request_id(), session=session)
    )
    assert known.view(session, grant).state == consent_pb2.GRANT_STATE_STOPPED


def test_the_commands_go_on_with_a_pin_that_somebody_has_seen(known: World) -> None:
    session = sign_in(known)
    known.stop_grant(session, known.grant(session).grant.grant)


def test_another_agency_that_sees_her_pin_makes_her_change_it_again(known: World) -> None:
    session = own(known)
    known.register("haven", NUMBER, "her-at-haven", OWN_PIN)  # nothing new
    home(known, session)
    known.register("legal", NUMBER, "her-at-legal", OWN_PIN)
    with refused(Reason.PIN_CHANGE_REQUIRED):
        home(known, session)
    known.register("legal", NUMBER, "her-at-legal", OWN_PIN)
    fresh = change_pin(known, session, OWN_PIN, "975310").session
    home(known, fresh)


def test_a_new_pin_ends_every_session_and_opens_one(known: World) -> None:
    others = [sign_in(known), sign_in(known)]
    lock(known, others[1])
    known.register("haven", 2, "another")
    strangers = sign_in(known, number=2)
    session = sign_in(known, language="es", shared_device=True)
    answer = change_pin(known, session)
    assert answer.session not in (session, *others)
    for old in (session, *others):
        with refused(Reason.SESSION_INVALID):
            speak(known, old)
    assert (answer.seat.language, answer.seat.shared_device) == ("es", True)
    assert sessions_kept(known) == 2
    speak(known, strangers)
    with refused(Reason.SIGN_IN_FAILED):
        sign_in(known, PIN)
    sign_in(known, OWN_PIN)


def test_the_new_pin_is_another_and_saying_so_costs_no_try(known: World) -> None:
    session = sign_in(known)
    for _ in range(TRIES + 1):
        with refused(Reason.MALFORMED):
            change_pin(known, session, PIN, PIN)
    change_pin(known, session)


def test_a_new_pin_needs_the_old_one(known: World) -> None:
    session = sign_in(known)
    for _ in range(TRIES):
        with refused(Reason.SIGN_IN_FAILED):
            change_pin(known, session, WRONG)
    with refused(Reason.THROTTLED):
        change_pin(known, session)
    speak(known, session)  # it is not over
    known.clock.advance(EARN_BACK_S)
    change_pin(known, session)


def test_a_sign_in_with_the_old_pin_that_is_under_way_comes_to_nothing(known: World) -> None:
    """Between the check of a PIN and the session that it opens she may have chosen another."""
    session = sign_in(known)
    cards = known.app.context.cards
    matches = cards.pin_matches
    changed: list[Any] = []

    def slow(pin_hash: str | None, pin: str) -> bool:
        right = matches(pin_hash, pin)
        if not changed:
            changed.append(None)
            changed[0] = change_pin(known, session)
        return right

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cards, "pin_matches", slow)
        with refused(Reason.SIGN_IN_FAILED):
            sign_in(known)
    assert sessions_kept(known) == 1
    home(known, changed[0].session)


# --- what it keeps ------------------------------------------------------------------------------


def test_it_keeps_a_language_and_whose_device_it_is(known: World) -> None:
    session = own(known, language="ar", shared_device=True)
    assert home(known, session).seat.language == "ar"
    assert home(known, session).seat.shared_device
    assert speak(known, session, "es-MX").seat.language == "es-MX"
    assert home(known, session).seat.language == "es-MX"
    other = sign_in(known, OWN_PIN)
    assert home(known, other).seat.language == ""
    assert not home(known, other).seat.shared_device


def test_choosing_a_language_keeps_it_alive_and_needs_it_to_be(known: World) -> None:
    session = own(known)
    known.clock.advance(IDLE_S - 1)
    assert speak(known, session).seat.expires_at.seconds == known.clock.wall() + IDLE_S
    known.clock.advance(IDLE_S)
    with refused(Reason.SESSION_INVALID):
        speak(known, session)


# --- who tried ----------------------------------------------------------------------------------


def test_the_first_sign_in_has_none_before(known: World) -> None:
    answer = home(known, own(known))
    assert not answer.HasField("previous_sign_in")
    assert (answer.wrong_tries, answer.HasField("wrong_last_at")) == (0, False)


def test_she_hears_at_the_next_sign_in_how_often_somebody_tried(known: World) -> None:
    own(known)
    first = known.clock.wall()
    for _ in range(3):
        known.clock.advance(60)
        with refused(Reason.SIGN_IN_FAILED):
            sign_in(known, WRONG)
    last = known.clock.wall()
    known.clock.advance(60)
    session = sign_in(known, OWN_PIN)
    for _ in range(2):  # it stays while the session does, whatever is tried meanwhile
        answer = home(known, session)
        assert answer.previous_sign_in.seconds == first
        assert (answer.wrong_tries, answer.wrong_last_at.seconds) == (3, last)
        with refused(Reason.SIGN_IN_FAILED):
            sign_in(known, WRONG, network=b"elsewhere")
    answer = home(known, sign_in(known, OWN_PIN))
    assert answer.previous_sign_in.seconds == last + 60
    assert (answer.wrong_tries, answer.wrong_last_at.seconds) == (2, last + 60)
    answer = home(known, sign_in(known, OWN_PIN))
    assert (answer.wrong_tries, answer.HasField("wrong_last_at")) == (0, False)


def test_a_refused_try_that_was_not_looked_at_is_not_counted(known: World) -> None:
    own(known)
    for _ in range(TRIES):
        with refused(Reason.SIGN_IN_FAILED):
            sign_in(known, WRONG)
    for _ in range(3):
        with refused(Reason.THROTTLED):
            sign_in(known, WRONG)
    known.clock.advance(EARN_BACK_S)
    assert home(known, sign_in(known, OWN_PIN)).wrong_tries == TRIES


def test_what_an_agency_tries_is_counted_for_her_too(known: World) -> None:
    own(known)
    with refused(Reason.SIGN_IN_FAILED):
        known.register("legal", NUMBER, "her-at-legal", WRONG)
    known.register("legal", NUMBER, "her-at-legal", OWN_PIN)
    session = sign_in(known, OWN_PIN)
    assert home(known, change_pin(known, session, OWN_PIN, "975310").session).wrong_tries == 1


def test_her_own_right_pin_inside_a_session_is_no_wrong_try(known: World) -> None:
    session = own(known)
    for _ in range(2):
        lock(known, session)
        session = unlock(known, session).session
    with refused(Reason.SIGN_IN_FAILED):
        unlock(known, session, WRONG)
    tried = known.clock.wall()
    known.clock.advance(60)
    unlock(known, session)
    answer = home(known, sign_in(known, OWN_PIN))
    assert (answer.wrong_tries, answer.wrong_last_at.seconds) == (1, tried)


@pytest.mark.parametrize("given", ["", "12345678"], ids=["alone", "with a number"])
def test_a_try_at_no_card_runs_the_same_statements(
    known: World, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    run: list[str] = []
    for name in ("run", "first"):
        made = getattr(Prepared, name)

        def watched(self: Prepared, *args: Any, made: Any = made, **kwargs: Any) -> Any:
            run.append(self.sql)
            return made(self, *args, **kwargs)

        monkeypatch.setattr(Prepared, name, watched)
    seen = []
    for number in (NUMBER, 9):
        run.clear()
        with refused(Reason.SIGN_IN_FAILED):
            sign_in(known, WRONG, number=number, worker_number=given)
        seen.append([sql for sql in run if re.search("subject|throttle|worker_number", sql)])
    assert seen[0] == seen[1]
    assert len(seen[0]) >= 3 + bool(given)


# --- stops by workers ---------------------------------------------------------------------------


def test_a_stop_through_a_worker_is_never_throttled_by_any_of_it(known: World) -> None:
    session = own(known)
    grant = known.grant(session).grant.grant
    lock(known, session)
    for turn in range(TRIES + 3):
        with pytest.raises(SafehandError):
            sign_in(known, WRONG, network=b"one" if turn % 2 else b"two")
    with refused(Reason.THROTTLED):
        unlock(known, session)
    known.consent("haven").StopForHer(
        stops_pb2.StopForHerRequest(
            request_id=known.request_id(),
            card_number=card(NUMBER),
            worker_ref="worker-1",
            channel="phone",
        )
    )
    assert known.rows("SELECT state FROM consent_grant WHERE grant_id = ?", grant) == [("stopped",)]

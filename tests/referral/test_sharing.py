"""What her stop does here: sharing stops, help does not; and nothing of it is ever missed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from safehand.events.v1 import events_pb2
from safehand.referral.v1 import referral_pb2 as pb
from safehand_bus.wake import Waker
from safehand_core import failpoints
from safehand_core.errors import SafehandError
from safehand_core.ids import new_id
from safehand_core.reasons import Reason
from safehand_referral_service import follow
from safehand_store import inbox

from tests.referral.conftest import Refusal
from tests.referral.making import ENTROPY
from tests.referral.test_course import acknowledge, complete, deliver, of
from tests.referral.world import World

WAIT_S = 10.0
"""Longest wait for the follower's poll (1 s) on a busy machine."""


@pytest.fixture(autouse=True)
def _read_everything_first(request: pytest.FixtureRequest) -> None:
    """The shared world begins each test without unread events."""
    if "world" in request.fixturenames:
        request.getfixturevalue("world").app.follower.catch_up()


def until(condition: Callable[[], bool]) -> None:
    """Wait for ``condition``; fails where it does not come true."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def stop(world: World, grant: str) -> None:
    world.consent.ended(grant)
    world.app.follower.catch_up()


def resume(world: World, grant: str) -> None:
    world.consent.resumed(grant)
    world.app.follower.catch_up()


def test_a_stop_sets_its_own_field_and_leaves_state_place_and_clocks(world: World) -> None:
    draft = world.create()
    world.answer(draft, "ACCEPT")
    before = world.state(draft)
    world.clock.advance(60)
    stop(world, draft.grant)
    after = world.state(draft)
    assert after.sharing_stopped
    after.sharing_stopped = False
    assert after == before
    assert of(world, draft)[-2:] == [
        ("SHARING_STOPPED", "agency/a-agency"),
        ("SHARING_STOPPED", "agency/b-agency"),
    ]


def test_while_stopped_fetch_is_refused_and_the_state_can_be_read(
    world: World, refuses: Refusal
) -> None:
    draft = world.create()
    stop(world, draft.grant)
    with refuses(Reason.CONSENT_ENDED):
        world.fetch(draft)
    for agency in (world.a, world.b):
        assert world.state(draft, agency).sharing_stopped


def test_while_stopped_create_is_refused_also_as_a_repeat(world: World, refuses: Refusal) -> None:
    draft = world.create()
    stop(world, draft.grant)
    with refuses(Reason.CONSENT_ENDED):
        world.create(world.draft(grant=draft.grant))
    with refuses(Reason.CONSENT_ENDED):
        world.create(draft)


def test_while_stopped_help_goes_on(world: World) -> None:
    draft = world.create()
    stop(world, draft.grant)
    deliver(world, draft)
    acknowledge(world, draft)
    accepted = world.answer(draft, "ACCEPT")
    assert accepted.HasField("answered_at")
    done = complete(world, draft)
    assert (done.state, done.sharing_stopped) == (pb.REFERRAL_STATE_COMPLETED, True)


def test_while_stopped_either_side_can_say_no(world: World) -> None:
    for answer in ("DECLINE", "WITHDRAW"):
        draft = world.create()
        stop(world, draft.grant)
        assert world.answer(draft, answer).reason_code == "no_capacity"


def test_resuming_lets_everything_go_on(world: World) -> None:
    draft = world.create()
    stop(world, draft.grant)
    resume(world, draft.grant)
    assert not world.state(draft).sharing_stopped
    assert len(world.fetch(draft).parts) == 2
    world.create(world.draft(grant=draft.grant))
    assert [e for e, _ in of(world, draft)] == (
        ["CREATED"] + ["SHARING_STOPPED"] * 2 + ["SHARING_RESUMED"] * 2
    )


def test_every_referral_of_the_grant_is_stopped_and_no_other(world: World) -> None:
    first = world.create()
    second = world.create(world.draft(grant=first.grant))
    other = world.create()
    world.answer(second, "DECLINE")
    stop(world, first.grant)
    assert [world.state(d).sharing_stopped for d in (first, second, other)] == [True, True, False]


def test_a_second_end_of_the_same_grant_tells_nobody_again(world: World) -> None:
    """A stop and later its finality are two events at consent, and one change here."""
    draft = world.create()
    stop(world, draft.grant)
    told = of(world, draft)
    stop(world, draft.grant)
    assert of(world, draft) == told


def test_an_end_is_remembered_before_any_referral_exists(world: World, refuses: Refusal) -> None:
    draft = world.draft()
    stop(world, draft.grant)
    with refuses(Reason.CONSENT_ENDED):
        world.create(draft)
    resume(world, draft.grant)
    world.create(draft)


def test_an_opened_part_is_recorded_also_before_the_referral_exists(world: World) -> None:
    late, early = world.create(), world.draft()
    world.consent.disclosed(late.referral)
    world.consent.disclosed(early.referral)
    world.app.follower.catch_up()
    world.create(early)
    for draft in (late, early):
        assert world.state(draft).disclosure == pb.DISCLOSURE_STATE_RELEASED


def test_what_is_for_others_has_no_effect(world: World) -> None:
    draft = world.create()
    before = world.dump()
    for audience in ("agency/a-agency", "agency/b-agency", "service/notify"):
        world.consent.say(
            events_pb2.EVENT_TYPE_CONSENT_ENDED, f"grants/{draft.grant}", audience=audience
        )
    world.consent.say(events_pb2.EVENT_TYPE_CONSENT_GRANTED, f"grants/{draft.grant}")
    world.app.follower.catch_up()
    after = world.dump()
    assert after.pop("inbox") != before.pop("inbox")
    assert after == before


# --- never missed, never twice ---


def test_a_wake_up_is_faster_than_the_poll(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = world.create()
    monkeypatch.setattr(follow, "POLL_S", 60.0)
    until(lambda: _waits_long(world))
    world.consent.ended(draft.grant)
    asked = len(world.consent.asked)
    time.sleep(0.1)
    assert len(world.consent.asked) == asked
    waker = Waker(world.settings.follow_wake)
    waker.wake()
    waker.close()
    until(lambda: world.state(draft).sharing_stopped)


def _waits_long(world: World) -> bool:
    """Whether the follower has begun a wait of the patched length."""
    asked = len(world.consent.asked)
    time.sleep(1.2)
    return len(world.consent.asked) == asked


def test_without_any_wake_up_the_poll_finds_it(empty: World) -> None:
    empty.set_up()
    draft = empty.create()
    empty.consent.ended(draft.grant)
    until(lambda: empty.state(draft).sharing_stopped)


def test_a_restart_reads_what_happened_meanwhile_before_it_serves(empty: World) -> None:
    empty.set_up()
    draft = empty.create()
    empty.app.follower.catch_up()
    empty.stop_service()
    empty.consent.ended(draft.grant)
    empty.restart_after_stop()
    with pytest.raises(SafehandError) as caught:
        empty.fetch(draft)
    assert caught.value.reason is Reason.CONSENT_ENDED


def test_a_restart_goes_on_where_it_was(empty: World) -> None:
    empty.set_up()
    draft = empty.create()
    stop(empty, draft.grant)
    told = empty.events()
    empty.consent.asked.clear()
    empty.restart()
    empty.app.follower.catch_up()
    assert min(empty.consent.asked) == len(empty.consent.events)
    assert empty.events() == told


def test_until_consent_was_read_once_create_and_fetch_are_refused_and_help_goes_on(
    empty: World,
) -> None:
    world = empty
    world.set_up()
    draft = world.create()
    world.consent.ended(draft.grant)
    world.stop_service()
    world.stop_consent()
    world.restart_after_stop()
    calls: list[Callable[[], Any]] = [
        lambda: world.fetch(draft),
        lambda: world.create(world.draft(("CARD",))),
    ]
    for call in calls:
        with pytest.raises(SafehandError) as caught:
            call()
        assert caught.value.reason is Reason.UNAVAILABLE
    acknowledge(world, draft)
    assert world.answer(draft, "ACCEPT").state == pb.REFERRAL_STATE_ACCEPTED
    world.restart_consent()
    until(world.app.context.followed.is_set)
    with pytest.raises(SafehandError) as caught:
        world.fetch(draft)
    assert caught.value.reason is Reason.CONSENT_ENDED
    world.create(world.draft(("CARD",)))


def test_consent_may_come_back_at_another_address(empty: World) -> None:
    world = empty
    world.set_up()
    draft = world.create()
    world.stop_consent()
    world.consent.ended(draft.grant)
    with pytest.raises(SafehandError) as caught:
        world.app.follower.catch_up()
    assert caught.value.reason is Reason.UNAVAILABLE
    assert not world.state(draft).sharing_stopped
    world.restart_consent()
    until(lambda: world.state(draft).sharing_stopped)


def test_many_pages_are_followed_to_the_end(empty: World) -> None:
    world = empty
    world.set_up()
    draft = world.create()
    world.consent.page = 7
    for _ in range(10):
        world.consent.ended(new_id(ENTROPY))
    world.consent.ended(draft.grant)
    world.app.follower.catch_up()
    assert world.state(draft).sharing_stopped
    with world.app.context.engine.connect() as connection:
        assert inbox.position(connection, "consent") == len(world.consent.events)


def test_a_gap_in_consents_sequence_is_not_passed_over(empty: World) -> None:
    world = empty
    world.set_up()
    draft = world.create()
    world.consent.ended(draft.grant)
    lost = world.consent.events.pop(0)
    before = world.dump()
    with pytest.raises(SafehandError) as caught:
        world.app.follower.catch_up()
    assert caught.value.reason is Reason.UNAVAILABLE
    assert world.dump() == before
    world.consent.events.insert(0, lost)
    world.app.follower.catch_up()
    assert world.state(draft).sharing_stopped


def test_an_event_and_the_place_reached_are_stored_together_or_not_at_all(
    empty: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = empty
    world.set_up()
    draft = world.create()
    world.app.follower.catch_up()
    before = world.dump()

    class Killed(Exception):
        pass

    def die(name: str) -> None:
        if name == "referral.follow.before_commit":
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "hit", die)
        world.consent.ended(draft.grant)
        with pytest.raises(Killed):
            world.app.follower.catch_up()
        assert world.dump() == before
    world.app.follower.catch_up()
    assert [e for e, _ in of(world, draft)].count("SHARING_STOPPED") == 2


def test_a_stop_in_the_middle_of_creating_is_seen_by_whoever_comes_second(
    world: World,
) -> None:
    """Create and follow are write transactions of one database: one of them is first."""
    for _ in range(10):
        draft = world.draft(("CARD",))
        request = world.create_request(draft)
        refused: list[Reason] = []

        def create(request: Any = request, refused: list[Reason] = refused) -> None:
            try:
                world.a.referral.CreateReferral(request)
            except SafehandError as error:
                refused.append(error.reason)

        world.consent.ended(draft.grant)
        threads = [
            threading.Thread(target=create),
            threading.Thread(target=world.app.follower.catch_up),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if refused:
            assert refused == [Reason.CONSENT_ENDED]
        else:
            assert world.state(draft).sharing_stopped

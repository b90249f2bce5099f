"""An event of consent that cannot be applied: tried, set aside, and until then it denies.

Each of these events may be a stop. So what is tested is that nothing passes which a stop would
have ended, while everything else goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from safehand.events.v1 import events_pb2
from safehand.notify.v1 import notify_pb2
from safehand.referral.v1 import referral_pb2 as pb
from safehand.referral.v1 import referral_pb2_grpc
from safehand_bus.consumer import MAX_ATTEMPTS, EffectError
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_referral_service import follow, measures, referral_store
from sqlalchemy.exc import OperationalError

from tests.referral.making import Draft, rid
from tests.referral.world import World

NEWER = 99
"""A type of event that this release does not know."""


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The follower's thread stays out of it: attempts are counted here."""
    monkeypatch.setattr(follow.Follower, "_run", lambda self: None)


@pytest.fixture
def world(empty: World) -> World:
    empty.set_up()
    return empty


def refused(action: Any) -> Reason:
    with pytest.raises(SafehandError) as caught:
        action()
    return caught.value.reason


@contextmanager
def broken(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Iterator[None]:
    """Referral cannot write down what consent says of a grant."""

    def fail(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(referral_store, "set_grant", fail)
        yield


def set_aside(world: World) -> None:
    """Try as often as it is tried."""
    for _ in range(MAX_ATTEMPTS - 1):
        with pytest.raises(EffectError):
            world.app.follower.catch_up()
    world.app.follower.catch_up()


def operator(world: World) -> referral_pb2_grpc.ReferralServiceStub:
    return referral_pb2_grpc.ReferralServiceStub(world.channel(world.party("operator", "referral")))


def letters(world: World) -> list[notify_pb2.DeadLetter]:
    found: list[notify_pb2.DeadLetter] = []
    token = ""
    while True:
        page = operator(world).ListDeadLetters(
            pb.ListDeadLettersRequest(page_size=1, page_token=token)
        )
        found += page.letters
        token = page.next_page_token
        if not token:
            assert page.open == len(found)
            return found


def replay(world: World, *numbers: int) -> list[notify_pb2.DeadLetter]:
    answer = operator(world).ReplayDeadLetters(
        pb.ReplayDeadLettersRequest(request_id=rid(), numbers=numbers)
    )
    return list(answer.letters)


def test_an_event_of_a_newer_consent_denies_its_grant_and_no_other(world: World) -> None:
    """Whether it is a stop, only a newer release knows."""
    about, other, stopped = (world.create() for _ in range(3))
    world.consent.say(NEWER, f"grants/{about.grant}")
    world.consent.ended(stopped.grant)
    for _ in range(MAX_ATTEMPTS - 1):
        with pytest.raises(EffectError):
            world.app.follower.catch_up()
        # Behind it something waits that nobody here knows: nothing is given out meanwhile.
        assert refused(lambda: world.fetch(other)) is Reason.UNAVAILABLE
        assert refused(lambda: world.create()) is Reason.UNAVAILABLE
    world.app.follower.catch_up()
    assert refused(lambda: world.fetch(about)) is Reason.CONSENT_ENDED
    assert refused(lambda: world.create(world.draft(grant=about.grant))) is Reason.CONSENT_ENDED
    # What came behind it is applied, and everybody else is served.
    assert world.state(stopped).sharing_stopped
    assert refused(lambda: world.fetch(stopped)) is Reason.CONSENT_ENDED
    assert world.fetch(other).parts
    (letter,) = letters(world)
    assert (letter.error, letter.attempts) == ("UnknownEventError", MAX_ATTEMPTS)
    assert letter.event.resource == f"grants/{about.grant}"
    # Help goes on: a stop ends sharing, never help.
    assert world.answer(about, "ACCEPT").state == pb.REFERRAL_STATE_ACCEPTED


def test_a_stop_that_cannot_be_written_down_denies_until_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = world.create()
    world.consent.ended(draft.grant)
    with broken(monkeypatch, ValueError("TEST")):
        set_aside(world)
    assert not world.state(draft).sharing_stopped
    assert refused(lambda: world.fetch(draft)) is Reason.CONSENT_ENDED
    world.restart()
    assert refused(lambda: world.fetch(draft)) is Reason.CONSENT_ENDED
    (letter,) = letters(world)
    with broken(monkeypatch, ValueError("TEST")):
        (again,) = replay(world, letter.letter)
    assert (again.state, again.attempts) == (1, MAX_ATTEMPTS + 1)
    assert refused(lambda: world.fetch(draft)) is Reason.CONSENT_ENDED
    before = len(world.events())
    (done,) = replay(world)
    assert done.state == notify_pb2.DEAD_LETTER_STATE_APPLIED
    assert [event for event, *_ in world.events()[before:]] == ["SHARING_STOPPED"] * 2
    assert world.state(draft).sharing_stopped
    assert replay(world, letter.letter) == [done]
    assert not letters(world)
    assert refused(lambda: world.fetch(draft)) is Reason.CONSENT_ENDED
    # The grant is held no longer: what consent says next of it counts alone.
    world.consent.resumed(draft.grant)
    world.app.follower.catch_up()
    assert world.fetch(draft).parts


def test_an_event_about_nobody_knows_what_denies_everything(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft, kept = world.create(), world.draft()
    world.consent.say(events_pb2.EVENT_TYPE_CONSENT_ENDED, "something/else")
    set_aside(world)
    for action in (lambda: world.fetch(draft), lambda: world.create(kept)):
        assert refused(action) is Reason.UNAVAILABLE
    world.app.follower.catch_up()
    assert refused(lambda: world.fetch(draft)) is Reason.UNAVAILABLE
    world.restart()
    assert refused(lambda: world.fetch(draft)) is Reason.UNAVAILABLE
    assert world.state(draft).state == pb.REFERRAL_STATE_SENT
    (letter,) = replay(world)
    assert letter.state == notify_pb2.DEAD_LETTER_STATE_OPEN
    # A release that knows what it means:
    with monkeypatch.context() as patch:
        patch.setattr(follow, "_apply_one", lambda *_: None)
        (letter,) = replay(world)
    assert letter.state == notify_pb2.DEAD_LETTER_STATE_APPLIED
    world.app.follower.catch_up()
    assert world.fetch(draft).parts
    world.create(kept)


@pytest.mark.parametrize("late", ["stop", "resume"])
def test_a_late_replay_does_not_undo_what_consent_said_since(
    world: World, monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    draft = world.create()
    first, then = (
        (world.consent.ended, world.consent.resumed)
        if late == "stop"
        else (world.consent.resumed, world.consent.ended)
    )
    first(draft.grant)
    with broken(monkeypatch, ValueError("TEST")):
        set_aside(world)
    then(draft.grant)
    world.app.follower.catch_up()
    # Held all the same: nobody looks into what was set aside but a replay.
    assert refused(lambda: world.fetch(draft)) is Reason.CONSENT_ENDED
    (letter,) = replay(world)
    assert letter.state == notify_pb2.DEAD_LETTER_STATE_APPLIED
    assert world.state(draft).sharing_stopped == (late == "resume")
    if late == "stop":
        assert world.fetch(draft).parts
    else:
        assert refused(lambda: world.fetch(draft)) is Reason.CONSENT_ENDED


def test_trouble_of_the_surroundings_is_waited_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy database is no reason to give an event up, however long it is busy."""
    draft = world.create()
    world.consent.ended(draft.grant)
    busy = OperationalError("TEST", None, Exception("busy"))
    with broken(monkeypatch, busy):
        for _ in range(3 * MAX_ATTEMPTS):
            with pytest.raises(OperationalError):
                world.app.follower.catch_up()
            assert refused(lambda: world.fetch(draft)) is Reason.UNAVAILABLE
    assert not letters(world)
    world.app.follower.catch_up()
    assert world.state(draft).sharing_stopped


def test_a_look_that_is_not_written_down_denies_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = world.create()

    def fail(*_: Any) -> None:
        raise ValueError("TEST")

    with monkeypatch.context() as patch:
        patch.setattr(referral_store, "set_disclosed", fail)
        world.consent.disclosed(draft.referral)
        set_aside(world)
    assert world.fetch(draft).parts
    replay(world)
    assert world.state(draft).disclosure == pb.DISCLOSURE_STATE_RELEASED


def test_who_looks_at_dead_letters(world: World) -> None:
    assert refused(lambda: world.a.referral.ListDeadLetters(pb.ListDeadLettersRequest())) is (
        Reason.NOT_ALLOWED
    )
    missing = pb.GetDeadLetterRequest(letter=7)
    assert refused(lambda: operator(world).GetDeadLetter(missing)) is Reason.NOT_FOUND
    assert refused(lambda: replay(world, 7)) is Reason.NOT_FOUND
    for _ in range(2):
        world.consent.say(NEWER, f"grants/{world.create().grant}")
        set_aside(world)
    first, second = letters(world)
    asked = pb.GetDeadLetterRequest(letter=first.letter)
    assert operator(world).GetDeadLetter(asked).letter == first
    assert second.letter == first.letter + 1
    shown = {gauge.name: gauge for gauge in measures.gauges(world.app.context, world.app.follower)}
    assert shown["safehand_grants_held"].read() == 2


def test_a_rush_of_wake_ups_does_not_use_up_the_attempts(world: World) -> None:
    """After a failure the thread waits, whoever rings."""
    draft: Draft = world.create()
    world.consent.say(NEWER, f"grants/{draft.grant}")
    follower = world.app.follower
    assert not follower._try()
    assert follower._not_before > 0
    assert follower._attempts == 1

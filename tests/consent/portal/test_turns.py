"""Guessing at her card: what it costs whoever guesses, and what he can do to her by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safehand_consent_service import throttle
from safehand_consent_service.tables import METADATA
from safehand_consent_service.throttle import EARN_BACK_S, TRIES
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from sqlalchemy import Connection, create_engine

from tests.consent.portal.seats_world import NUMBER, OWN_PIN, WRONG, lock, own, sign_in, unlock
from tests.consent.refusals import refused
from tests.consent.world import World

CARD = b"c" * 32
HER, HIS = b"h" * 32, b"g" * 32
HOURS = 3


@dataclass
class Tried:
    """One card on a clock of seconds; ``at``: when a try was taken, and from where."""

    connection: Connection
    now: int = 1_790_000_000
    at: list[tuple[int, bytes]] = field(default_factory=list)

    def go(self, place: bytes) -> int | None:
        """Try from ``place``: None where the try is taken, else the seconds until the next."""
        try:
            error = throttle.take_turn(self.connection, CARD, place, self.now)
        except SafehandError as raised:
            error = raised
        if error is None:
            self.at.append((self.now, place))
            return None
        assert error.reason is Reason.THROTTLED
        wait = error.retry_after_s
        assert wait is not None
        assert 0 < wait <= EARN_BACK_S
        return int(wait)

    def right(self) -> None:
        """She gave the right PIN."""
        throttle.forgive(self.connection, CARD)


def card() -> Iterator[Tried]:
    engine = create_engine("sqlite://")
    METADATA.tables["throttle"].create(engine)
    with engine.begin() as connection:
        yield Tried(connection)
    engine.dispose()


@pytest.fixture
def tried() -> Iterator[Tried]:
    yield from card()


@pytest.mark.parametrize("arrives", [1, 100, 179, 180, 181, 359, 361, 3601, 7777])
@pytest.mark.parametrize("he_is_first", [True, False])
def test_who_guesses_every_second_for_hours_costs_her_three_minutes(
    tried: Tried, arrives: int, he_is_first: bool
) -> None:
    """She arrives, hears how long to wait, comes back then: it is her turn, whoever is quicker."""
    back = None
    for second in range(arrives + EARN_BACK_S + 1):
        tried.now += 1
        if he_is_first:
            tried.go(HIS)
        if second in (arrives, back):
            wait = tried.go(HER)
            if wait is None:
                assert second <= arrives + EARN_BACK_S
                return
            back = second + wait
        if not he_is_first:
            tried.go(HIS)
    pytest.fail("he kept her out")


def test_a_try_is_kept_for_her_until_she_comes_back(tried: Tried) -> None:
    for _ in range(TRIES):
        tried.go(HIS)
    assert tried.go(HER)
    for _ in range(HOURS * 3600):
        tried.now += 1
        tried.go(HIS)
    assert tried.go(HER) is None


def test_after_her_wrong_try_he_gets_one_and_not_two(tried: Tried) -> None:
    for _ in range(TRIES):
        assert tried.go(HIS) is None
    assert tried.go(HER)
    tried.now += EARN_BACK_S
    assert tried.go(HER) is None
    assert tried.go(HIS)
    assert tried.go(HER)
    tried.now += EARN_BACK_S
    assert tried.go(HER)  # it is his, and he lets her ask first
    assert tried.go(HIS) is None
    tried.now += EARN_BACK_S
    assert tried.go(HIS)
    assert tried.go(HER) is None


def test_alone_he_gets_one_try_in_three_minutes_and_no_more(tried: Tried) -> None:
    for _ in range(HOURS * 3600):
        tried.now += 1
        tried.go(HIS)
    assert len(tried.at) == TRIES + HOURS * 3600 // EARN_BACK_S - 1


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_one_who_guesses_delays_each_try_of_hers_by_three_minutes_at_most(
    data: st.DataObject,
) -> None:
    """He tries whenever it serves him best, saved up or not, and before her in every second; she
    mistypes as often as she likes. Without him she waits three minutes at most, so six with him;
    three where his was the last try. In no time does the card give more tries than alone.
    """
    for tried in card():
        he_lets = data.draw(st.integers(0, 7200))
        for his_gap in data.draw(st.lists(st.integers(0, 900), min_size=1, max_size=8)):
            tried.now += his_gap
            tried.go(HIS)
        tried.now += he_lets if data.draw(st.booleans()) else 0
        for _ in range(data.draw(st.integers(1, 4))):
            burst = data.draw(st.integers(0, TRIES))
            for _ in range(burst):
                tried.go(HIS)
            pace = data.draw(st.integers(1, 60))
            asked = tried.now
            his_was_last = not tried.at or tried.at[-1][1] == HIS
            back = asked
            while True:
                if (tried.now - asked) % pace == 0:
                    tried.go(HIS)
                if tried.now >= back:
                    wait = tried.go(HER)
                    if wait is None:
                        break
                    back = tried.now + wait
                tried.now += 1
                assert tried.now - asked <= 2 * EARN_BACK_S
            if his_was_last:
                assert tried.now - asked <= EARN_BACK_S
            if data.draw(st.booleans()):
                tried.right()
                tried.at.append((tried.now, b"right"))
            tried.now += data.draw(st.integers(0, 400))
        _no_more_than_alone(tried.at)


def _no_more_than_alone(at: list[tuple[int, bytes]]) -> None:
    """Between two right PINs: five tries, and one for every three minutes since the first."""
    run: list[int] = []
    for when, place in at:
        run = [] if place == b"right" else [*run, when]
        for index, first in enumerate(run):
            assert len(run) - index <= TRIES + (when - first) // EARN_BACK_S + 1


def test_on_the_wire_she_gets_in_past_one_who_guesses_from_elsewhere(world: World) -> None:
    world.register("haven", NUMBER, "her-at-haven")
    own(world)
    for _ in range(20):
        with pytest.raises(SafehandError):
            sign_in(world, WRONG, network=b"his")
    world.clock.advance(100)
    with refused(Reason.THROTTLED) as caught:
        sign_in(world, OWN_PIN, network=b"hers")
    assert caught.value.retry_after_s == EARN_BACK_S - 100
    for _ in range(EARN_BACK_S - 100):
        world.clock.advance(1)
        with refused(Reason.THROTTLED):
            sign_in(world, WRONG, network=b"his")
    assert sign_in(world, OWN_PIN, network=b"hers")


def test_who_guesses_at_the_sign_in_leaves_a_covered_session_its_turn(world: World) -> None:
    world.register("haven", NUMBER, "her-at-haven")
    session = own(world)
    lock(world, session)
    for _ in range(TRIES):
        with refused(Reason.SIGN_IN_FAILED):
            sign_in(world, WRONG)
    with refused(Reason.THROTTLED):
        unlock(world, session)
    world.clock.advance(EARN_BACK_S)
    with refused(Reason.THROTTLED):
        sign_in(world, WRONG)
    assert unlock(world, session)


def test_a_network_is_stored_as_nothing_that_could_be_compared(world: World) -> None:
    world.register("haven", NUMBER, "her-at-haven")
    for number in (NUMBER, 9):
        with refused(Reason.SIGN_IN_FAILED):
            sign_in(world, WRONG, number=number, network=b"n" * 32)
    kept = [bytes(row[0]) for row in world.rows("SELECT taken_by FROM throttle")]
    assert len(set(kept)) == 2
    assert all(len(one) == 32 and one != b"n" * 32 for one in kept)


def test_a_card_that_is_none_takes_turns_too(world: World) -> None:
    for _ in range(TRIES):
        with refused(Reason.SIGN_IN_FAILED):
            sign_in(world, WRONG, number=9, network=b"his")
    with refused(Reason.THROTTLED):
        sign_in(world, WRONG, number=9, network=b"hers")
    world.clock.advance(EARN_BACK_S)
    with refused(Reason.THROTTLED):
        sign_in(world, WRONG, number=9, network=b"his")
    with refused(Reason.SIGN_IN_FAILED):
        sign_in(world, WRONG, number=9, network=b"hers")

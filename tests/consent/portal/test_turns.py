"""Guessing at her card: what it costs whoever guesses, and what he can do to her by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safehand_consent_service import throttle
from safehand_consent_service.tables import METADATA
from safehand_consent_service.throttle import EARN_BACK_S, PLACES_WAITING, TRIES, TURN_S
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from sqlalchemy import Connection, create_engine

from tests.consent.portal.seats_world import NUMBER, OWN_PIN, WRONG, lock, own, sign_in, unlock
from tests.consent.refusals import refused
from tests.consent.world import World

CARD = b"c" * 32
HOURS = 3


def place(network: int, browser: int = 0) -> bytes:
    return bytes([network]) * 16 + bytes([browser]) * 16


HER, HIS = place(0), place(1)


@dataclass
class Tried:
    """One card on a clock of seconds; ``at``: when a try was taken, and from where."""

    connection: Connection
    now: int = 1_790_000_000
    at: list[tuple[int, bytes]] = field(default_factory=list)

    def go(self, from_: bytes) -> int | None:
        """Try from a place: None where the try is taken, else the seconds that are told."""
        try:
            error = throttle.take_turn(self.connection, CARD, from_, self.now)
        except SafehandError as raised:
            error = raised
        if error is None:
            self.at.append((self.now, from_))
            self._no_more_than_alone()
            return None
        assert error.reason is Reason.THROTTLED
        wait = error.retry_after_s
        assert wait is not None
        assert wait > 0
        return int(wait)

    def use_up(self, from_: bytes) -> None:
        for _ in range(TRIES):
            assert self.go(from_) is None

    def right(self) -> None:
        """She gave the right PIN."""
        throttle.forgive(self.connection, CARD)
        self.at.clear()

    @property
    def was_last(self) -> bytes | None:
        return self.at[-1][1] if self.at else None

    @property
    def line(self) -> list[throttle.Turn]:
        """What is stored of the line, with what has lapsed."""
        row = self.connection.exec_driver_sql("SELECT waiting FROM throttle").first()
        return throttle._live(row[0], 0) if row else []

    def _no_more_than_alone(self) -> None:
        """Since the last right PIN, in any time: five tries, and one for every three minutes."""
        for index, (first, _) in enumerate(self.at):
            assert len(self.at) - index <= TRIES + (self.now - first) // EARN_BACK_S


def card() -> Iterator[Tried]:
    engine = create_engine("sqlite://")
    METADATA.tables["throttle"].create(engine)
    with engine.begin() as connection:
        yield Tried(connection)
    engine.dispose()


@pytest.fixture
def tried() -> Iterator[Tried]:
    yield from card()


# --- one who guesses ------------------------------------------------------------------------------


@pytest.mark.parametrize("his", [HIS, place(0, 1)], ids=["elsewhere", "beside her"])
@pytest.mark.parametrize("arrives", [1, 100, 179, 180, 181, 359, 361, 3601])
@pytest.mark.parametrize("he_is_first", [True, False])
def test_who_guesses_every_second_for_hours_costs_her_three_minutes(
    tried: Tried, arrives: int, he_is_first: bool, his: bytes
) -> None:
    """She arrives, hears how long to wait, comes back then: it is her turn, whoever is quicker."""
    back = None
    for second in range(arrives + EARN_BACK_S + 1):
        tried.now += 1
        if he_is_first:
            tried.go(his)
        if second in (arrives, back):
            wait = tried.go(HER)
            if wait is None:
                return
            assert back is None
            assert wait <= EARN_BACK_S
            back = second + wait
        if not he_is_first:
            tried.go(his)
    pytest.fail("he kept her out")


def test_a_turn_is_kept_for_her_for_three_minutes(tried: Tried) -> None:
    tried.use_up(HIS)
    told = tried.go(HER)
    assert told == EARN_BACK_S
    for _ in range(told + TURN_S - 1):
        tried.now += 1
        assert tried.go(HIS)
    assert tried.go(HER) is None


def test_a_turn_that_nobody_uses_lapses(tried: Tried) -> None:
    tried.use_up(HIS)
    assert tried.go(place(2)) == EARN_BACK_S
    assert tried.go(HER) == 2 * EARN_BACK_S
    tried.now += EARN_BACK_S + TURN_S - 1
    assert tried.go(HER) == 1
    tried.now += 1
    assert tried.go(HER) is None
    assert tried.go(HIS) is None  # the one that was kept for him who did not come


def test_alone_after_who_does_not_come_she_waits_three_minutes_at_most(tried: Tried) -> None:
    tried.use_up(HIS)
    assert tried.go(place(2))
    tried.now += EARN_BACK_S + 1  # his turn has come
    told = tried.go(HER)
    assert told == EARN_BACK_S - 1
    tried.now += told
    assert tried.go(HER) is None


def test_after_her_wrong_try_he_gets_one_and_not_two(tried: Tried) -> None:
    tried.use_up(HIS)
    assert tried.go(HER)
    tried.now += EARN_BACK_S
    assert tried.go(HER) is None
    assert tried.go(HIS)
    assert tried.go(HER) == 2 * EARN_BACK_S
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


def test_the_right_pin_gives_back_all_tries_and_ends_the_line(tried: Tried) -> None:
    tried.use_up(HIS)
    for other in (HIS, place(2), HER):
        assert tried.go(other)
    tried.now += 3 * EARN_BACK_S
    tried.right()
    assert tried.line == []
    tried.use_up(HER)


# --- several who guess ----------------------------------------------------------------------------


def test_in_many_browsers_of_one_network_he_has_one_turn_like_her(tried: Tried) -> None:
    for browser in range(TRIES):
        assert tried.go(place(1, browser)) is None
    for browser in range(3 * PLACES_WAITING):
        assert tried.go(place(1, browser))
    assert tried.go(HER) == EARN_BACK_S  # behind nobody: he tried last
    tried.now += EARN_BACK_S
    for browser in range(PLACES_WAITING):
        assert tried.go(place(1, browser))
    assert tried.go(HER) is None
    assert tried.go(HER) == 2 * EARN_BACK_S  # behind one of his, not behind seven


def test_other_browsers_yield_their_places_in_a_full_line_and_other_networks_do_not(
    tried: Tried,
) -> None:
    tried.use_up(place(1))
    for browser in range(PLACES_WAITING):
        tried.go(place(1, browser))
    for network in range(2, 2 + PLACES_WAITING):
        assert tried.go(place(network)) == (network - 1) * EARN_BACK_S
    full = tried.line
    assert [turn.network[0] for turn in full] == [*range(2, 2 + PLACES_WAITING)]
    assert tried.go(HER) == EARN_BACK_S  # without a place, until one of them is free
    assert tried.line == full


def test_somebody_refused_again_and_again_is_written_once(tried: Tried) -> None:
    tried.use_up(HIS)
    assert tried.go(HER)
    with pytest.raises(SafehandError):
        throttle.take_turn(tried.connection, CARD, HER, tried.now)


def test_her_time_stays_true_when_others_come_and_go(tried: Tried) -> None:
    tried.use_up(HIS)
    assert tried.go(place(2))
    assert tried.go(place(3))
    told = tried.go(HER)
    assert told == 3 * EARN_BACK_S
    for second in range(told):
        if second % EARN_BACK_S == 0:
            for network in range(1, 5):  # 2 and 3 use their turns, and all stand behind her
                tried.go(place(network))
        tried.now += 1
    for network in range(1, 5):
        assert tried.go(place(network))
    assert tried.go(HER) is None


def test_what_an_older_version_wrote_is_no_line(tried: Tried) -> None:
    for length in (0, 32, 64):
        tried.right()
        tried.use_up(HIS)
        tried.connection.exec_driver_sql("UPDATE throttle SET waiting = ?", (b"w" * length,))
        assert tried.go(HER) == EARN_BACK_S


def test_where_the_clock_stands_still_or_was_set_back_nothing_is_earned(tried: Tried) -> None:
    tried.use_up(HIS)
    assert tried.go(HER) == EARN_BACK_S
    tried.now -= 1000
    assert tried.go(HER) == EARN_BACK_S + 1000
    assert tried.go(HIS)
    tried.now += 1000 + EARN_BACK_S
    assert tried.go(HER) is None


def test_the_sweep_forgets_no_turn_that_is_kept(tried: Tried) -> None:
    tried.use_up(HIS)
    for network in range(2, 2 + PLACES_WAITING):
        assert tried.go(place(network))
    last = tried.line[-1]
    lapses = last.at + TURN_S
    for now in (*range(tried.now, lapses, 60), lapses - 1):
        assert throttle.prune(tried.connection, now) == 0
    assert throttle.prune(tried.connection, lapses) == 1


# --- all of them, at any times --------------------------------------------------------------------

GAPS = st.sampled_from([0, 1, 2, 60, 178, 179, 180, 181, 359, 400, 900])


@dataclass
class She:
    """She asks, hears a time, comes back then, and not before."""

    tried: Tried
    others: list[bytes]
    data: st.DataObject

    def they_try(self) -> None:
        if self.others:
            for other in self.data.draw(st.lists(st.sampled_from(self.others), max_size=12)):
                self.tried.go(other)

    def waits(self) -> tuple[int, int]:
        """Until a try is hers, while the others do what serves them best, in her second before her:
        the seconds from her first asking, and how often she was told a time."""
        asked, told = self.tried.now, 0
        self.they_try()
        while (wait := self.tried.go(HER)) is not None:
            told += 1
            back = self.tried.now + wait
            while self.tried.now < back:
                self.tried.now = min(back, self.tried.now + max(1, self.data.draw(GAPS)))
                self.they_try()
            assert self.tried.now - asked <= 40 * EARN_BACK_S
        return self.tried.now - asked, told


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_k_networks_that_guess_delay_each_try_of_hers_by_k_times_three_minutes(
    data: st.DataObject,
) -> None:
    """In however many browsers, whenever it serves them best, with turns used or not; she mistypes
    as often as she likes. Without them she waits three minutes at most. Where hers was not the last
    try the time that she was told was true: she is told one, and comes back once.
    """
    networks = data.draw(st.integers(0, 4), label="networks")
    browsers = data.draw(st.integers(1, 4), label="browsers")
    others = [place(1 + one, browser) for one in range(networks) for browser in range(browsers)]
    for tried in card():
        she = She(tried, others, data)
        for gap in data.draw(st.lists(GAPS, max_size=8)):
            she.they_try()
            tried.now += gap
        for _ in range(data.draw(st.integers(1, 3))):
            she.they_try()
            hers_was_last = tried.was_last == HER
            waited, told = she.waits()
            assert waited <= (networks + hers_was_last) * EARN_BACK_S
            assert told <= 1 or hers_was_last
            tried.now += data.draw(GAPS)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_one_who_guesses_in_her_own_network_with_another_browser_counts_as_a_network(
    data: st.DataObject,
) -> None:
    """Alone he costs her three minutes; with k other networks each try of hers waits for two rounds
    of all of them, and where hers was the last, for one turn more."""
    networks = data.draw(st.integers(0, 2), label="networks")
    others = [place(0, 1), *(place(1 + one) for one in range(networks))]
    for tried in card():
        she = She(tried, others, data)
        for gap in data.draw(st.lists(GAPS, max_size=8)):
            she.they_try()
            tried.now += gap
        for _ in range(data.draw(st.integers(1, 3))):
            she.they_try()
            hers_was_last = tried.was_last == HER
            waited, _ = she.waits()
            assert waited <= (2 * networks + 1 + hers_was_last) * EARN_BACK_S
            tried.now += data.draw(GAPS)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_nobody_who_does_not_come_holds_a_try_longer_than_he_was_told(data: st.DataObject) -> None:
    """Where all fall silent, each place in the line is free three minutes behind its time."""
    others = [place(one, browser) for one in range(1, 7) for browser in range(2)]
    for tried in card():
        she = She(tried, others, data)
        for gap in data.draw(st.lists(GAPS, max_size=8)):
            she.they_try()
            tried.now += gap
        if not tried.line:
            continue
        tried.now = max(tried.now, max(turn.at for turn in tried.line) + TURN_S)
        assert tried.go(HER) is None
        assert tried.line == []


# --- over the wire --------------------------------------------------------------------------------


def test_on_the_wire_she_gets_in_past_one_who_guesses_from_elsewhere(world: World) -> None:
    world.register("haven", NUMBER, "her-at-haven")
    own(world)
    for _ in range(20):
        with pytest.raises(SafehandError):
            sign_in(world, WRONG, network=HIS)
    world.clock.advance(100)
    with refused(Reason.THROTTLED) as caught:
        sign_in(world, OWN_PIN, network=HER)
    assert caught.value.retry_after_s == EARN_BACK_S - 100
    for _ in range(EARN_BACK_S - 100):
        world.clock.advance(1)
        with refused(Reason.THROTTLED):
            sign_in(world, WRONG, network=HIS)
    assert sign_in(world, OWN_PIN, network=HER)


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
            sign_in(world, WRONG, number=number, network=place(7, 7))
    kept = [bytes(row[0]) for row in world.rows("SELECT taken_by FROM throttle")]
    halves = {half for one in kept for half in (one[:16], one[16:])}
    assert len(halves) == 4
    assert place(7)[:16] not in halves


def test_in_her_own_network_another_browser_does_not_take_her_turn(world: World) -> None:
    world.register("haven", NUMBER, "her-at-haven")
    own(world)
    for _ in range(20):
        with pytest.raises(SafehandError):
            sign_in(world, WRONG, network=place(0, 1))
    with refused(Reason.THROTTLED):
        sign_in(world, OWN_PIN, network=HER)
    world.clock.advance(EARN_BACK_S)
    with refused(Reason.THROTTLED):
        sign_in(world, WRONG, network=place(0, 1))
    with refused(Reason.THROTTLED):
        sign_in(world, WRONG, network=place(0, 2))
    assert sign_in(world, OWN_PIN, network=HER)


def test_a_card_that_is_none_takes_turns_too(world: World) -> None:
    for _ in range(TRIES):
        with refused(Reason.SIGN_IN_FAILED):
            sign_in(world, WRONG, number=9, network=HIS)
    with refused(Reason.THROTTLED):
        sign_in(world, WRONG, number=9, network=HER)
    world.clock.advance(EARN_BACK_S)
    with refused(Reason.THROTTLED):
        sign_in(world, WRONG, number=9, network=HIS)
    with refused(Reason.SIGN_IN_FAILED):
        sign_in(world, WRONG, number=9, network=HER)


def test_a_card_that_is_none_is_answered_the_same_in_the_line(world: World) -> None:
    """Who asks, in which order, gets the same answer and the same time at a card that is none."""
    world.register("haven", NUMBER, "her-at-haven")
    own(world)
    heard: list[list[object]] = []
    for number in (NUMBER, 9):
        heard.append([])
        for turn in range(4 * TRIES):
            with pytest.raises(SafehandError) as caught:
                sign_in(world, WRONG, number=number, network=place(turn % 3, turn % 2))
            heard[-1].append((caught.value.reason, caught.value.retry_after_s))
    assert heard[0] == heard[1]
    assert len(set(heard[0])) > 3

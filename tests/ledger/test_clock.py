"""The ledger's time never runs backwards, and no clock that jumped drags it forward."""

from __future__ import annotations

import pytest
from safehand_core.clock import ManualClock
from safehand_formats.kinds import Kind
from safehand_ledger.clockguard import MAX_LEAD_S, MAX_START_LEAD_S, ClockGuard

from tests.ledger.world import DAY, World

START = ManualClock().wall()


def stored_time(world: World) -> int:
    return int(world.store.rows("SELECT ledger_time FROM ledger_head")[0][0])


def test_time_passes_as_the_clock_does(world: World) -> None:
    world.append_keys(1)
    assert stored_time(world) == START
    world.clock.advance(100)
    assert world.writer.now == START + 100
    world.append_keys(1)
    assert stored_time(world) == START + 100
    assert not world.writer.clock_suspect


def test_a_clock_set_back_stops_the_ledgers_time_and_never_turns_it(world: World) -> None:
    world.clock.advance(1000)
    world.append_keys(1)
    world.clock.jump_wall(-5000)
    world.append_keys(1)
    assert world.writer.now == START + 1000
    world.reload()
    world.append_keys(1)
    assert world.writer.now == START + 1000
    assert not world.writer.clock_suspect
    world.clock.jump_wall(5000)
    world.check_log(3)


def test_a_small_step_forward_is_believed(world: World) -> None:
    world.clock.jump_wall(MAX_LEAD_S)
    assert world.writer.now == START + MAX_LEAD_S
    assert not world.writer.clock_suspect


def test_many_small_steps_are_a_large_one(world: World) -> None:
    for _ in range(3):
        world.clock.jump_wall(MAX_LEAD_S // 2)
        world.writer.now  # noqa: B018  each reading may look harmless
    assert world.writer.clock_suspect


def test_a_leap_forward_makes_the_clock_suspect_and_moves_nothing(world: World) -> None:
    script = world.grant()
    world.clock.jump_wall(200 * DAY)
    assert world.writer.clock_suspect
    assert world.writer.now == START
    world.clock.advance(5)
    committed = script.append(Kind.STOP)
    assert committed.receipts[1].body["at"] == START + 5, "stops go on, at the trusted pace"
    assert stored_time(world) == START + 5
    world.check_log(2)


def test_a_suspect_clock_stays_so_until_an_operator_confirms(world: World) -> None:
    world.clock.jump_wall(2 * DAY)
    assert world.writer.clock_suspect
    world.clock.jump_wall(-2 * DAY)
    assert world.writer.clock_suspect
    world.writer.confirm_clock()
    assert not world.writer.clock_suspect
    assert world.writer.now == START


def test_a_confirmed_leap_is_the_time(world: World) -> None:
    world.clock.jump_wall(2 * DAY)
    assert world.writer.clock_suspect
    world.writer.confirm_clock()
    assert world.writer.now == START + 2 * DAY
    assert not world.writer.clock_suspect


@pytest.mark.parametrize(
    ("lead", "suspect"), [(MAX_START_LEAD_S, False), (MAX_START_LEAD_S + 1, True)]
)
def test_a_start_long_after_the_last_entry_asks_the_operator(
    world: World, lead: int, suspect: bool
) -> None:
    world.append_keys(1)
    world.writer.close()
    world.clock.jump_wall(lead)
    world.start()
    assert world.writer.clock_suspect is suspect
    assert world.writer.now == START + (0 if suspect else lead)


def test_an_empty_ledger_knows_no_time_to_be_late_for(world: World) -> None:
    world.writer.close()
    world.clock.advance(365 * DAY)
    world.start()
    assert not world.writer.clock_suspect


def test_a_clock_that_was_dead_at_start_may_come_back(world: World) -> None:
    world.clock.advance(1000)
    world.append_keys(1)
    world.writer.close()
    world.clock.jump_wall(-START)  # 1970: the battery was empty
    world.start()
    assert world.writer.now == START + 1000
    world.clock.jump_wall(START)  # the time server answers
    assert not world.writer.clock_suspect


def test_time_that_was_acted_on_is_stored_without_an_entry(world: World) -> None:
    world.clock.advance(50)
    world.writer.submit(lambda tx: None)
    assert stored_time(world) == START + 50


def test_readings_never_fall_whatever_the_clock_does() -> None:
    clock = ManualClock()
    guard = ClockGuard(clock, clock.wall(), fresh=False)
    readings = []
    for step in (5, -100, 3, 700, -1000, 90, 10**6, -(10**6), 4):
        clock.jump_wall(step)
        clock.advance(1)
        readings.append(guard.now())
    assert readings == sorted(readings)

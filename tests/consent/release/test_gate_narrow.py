"""The gate of a narrowing: shut for what is taken out, for good; open for everything else."""

from __future__ import annotations

import threading

import pytest
from safehand_consent_service.gate import FORGET_AFTER_S, Gates
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.consent.release.test_gate import GRANT, LONG_S, FakeCall, in_thread, refused


def shut(gates: Gates, category: str) -> bool:
    try:
        gates.leave(gates.enter(GRANT, FakeCall(), category))
    except SafehandError as error:
        return error.reason is Reason.CONSENT_ENDED
    return False


def test_it_is_shut_while_the_narrowing_runs_and_for_ever_once_it_is_on_record() -> None:
    gates = Gates()
    narrowed = gates.narrow_and_drain(GRANT, {"HEALTH"})
    assert shut(gates, "HEALTH")
    assert not shut(gates, "NAME")
    narrowed.keep()
    assert shut(gates, "HEALTH")
    assert not shut(gates, "NAME")
    assert not gates.is_up(GRANT)


def test_one_that_failed_opens_it_again_but_not_for_what_another_took_out() -> None:
    gates = Gates()
    first = gates.narrow_and_drain(GRANT, {"HEALTH", "NAME"})
    second = gates.narrow_and_drain(GRANT, {"HEALTH"})
    second.keep()
    first.drop()
    assert shut(gates, "HEALTH")
    assert not shut(gates, "NAME")
    first.keep()  # ended already: changes nothing
    assert not shut(gates, "NAME")


def test_a_resume_does_not_open_it() -> None:
    gates = Gates()
    gates.narrow_and_drain(GRANT, {"HEALTH"}).keep()
    gates.raise_and_drain(GRANT).keep(7)
    gates.lower(GRANT, 8)
    assert shut(gates, "HEALTH")
    assert not shut(gates, "NAME")


def test_it_waits_for_what_it_takes_out_and_for_nothing_else() -> None:
    gates = Gates()
    other, mine = FakeCall(), FakeCall()
    gates.enter(GRANT, other, "NAME")
    gates.enter(GRANT, mine, "HEALTH")
    done = threading.Event()

    def narrow() -> None:
        gates.narrow_and_drain(GRANT, {"HEALTH"}, cancel_after_s=LONG_S).keep()
        done.set()

    thread = in_thread(narrow)
    assert not done.wait(0.1)
    mine.end()
    assert done.wait(LONG_S)
    thread.join()
    assert not other.cancelled
    assert gates.inside(GRANT) == 1


def test_a_release_that_hangs_is_cancelled_and_cannot_hand_over_any_more() -> None:
    gates = Gates()
    other, mine = FakeCall(), FakeCall()
    going_on = gates.enter(GRANT, other, "NAME")
    passage = gates.enter(GRANT, mine, "HEALTH")
    gates.narrow_and_drain(GRANT, {"HEALTH"}, cancel_after_s=0.05).keep()
    assert mine.cancelled
    assert not other.cancelled
    with pytest.raises(SafehandError):
        gates.hand_over(passage)
    gates.hand_over(going_on)


def test_what_was_taken_out_is_remembered_as_long_as_a_stop() -> None:
    now = [0.0]
    gates = Gates(lambda: now[0])
    gates.narrow_and_drain(GRANT, {"HEALTH"}).keep()
    now[0] = FORGET_AFTER_S - 1
    assert shut(gates, "HEALTH")
    assert not refused(gates)

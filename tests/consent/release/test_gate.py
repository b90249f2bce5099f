"""The release gate: no release passes a raised flag, and no stop waits for a release that hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from safehand_consent_service.gate import FORGET_AFTER_S, Gates
from safehand_consent_service.leaving import Passage
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

GRANT = "0" * 32
OTHER = "1" * 32
LONG_S = 20.0
SOON_S = 0.05


class FakeCall:
    """A gRPC call as the gate sees it: ``end`` is what gRPC does when the RPC is over."""

    def __init__(self) -> None:
        self.cancelled = False
        self.over = False
        self._callbacks: list[Callable[[], None]] = []

    def add_callback(self, callback: Callable[[], None]) -> bool:
        if self.over:
            return False
        self._callbacks.append(callback)
        return True

    def cancel(self) -> bool:
        self.cancelled = True
        self.end()
        return True

    def end(self) -> None:
        self.over = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


def refused(gates: Gates, grant: str = GRANT) -> bool:
    try:
        gates.leave(gates.enter(grant, FakeCall(), "NAME"))
    except SafehandError as error:
        return error.reason is Reason.CONSENT_ENDED
    return False


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_kept_flag_refuses_until_a_later_resume() -> None:
    gates = Gates()
    gates.raise_and_drain(GRANT).keep(5)
    assert refused(gates)
    gates.lower(GRANT, 9)
    assert not refused(gates)


def test_a_late_report_of_an_old_resume_does_not_lower_a_newer_stop() -> None:
    gates = Gates()
    gates.raise_and_drain(GRANT).keep(5)
    gates.raise_and_drain(GRANT).keep(10)
    gates.lower(GRANT, 9)
    assert refused(gates)


def test_a_late_report_of_an_old_stop_does_not_undo_a_newer_resume() -> None:
    gates = Gates()
    slow = gates.raise_and_drain(GRANT)
    gates.lower(GRANT, 9)
    slow.keep(5)
    assert not refused(gates)


def test_a_stop_that_failed_cleanly_lowers_its_own_flag_and_no_other() -> None:
    gates = Gates()
    first, second = gates.raise_and_drain(GRANT), gates.raise_and_drain(GRANT)
    first.drop()
    first.drop()
    assert refused(gates)
    second.drop()
    assert not refused(gates)


def test_a_failed_stop_leaves_the_flag_of_a_stop_on_record() -> None:
    gates = Gates()
    gates.raise_and_drain(GRANT).keep(3)
    gates.raise_and_drain(GRANT).drop()
    assert refused(gates)


def test_the_flag_of_one_grant_is_not_anothers() -> None:
    gates = Gates()
    gates.raise_and_drain(GRANT).keep(3)
    assert not refused(gates, OTHER)


def test_a_stop_waits_for_a_release_on_its_way_out() -> None:
    gates = Gates()
    call = FakeCall()
    gates.enter(GRANT, call, "NAME")
    drained = threading.Event()

    def stop() -> None:
        gates.raise_and_drain(GRANT, LONG_S).keep(1)
        drained.set()

    thread = in_thread(stop)
    while not gates.is_up(GRANT):
        time.sleep(0.001)
    assert not drained.wait(SOON_S)
    assert refused(gates)
    call.end()
    thread.join(LONG_S)
    assert drained.is_set()
    assert not call.cancelled


def test_a_release_that_hangs_is_cancelled_and_cannot_hand_over_any_more() -> None:
    gates = Gates()
    call = FakeCall()
    passage = gates.enter(GRANT, call, "NAME")
    began = time.monotonic()
    gates.raise_and_drain(GRANT, SOON_S).keep(1)
    assert time.monotonic() - began < LONG_S
    assert call.cancelled
    told: list[str] = []
    with pytest.raises(SafehandError) as caught:
        gates.hand_over(passage, lambda: told.append("handed"))
    assert caught.value.reason is Reason.CONSENT_ENDED
    assert not told


def test_a_call_that_is_over_already_does_not_pass() -> None:
    gates = Gates()
    call = FakeCall()
    call.end()
    with pytest.raises(SafehandError):
        gates.enter(GRANT, call, "NAME")
    gates.raise_and_drain(GRANT, LONG_S).keep(1)  # and nobody is left inside


def test_several_stops_of_one_grant_do_not_wait_for_each_other() -> None:
    gates = Gates()
    call = FakeCall()
    gates.enter(GRANT, call, "NAME")
    threads = [
        in_thread(lambda index=index: gates.raise_and_drain(GRANT, LONG_S).keep(index))  # type: ignore[misc]
        for index in range(8)
    ]
    time.sleep(SOON_S)
    call.end()
    for thread in threads:
        thread.join(LONG_S)
        assert not thread.is_alive()
    assert refused(gates)


def test_stops_of_several_grants_in_any_order_do_not_deadlock() -> None:
    gates = Gates()

    def stop_all(grants: list[str]) -> None:
        for _ in range(50):
            for raised in gates.raise_all(grants, SOON_S):
                raised.drop()

    threads = [in_thread(lambda g=g: stop_all(g)) for g in ([GRANT, OTHER], [OTHER, GRANT])]  # type: ignore[misc]
    for thread in threads:
        thread.join(LONG_S)
        assert not thread.is_alive()


def test_nothing_is_handed_over_after_a_stop_has_drained() -> None:
    """Many releases and stops at once: the order of what they say is what counts."""
    gates = Gates()
    order: list[str] = []
    stopped = threading.Event()

    def release() -> None:
        while not stopped.is_set():
            call = FakeCall()
            try:
                passage: Passage = gates.enter(GRANT, call, "NAME")
                gates.hand_over(passage, lambda: order.append("handed"))
            except SafehandError:
                return
            finally:
                call.end()

    threads = [in_thread(release) for _ in range(4)]
    time.sleep(SOON_S)
    raised = gates.raise_and_drain(GRANT, LONG_S)
    order.append("drained")
    raised.keep(1)
    for thread in threads:
        thread.join(LONG_S)
    stopped.set()
    assert order[-1] == "drained"
    assert "handed" in order


def test_a_gate_that_nobody_uses_takes_no_memory() -> None:
    gates = Gates()
    for number in range(100):
        assert not refused(gates, f"{number:032x}")
        gates.raise_and_drain(f"{number:032x}").drop()
    assert not gates._gates


def test_gates_of_long_ago_are_forgotten_and_fresh_ones_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr("safehand_consent_service.gate.FORGET_FROM", 10)
    gates = Gates(lambda: now[0])
    for number in range(20):
        gates.raise_and_drain(f"{number:032x}").keep(number)
    now[0] = FORGET_AFTER_S + 1
    gates.raise_and_drain(GRANT).keep(20)
    gates.raise_and_drain(OTHER).keep(21)
    assert set(gates._gates) == {GRANT, OTHER}
    assert refused(gates)
    assert refused(gates, OTHER)

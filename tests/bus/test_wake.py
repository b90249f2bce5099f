"""Waking: a hint that never waits, never fails, and works on any path."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest
from safehand_bus.wake import WakeListener, Waker


@pytest.fixture(params=["short", "long"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    directory = tmp_path if request.param == "short" else tmp_path / ("d" * 120)
    directory.mkdir(exist_ok=True)
    return directory / "consent.wake"


def test_nobody_listening_is_no_error(path: Path) -> None:
    waker = Waker(path)
    waker.wake()
    with WakeListener(path):
        waker.wake()
    waker.wake()
    waker.close()
    waker.wake()


def test_a_hint_wakes_a_thread(path: Path) -> None:
    waker = Waker(path)
    with WakeListener(path) as listener:
        assert listener.wait(0.01) is False
        timer = threading.Timer(0.05, waker.wake)
        timer.start()
        begun = time.monotonic()
        assert listener.wait(5.0) is True
        assert time.monotonic() - begun < 1.0
        timer.join()
        for _ in range(5):
            waker.wake()
        assert listener.wait(1.0) is True
        assert listener.wait(0.01) is False  # many hints are one
    waker.close()


def test_a_hint_sets_an_event_in_a_loop(path: Path) -> None:
    async def main() -> None:
        woken = asyncio.Event()
        listener.attach(woken)
        waker.wake()
        await asyncio.wait_for(woken.wait(), 1.0)
        listener.detach()

    waker = Waker(path)
    with WakeListener(path) as listener:
        asyncio.run(main())
    waker.close()


def test_a_full_queue_does_not_hold_the_caller(path: Path) -> None:
    waker = Waker(path)
    with WakeListener(path) as listener:
        begun = time.monotonic()
        for _ in range(5000):
            waker.wake()
        assert time.monotonic() - begun < 30.0
        assert listener.wait(0) is True
    waker.close()


def test_a_restarted_listener_takes_over_and_only_removes_its_own(path: Path) -> None:
    first = WakeListener(path)
    second = WakeListener(path)
    first.close()
    waker = Waker(path)
    waker.wake()
    assert second.wait(1.0) is True
    assert path.stat().st_mode & 0o077 == 0
    second.close()
    waker.close()
    assert not path.exists()

"""The header: only a well-formed one is one, and nothing is current by default."""

from __future__ import annotations

import threading

import pytest
from safehand_core import trace
from safehand_core.trace import Place, entered, parse

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_header_survives_both_ways() -> None:
    place = parse(GOOD)
    assert place == Place(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True)
    assert place.header() == GOOD
    unsampled = parse(GOOD[:-2] + "00")
    assert unsampled is not None
    assert not unsampled.sampled


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD.upper(),
        GOOD + "-extra",
        GOOD + " ",
        "\n" + GOOD,
        GOOD + "\n",
        GOOD.replace("00-", "ff-", 1),
        GOOD.replace("00-", "01-", 1),
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        "00-Zoraquiel Testina 1980-01-01",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert parse(text) is None


def test_other_flags_than_sampled_do_not_come_back_out() -> None:
    place = parse(GOOD[:-2] + "ff")
    assert place is not None
    assert place.header() == GOOD


def test_nothing_is_current_until_somebody_enters() -> None:
    place = parse(GOOD)
    assert (trace.current(), trace.sampled_header()) == (None, "")
    with entered(place):
        assert trace.current() == place
        assert trace.sampled_header() == GOOD
    assert trace.current() is None


def test_an_unrecorded_trace_is_told_to_nobody() -> None:
    with entered(parse(GOOD[:-2] + "00")):
        assert trace.sampled_header() == ""


def test_an_operation_carries_its_trace_to_another_thread() -> None:
    seen: list[str] = []

    def work() -> None:
        seen.append(trace.sampled_header())

    with entered(parse(GOOD)):
        carried = trace.carried(work)
    for operation in (carried, trace.carried(work)):
        thread = threading.Thread(target=operation)
        thread.start()
        thread.join()
    assert seen == [GOOD, ""]

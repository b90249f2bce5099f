"""Replay from any place, the server's durability, and what a stream no longer keeps."""

from __future__ import annotations

import itertools
import random
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from safehand.events.v1 import events_pb2
from safehand_bus import replay
from safehand_bus.connection import Connection
from safehand_bus.provision import MAX_AGE_S, MAX_BYTES
from safehand_bus.relay import message_id, parse_message_id
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store import outbox
from safehand_store.engine import begin_read

from tests.bus.world import Bus, Reader, Source, eventually


def ask(source: Source, first: int, request_id: str = "one") -> tuple[int, int]:
    return replay.ask(source.engine, first, request_id=request_id, wake=source.waker.wake)


def ids(*ranges: tuple[int, int, int]) -> list[str]:
    return [
        message_id("consent", n, r) for first, last, r in ranges for n in range(first, last + 1)
    ]


@pytest.mark.parametrize("first", [1, 4, 10])
def test_everything_from_a_place_on_is_published_again(
    bus: Bus, consent: Source, reader: Reader, first: int
) -> None:
    consent.worker.start()
    consent.write(10)
    with reader.running() as consumer:
        eventually(lambda: reader.position() == 10)
        assert ask(consent, first) == (1, 10)
        eventually(lambda: consumer.counters["repeated"] >= 11 - first)
        consent.write(2)
        eventually(lambda: reader.position() == 12)
    assert bus.ids("CONSENT") == ids((1, 10, 0), (first, 12, 1))
    assert reader.committed == list(range(1, 13))
    eventually(lambda: consent.cursor() == 12)


def test_replays_follow_each_other_and_a_repeated_request_is_none(
    bus: Bus, consent: Source
) -> None:
    consent.worker.start()
    consent.write(5)
    eventually(lambda: consent.cursor() == 5)
    assert ask(consent, 4, "a") == (1, 5)
    assert ask(consent, 4, "a") == (1, 5)
    eventually(lambda: len(bus.ids("CONSENT")) == 7)
    assert ask(consent, 5, "b") == (2, 5)
    eventually(lambda: len(bus.ids("CONSENT")) == 8)
    assert ask(consent, 4, "a") == (1, 5)
    consent.write(1)
    eventually(lambda: len(bus.ids("CONSENT")) == 9)
    assert bus.ids("CONSENT") == ids((1, 5, 0), (4, 5, 1), (5, 6, 2))


def test_a_place_behind_the_last_event_is_refused(bus: Bus, consent: Source) -> None:
    consent.write(3)
    for first in (0, -1, 4):
        with pytest.raises(SafehandError) as refused:
            ask(consent, first)
        assert refused.value.reason is Reason.NOT_FOUND
    with begin_read(consent.engine) as db:
        assert outbox.replay(db) == (0, 0)


def test_a_relay_that_dies_in_a_replay_goes_on_with_it(bus: Bus, consent: Source) -> None:
    consent.write(40)
    consent.worker.start()
    eventually(lambda: consent.cursor() == 40)
    dice = random.Random(3)
    for number in range(4):
        ask(consent, dice.randint(1, 40), f"request-{number}")
        consent.restart_worker()
    eventually(lambda: consent.cursor() == 40 and bus.ids("CONSENT")[-1] == "consent:40+4")
    found = [parse_message_id("consent", text) for text in bus.ids("CONSENT")]
    for (before, round_before), (after, round_after) in itertools.pairwise(found):  # type: ignore[misc]
        assert (round_before, before + 1) == (round_after, after) or round_before < round_after


def test_a_replay_on_a_stream_that_was_lost_publishes_everything_once(
    bus: Bus, consent: Source, reader: Reader
) -> None:
    consent.worker.start()
    consent.write(6)
    eventually(lambda: consent.cursor() == 6)
    bus.server.kill()
    shutil.rmtree(bus.server.store)
    ask(consent, 3)
    bus.server.start()
    eventually(lambda: len(bus.ids("CONSENT")) == 6)
    assert bus.ids("CONSENT") == ids((1, 6, 1))


@pytest.mark.parametrize(
    "text",
    ["", "consent", "consent:0", "consent:1+", "consent:1+0", "consent:1+01", "consent:1+-1",
     "consent:1+x", "consent:1+1+1", "referral:1", "consent:1 +1"],
)  # fmt: skip
def test_what_is_no_message_id_is_none(text: str) -> None:
    assert parse_message_id("consent", text) is None


def test_message_ids_can_be_read_back() -> None:
    for sequence, number in ((1, 0), (7, 1), (10**12, 10**6)):
        text = message_id("consent", sequence, number)
        assert parse_message_id("consent", text) == (sequence, number)
    assert message_id("consent", 7, 0) == "consent:7"


# --- what the server promises ------------------------------------------------------------------


async def _limits(connection: Connection) -> tuple[float, int, str]:
    config = (await connection.js.stream_info("CONSENT")).config
    return config.max_age or 0.0, config.max_bytes or 0, str(config.discard)


def test_streams_have_limits(bus: Bus) -> None:
    age, size, discard = bus.do("consent", _limits)
    assert (age, size, discard) == (MAX_AGE_S, MAX_BYTES, "old")


async def _kept(connection: Connection) -> int:
    return int((await connection.js.stream_info("CONSENT")).state.messages)


async def _last(connection: Connection) -> int:
    return int((await connection.js.stream_info("CONSENT")).state.last_seq)


def test_what_was_acknowledged_survives_a_sigkill(bus: Bus, consent: Source) -> None:
    """Acknowledged means on the disk; with the default it may be two minutes from there."""
    configuration = (bus.server.directory / "nats.conf").read_text()
    assert '"sync_interval": "always"' in configuration
    consent.worker.start()
    for round in range(1, 4):
        consent.write(25)
        eventually(lambda: consent.cursor() == 25 * round)  # noqa: B023  used at once
        consent.worker.stop()  # nobody could publish it again
        bus.server.kill()
        bus.server.start()
        assert bus.do("consent", _last) == 25 * round
        consent.restart_worker()
    assert bus.ids("CONSENT") == ids((1, 75, 0))


def forget(bus: Bus, consent: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything on the stream grow too old for it; what comes later is kept again."""
    monkeypatch.setattr("safehand_bus.provision.MAX_AGE_S", 1)
    monkeypatch.setattr("safehand_bus.provision.DUPLICATE_WINDOW_S", 1)
    bus.server.provision()
    eventually(lambda: bus.do("consent", _kept) == 0)
    consent.restart_worker()  # it finds an empty stream, and publishes nothing old
    monkeypatch.setattr("safehand_bus.provision.MAX_AGE_S", 600)
    bus.server.provision()


def test_what_the_stream_no_longer_keeps_is_fetched_from_the_source(
    bus: Bus, consent: Source, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that was away for longer than the stream's age misses nothing."""
    consent.worker.start()
    consent.write(30)
    eventually(lambda: consent.cursor() == 30)
    forget(bus, consent, monkeypatch)
    consent.write(1)
    eventually(lambda: bus.ids("CONSENT") == ["consent:31"])
    with reader.running() as consumer:
        eventually(lambda: reader.position() == 31)
        assert consumer.counters["fetched"] == 31
    assert reader.committed == list(range(1, 32))


def test_the_last_events_are_fetched_though_no_message_comes(
    bus: Bus, consent: Source, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where nothing happened since: a stop waits for nobody else's event."""
    consent.worker.start()
    consent.write(250)
    eventually(lambda: consent.cursor() == 250)
    forget(bus, consent, monkeypatch)
    with reader.running() as consumer:
        eventually(lambda: reader.position() == 250)
        eventually(lambda: consumer.counters["looks"] == 4)  # three pages, and an empty one
        assert bus.ids("CONSENT") == []
    assert reader.committed == list(range(1, 251))


def test_what_is_lost_while_a_reader_listens_is_fetched_in_the_next_silence(
    bus: Bus, consent: Source, reader: Reader
) -> None:
    reader.look_every_s = 0.1
    with reader.running() as consumer:
        eventually(lambda: consumer.counters["looks"] > 0)
        consent.write(3)  # nothing is relayed
        eventually(lambda: reader.position() == 3)
    assert reader.committed == [1, 2, 3]


def test_each_session_begins_with_a_look(bus: Bus, consent: Source, reader: Reader) -> None:
    reader.look_every_s = 1e9
    with reader.running() as consumer:
        eventually(lambda: consumer.counters["looks"] == 1)
        consent.write(3)  # nothing is relayed
        bus.server.kill()
        bus.server.start()
        eventually(lambda: reader.position() == 3)
    assert reader.committed == [1, 2, 3]


def test_a_look_that_fails_is_tried_again_and_fails_nothing(
    bus: Bus, consent: Source, reader: Reader
) -> None:
    silent = True

    def fetch(after: int) -> Sequence[events_pb2.Event]:
        if silent:
            raise SafehandError(Reason.UNAVAILABLE, "away")
        return consent.fetch(after)

    reader.fetch, reader.look_every_s = fetch, 0.1
    consent.write(3)
    with reader.running() as consumer:
        eventually(lambda: consumer.counters["looks_failed"] > 0)
        assert reader.position() == consumer.counters["failed"] == 0
        silent = False
        eventually(lambda: reader.position() == 3)
    assert reader.committed == [1, 2, 3]


def test_a_source_that_hangs_holds_up_nothing_that_the_bus_brings(
    bus: Bus, consent: Source, reader: Reader
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def fetch(after: int) -> Sequence[events_pb2.Event]:
        asked.set()
        assert answer.wait(60)
        return consent.fetch(after)

    reader.fetch = fetch
    consent.worker.start()
    with reader.running() as consumer:
        try:
            assert asked.wait(60)
            consent.write(3)
            eventually(lambda: reader.position() == 3)
            assert consumer.counters["looks"] == consumer.counters["gaps"] == 0
        finally:
            answer.set()
        eventually(lambda: consumer.counters["looks"] > 0)
    assert reader.committed == [1, 2, 3]


def test_the_store_is_on_the_disk(bus: Bus, consent: Source, tmp_path: Path) -> None:
    consent.worker.start()
    consent.write(3)
    eventually(lambda: consent.cursor() == 3)
    files = [path for path in bus.server.store.rglob("*.blk") if path.stat().st_size]
    assert files
    assert all(path.is_relative_to(tmp_path) for path in files)

"""Following our events goes on where it was, whatever happens to the service in between."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from safehand.notify.v1 import notify_pb2
from safehand_client import AgencyClient
from safehand_client._internal.calls import Stubs
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.client.party import Scene, Silent


class Stream(Iterator[Any]):
    """``cursors``, and then how it ends: a refusal, or None for a plain end."""

    def __init__(self, cursors: range, end: SafehandError | None) -> None:
        self._cursors = iter(cursors)
        self._end = end
        self.cancelled = False

    def __next__(self) -> Any:
        for cursor in self._cursors:
            return notify_pb2.FollowResponse(delivery=notify_pb2.Delivery(cursor=cursor))
        raise self._end or StopIteration

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Notify:
    """Two deliveries for each stream; ``ends`` says how one after another ends."""

    ends: list[SafehandError | None]
    asked: list[int] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)

    def Follow(self, request: Any) -> Stream:  # noqa: N802
        self.asked.append(request.after)
        found = Stream(range(request.after + 1, request.after + 3), self.ends.pop(0))
        self.streams.append(found)
        return found


def client(tmp_path: Path, notify: Notify) -> AgencyClient:
    scene = Scene(tmp_path)
    nobody: Any = Silent()
    one: Any = notify
    return AgencyClient(scene.party, stubs=Stubs(nobody, nobody, nobody, nobody, one, ()))


AWAY = SafehandError(Reason.UNAVAILABLE)
FULL = SafehandError(Reason.OVERLOADED, retry_after_s=0.01)


def test_it_begins_again_behind_the_last_cursor(tmp_path: Path) -> None:
    notify = Notify([AWAY, None, FULL, AWAY])
    heard: list[float] = []
    found = client(tmp_path, notify).follow(4, on_retry=lambda _, wait: heard.append(wait))
    cursors = [delivery.cursor for delivery in itertools.islice(found, 8)]
    assert cursors == list(range(5, 13))
    assert notify.asked == [4, 6, 8, 10]
    assert len(heard) == 3


def test_a_stream_that_nobody_hears_any_more_is_left(tmp_path: Path) -> None:
    notify = Notify([AWAY])
    found: Any = client(tmp_path, notify).follow()
    next(found)
    found.close()
    assert notify.streams[0].cancelled


def test_a_refusal_is_passed_on(tmp_path: Path) -> None:
    notify = Notify([SafehandError(Reason.MALFORMED)])
    with pytest.raises(SafehandError) as refused:
        list(client(tmp_path, notify).follow())
    assert refused.value.reason is Reason.MALFORMED


def test_without_reconnecting_the_end_is_told(tmp_path: Path) -> None:
    notify = Notify([AWAY])
    with pytest.raises(SafehandError) as refused:
        list(client(tmp_path, notify).follow(reconnect=False))
    assert refused.value.reason is Reason.UNAVAILABLE
    assert notify.asked == [0]


def test_a_closed_client_follows_no_more(tmp_path: Path) -> None:
    notify = Notify([AWAY])
    listening = client(tmp_path, notify)
    found = listening.follow()
    next(found)
    listening.close()
    assert len(list(found)) == 1

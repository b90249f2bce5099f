"""The span in which an event has its effect, for whoever applies events."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from safehand.events.v1 import events_pb2
from safehand_telemetry import tracing

from safehand_bus import topology


@contextlib.contextmanager
def applying(event: events_pb2.Event, *, attempt: int = 1) -> Iterator[None]:
    """The block is the effect of ``event``; its ``attempt``-th try, from 1.

    Nothing is recorded where the event names no trace, or where its type is newer than this code.
    """
    if not event.trace or event.type not in events_pb2.EventType.values():
        yield
        return
    with tracing.applying(event.trace, topology.subject_of(event.type), attempt=attempt):
        yield

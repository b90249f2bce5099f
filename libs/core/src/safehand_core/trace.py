"""For which trace this thread or task works: two random numbers and a flag, and their header.

The header is ``traceparent`` of W3C Trace Context (https://www.w3.org/TR/trace-context/, 3.2).
Its companions ``tracestate`` and ``baggage`` are neither read nor written: they carry free text.
Nothing is current unless tracing is switched on, so that nothing is sent or stored by default.
"""

from __future__ import annotations

import contextlib
import contextvars
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

HEADER: Final = "traceparent"
"""Name of the header in gRPC metadata."""

_SHAPE: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED: Final = 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """One span of one trace.

    Attributes:
        trace: 128 random bits, not 0. span: 64 random bits, not 0.
        sampled: whether the trace is recorded.
    """

    trace: int
    span: int
    sampled: bool

    @property
    def trace_hex(self) -> str:
        """32 hex digits."""
        return f"{self.trace:032x}"

    @property
    def span_hex(self) -> str:
        """16 hex digits."""
        return f"{self.span:016x}"

    def header(self) -> str:
        """The value of ``traceparent``."""
        return f"00-{self.trace_hex}-{self.span_hex}-{int(self.sampled):02x}"


def parse(text: str) -> Place | None:
    """The place that a ``traceparent`` names; None for anything that is not exactly one."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        return None
    trace, span, flags = (int(group, 16) for group in match.groups())
    if not trace or not span:
        return None
    return Place(trace, span, bool(flags & _SAMPLED))


_current: contextvars.ContextVar[Place | None] = contextvars.ContextVar(
    "safehand_trace", default=None
)


def current() -> Place | None:
    """The span that is being worked on here, or None."""
    return _current.get()


def sampled_header() -> str:
    """``traceparent`` of the current span where it is recorded, else an empty text."""
    place = _current.get()
    return place.header() if place is not None and place.sampled else ""


def enter(place: Place | None) -> None:
    """Work for ``place`` for as long as this thread's or task's context lives."""
    _current.set(place)


@contextlib.contextmanager
def entered(place: Place | None) -> Iterator[None]:
    """Work for ``place`` inside the block."""
    token = _current.set(place)
    try:
        yield
    finally:
        _current.reset(token)


def carried(operation: Callable[..., T]) -> Callable[..., T]:
    """``operation``, to be run by another thread for the span that is current now."""
    place = _current.get()
    if place is None:
        return operation

    def run(*args: Any) -> T:
        with entered(place):
            return operation(*args)

    return run

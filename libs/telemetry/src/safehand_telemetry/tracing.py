"""Spans: begun here, and nowhere if tracing is off. Importing this imports no OpenTelemetry.

Only an RPC or a page begins a trace. Everything else (a database transaction, a ledger entry, an
event on the bus) is recorded only where it belongs to a trace that is recorded already, so that
polls and sweeps cost nothing and say nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, Protocol

from safehand_core import trace
from safehand_core.trace import Place

from safehand_telemetry import names

Kind = Literal["internal", "server", "producer", "consumer"]
Attributes = Mapping[str, str | int]


class Span(Protocol):
    """A span that is open."""

    place: Place | None
    """Where children belong; None where tracing is off."""

    def set(self, key: str, value: str | int) -> None:
        """Add an attribute; one that ``allow`` does not list never leaves the process."""

    def end(self, *, failed: bool = False) -> None:
        """Close it; a second time changes nothing."""


class Backend(Protocol):
    """What makes spans: ``export`` has the only real one."""

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: Place | None,
        link: Place | None,
        attributes: Attributes,
    ) -> Span: ...


class _Nothing:
    """The span of who does not record."""

    place: Place | None = None

    def set(self, key: str, value: str | int) -> None:
        pass

    def end(self, *, failed: bool = False) -> None:
        pass


NOTHING: Final[Span] = _Nothing()
_NO_ATTRIBUTES: Final[Attributes] = {}
_backend: Backend | None = None


def install(backend: Backend | None) -> None:
    """Make spans with ``backend`` from now on; None: make none."""
    global _backend
    _backend = backend


def on() -> bool:
    """Whether this process records."""
    return _backend is not None


def server(method: str, *, inbound: str, role: str) -> Span:
    """The span of an RPC that was let in; ``method``: its path.

    Args:
        inbound: the caller's ``traceparent`` where the caller is one of our services, else "":
            a trace that an agency named would let it find its calls in ours.
        role: the kind of caller.
    """
    if _backend is None:
        return NOTHING
    parent = trace.parse(inbound) if inbound else None
    attributes = {names.METHOD: method, names.ROLE: role}
    return _backend.begin(method, "server", parent, None, attributes)


def page(name: str) -> Span:
    """The span of a page of the portal, from ``names.PAGES``. A browser's own trace is never taken
    up: whoever gave it one could find her in ours."""
    if _backend is None:
        return NOTHING
    return _backend.begin(f"{names.PAGE} {name}", "server", None, None, _NO_ATTRIBUTES)


def inside(name: str, attributes: Attributes = _NO_ATTRIBUTES) -> Span:
    """A span of work within the current one; nothing where none is recorded here."""
    place = trace.current()
    if _backend is None or place is None or not place.sampled:
        return NOTHING
    return _backend.begin(name, "internal", place, None, attributes)


@contextlib.contextmanager
def ledger_append(*, stop: bool) -> Iterator[None]:
    """From queueing an operation at the ledger's writer to its durable answer."""
    lane = names.STOP_LANE if stop else names.OTHER_LANE
    with working(inside(names.LEDGER, {names.LANE: lane})):
        yield


@contextlib.contextmanager
def publishing(header: str, kind: str) -> Iterator[str]:
    """An event of type ``kind`` goes on the bus for the trace of ``header``.

    Yields the ``traceparent`` that goes with it; "" where the event belongs to no recorded trace.
    """
    place = trace.parse(header) if header else None
    if _backend is None or place is None or not place.sampled:
        yield ""
        return
    span = _backend.begin(f"{names.PUBLISH} {kind}", "producer", place, None, {names.TYPE: kind})
    with working(span):
        yield trace.sampled_header()


@contextlib.contextmanager
def applying(header: str, kind: str, *, attempt: int = 1) -> Iterator[None]:
    """The effect of an event of type ``kind`` that came with ``header``.

    At its first delivery it continues the trace. Delivered again it begins one of its own, which
    only links: a late repeat is no part of what happened then.
    """
    place = trace.parse(header) if header else None
    if _backend is None or place is None or not place.sampled:
        yield
        return
    parent, link = (place, None) if attempt <= 1 else (None, place)
    attributes: Attributes = {names.TYPE: kind, names.ATTEMPT: attempt}
    span = _backend.begin(f"{names.APPLY} {kind}", "consumer", parent, link, attributes)
    with working(span):
        yield


@contextlib.contextmanager
def working(span: Span) -> Iterator[None]:
    """``span`` is current inside the block, and ends with it."""
    if span is NOTHING:
        yield
        return
    try:
        with trace.entered(span.place):
            yield
    except BaseException:
        span.end(failed=True)
        raise
    span.end()


_OPEN: Final = "safehand_span"
_KIND: Final = "safehand_begin"
"""Execution option in which ``safehand_store`` says whether a transaction will write."""


def watch_database(engine: Any, listen: Callable[[Any, str, Callable[..., None]], Any]) -> None:
    """Record transactions of ``engine`` (SQLAlchemy's) inside recorded spans.

    ``listen``: ``sqlalchemy.event.listen``. A span says read or write and how long, no more:
    neither statement nor parameter is ever looked at.
    """
    if _backend is None:
        return

    def begun(connection: Any) -> None:
        place = trace.current()
        if place is None or not place.sampled:
            return
        writes = connection.get_execution_options().get(_KIND) == names.WRITE
        work = names.WRITE if writes else names.READ
        name = names.SQL_WRITE if writes else names.SQL_READ
        connection.info[_OPEN] = inside(name, {names.DATABASE: work})

    def ended(failed: bool) -> Callable[[Any], None]:
        def end(connection: Any) -> None:
            span = connection.info.pop(_OPEN, None)
            if span is not None:
                span.end(failed=failed)

        return end

    listen(engine, "begin", begun)
    listen(engine, "commit", ended(False))
    listen(engine, "rollback", ended(True))

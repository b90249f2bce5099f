"""What may be in a span, exactly: its name, its attributes, and nothing else.

A span that leaves the process is made anew from this list (``rebuilt``). Events, exception texts,
status descriptions, trace state and attributes of links have no way into it, whatever a library
or a mistake of ours put into the span.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, StatusCode
from safehand_core.reasons import TABLE, Reason

from safehand_telemetry import names

_REASONS: Final = frozenset(reason.value for reason in Reason)
_STATUSES: Final = frozenset({"OK", "CANCELLED", *(info.status for info in TABLE.values())})
_BUS_TYPE: Final = re.compile(names.BUS_TYPE)
_WORD: Final = re.compile(r"[a-z][a-z-]{0,39}")
_MOST_TRIES: Final = 1 << 31


def _word(value: object) -> bool:
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_TRIES


def _bus_type(value: object) -> bool:
    return isinstance(value, str) and _BUS_TYPE.fullmatch(value) is not None


ATTRIBUTES: Final[Mapping[str, Callable[[Any], bool]]] = {
    names.METHOD: lambda value: value in names.served(),
    names.STATUS: lambda value: value in _STATUSES,
    names.REASON: lambda value: value in _REASONS,
    names.ROLE: lambda value: value in names.ROLES,
    names.TYPE: _bus_type,
    names.ATTEMPT: _count,
    names.DATABASE: lambda value: value in names.DATABASE_WORK,
    names.LANE: lambda value: value in names.LANES,
}
"""Attribute → test of its value. A new one needs a line here, and values that no name fits into."""

RESOURCE: Final = frozenset({names.SERVICE, names.PROCESS})
"""Attributes of the process that a span comes from."""


def name_allowed(name: str) -> bool:
    """Whether a span may be called so: a method served here, bus work on a type, or fixed work."""
    if name in names.served() or name in names.FIXED:
        return True
    work, _, kind = name.partition(" ")
    return work in names.BUS_WORK and _bus_type(kind)


_KINDS: Final = {
    SpanKind.INTERNAL: trace_pb2.Span.SPAN_KIND_INTERNAL,
    SpanKind.SERVER: trace_pb2.Span.SPAN_KIND_SERVER,
    SpanKind.CLIENT: trace_pb2.Span.SPAN_KIND_CLIENT,
    SpanKind.PRODUCER: trace_pb2.Span.SPAN_KIND_PRODUCER,
    SpanKind.CONSUMER: trace_pb2.Span.SPAN_KIND_CONSUMER,
}


def rebuilt(span: ReadableSpan) -> trace_pb2.Span | None:
    """A new span with what may leave of ``span``; None where its name is not on the list."""
    context = span.get_span_context()
    if context is None or not name_allowed(span.name):
        return None
    fresh = trace_pb2.Span(
        trace_id=_trace(context),
        span_id=_span(context),
        name=span.name,
        kind=_KINDS[span.kind],
        start_time_unix_nano=span.start_time or 0,
        end_time_unix_nano=span.end_time or 0,
    )
    if span.parent is not None:
        fresh.parent_span_id = _span(span.parent)
    for key, value in (span.attributes or {}).items():
        test = ATTRIBUTES.get(key)
        if test is not None and isinstance(value, str | int) and test(value):
            fresh.attributes.append(_pair(key, value))
    for link in span.links:
        fresh.links.add(trace_id=_trace(link.context), span_id=_span(link.context))
    if span.status.status_code is StatusCode.ERROR:
        fresh.status.code = trace_pb2.Status.STATUS_CODE_ERROR
    return fresh


def resource(service: str, process: str) -> resource_pb2.Resource:
    """Which process the spans come from: two words, no host and no address."""
    if not _word(service) or not _word(process):
        raise ValueError("a service and a process are named by one word each")
    return resource_pb2.Resource(
        attributes=[_pair(names.SERVICE, service), _pair(names.PROCESS, process)]
    )


def _trace(context: SpanContext) -> bytes:
    return context.trace_id.to_bytes(16, "big")


def _span(context: SpanContext) -> bytes:
    return context.span_id.to_bytes(8, "big")


def _pair(key: str, value: str | int) -> common_pb2.KeyValue:
    if isinstance(value, int):
        return common_pb2.KeyValue(key=key, value=common_pb2.AnyValue(int_value=value))
    return common_pb2.KeyValue(key=key, value=common_pb2.AnyValue(string_value=value))

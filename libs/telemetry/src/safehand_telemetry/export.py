"""The OpenTelemetry part: a tracer whose spans are rebuilt from the allow-list and sent by OTLP.

Own set-up, no auto-instrumentation: those packages record error texts and statements. Nothing is
read from ``OTEL_*`` variables that could send spans elsewhere or put words into them. A collector
that is slow, dead or lying costs spans and nothing else: a bounded queue, one thread, no retry.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
from opentelemetry.context import Context
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from safehand_core import logs
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.trace import Place

from safehand_telemetry import allow, metrics, tracing
from safehand_telemetry.tracing import Attributes, Kind

QUEUE: Final = 2048
"""Spans that wait to be sent; further ones are dropped and counted. About 4 MB."""
BATCH: Final = 256
"""Spans of one message."""
EVERY_S: Final = 1.0
"""Spans wait at most this long, in seconds, for others to go with."""
SEND_S: Final = 2.0
"""Seconds for one message; the collector is near, or it is not there."""
LAST_SEND_S: Final = 1.0
"""Seconds that the end of a process may wait for the last message."""
REST_MAX_S: Final = 30.0
"""Seconds between tries at most, while the collector does not answer; doubled from EVERY_S."""
SCOPE: Final = "safehand"

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
"""Hosts to which spans may go without TLS."""

_KINDS: Final[dict[Kind, SpanKind]] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}


@dataclass(frozen=True, slots=True)
class Collector:
    """Where spans go: ``host:port``, and the PEM of the CA that vouches for it (None: no TLS)."""

    address: str
    ca: bytes | None

    @classmethod
    def of(cls, endpoint: str, ca_file: Path | None) -> Collector:
        """From the settings; raises CONFIG_INVALID.

        ``endpoint``: ``https://host:port`` with a CA file, or ``http://`` on this machine.
        """
        try:
            parts = urlsplit(endpoint)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host, port, parts = "", None, urlsplit("")
        if (
            not host
            or port is None
            or parts.path not in ("", "/")
            or parts.query
            or "@" in endpoint
        ):
            raise _invalid("the collector's address is not https://host:port")
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if parts.scheme == "http" and host in LOOPBACK:
            return cls(address, None)
        if parts.scheme != "https":
            raise _invalid("spans leave this machine by https only")
        if ca_file is None:
            raise _invalid("the collector's CA file is not named")
        try:
            return cls(address, ca_file.read_bytes())
        except OSError:
            raise _invalid("the collector's CA file cannot be read") from None

    def channel(self) -> grpc.Channel:
        # No proxy that the environment names: spans go where the settings say.
        options = [
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_reconnect_backoff_ms", int(REST_MAX_S * 1000)),
        ]
        if self.ca is None:
            return grpc.insecure_channel(self.address, options)
        return grpc.secure_channel(self.address, grpc.ssl_channel_credentials(self.ca), options)


def _invalid(detail: str) -> SafehandError:
    return SafehandError(Reason.CONFIG_INVALID, detail)


class Sender(SpanProcessor):
    """Takes spans as they end, and sends them from a thread of its own."""

    def __init__(self, collector: Collector, service: str, process: str) -> None:
        self._resource = allow.resource(service, process)
        self._channel = collector.channel()
        stub: Any = trace_service_pb2_grpc.TraceServiceStub
        self._stub = stub(self._channel)
        self._waiting: deque[ReadableSpan] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._silent = False
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Nothing: what counts is the end."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue it; never waits."""
        with self._changed:
            if self._stopping or len(self._waiting) >= QUEUE:
                metrics.SPANS["dropped"].inc()
                return
            self._waiting.append(span)
            if len(self._waiting) == BATCH:
                self._changed.notify()

    def shutdown(self) -> None:
        """Send what waits if that is quick, then let go."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(SEND_S + LAST_SEND_S)
        self._channel.close()

    def force_flush(self, timeout_millis: int = 0) -> bool:
        """Nobody waits for spans."""
        return True

    def _run(self) -> None:
        rest = EVERY_S
        while True:
            batch, last = self._next(rest)
            sent = self._send(batch, LAST_SEND_S if last else SEND_S) if batch else rest == EVERY_S
            if last:
                return
            rest = EVERY_S if sent else min(rest * 2, REST_MAX_S)

    def _next(self, rest: float) -> tuple[list[ReadableSpan], bool]:
        """What to send next, after at most ``rest`` seconds, and whether it is the last."""

        def enough() -> bool:
            return self._stopping or (rest == EVERY_S and len(self._waiting) >= BATCH)

        with self._changed:
            self._changed.wait_for(enough, rest)
            last = self._stopping
            count = len(self._waiting) if last else min(BATCH, len(self._waiting))
            return [self._waiting.popleft() for _ in range(count)], last

    def _send(self, batch: list[ReadableSpan], timeout_s: float) -> bool:
        spans = [fresh for span in batch if (fresh := allow.rebuilt(span)) is not None]
        metrics.SPANS["refused"].inc(len(batch) - len(spans))
        request = trace_service_pb2.ExportTraceServiceRequest(
            resource_spans=[
                trace_pb2.ResourceSpans(resource=self._resource, scope_spans=[_scope(spans)])
            ]
        )
        try:
            self._stub.Export(request, timeout=timeout_s)
        except (grpc.RpcError, ValueError) as error:
            metrics.SPANS["failed"].inc(len(spans))
            if not self._silent:
                self._silent = True
                logs.get().warning("spans.collector_silent", exception=type(error).__name__)
            return False
        self._silent = False
        metrics.SPANS["sent"].inc(len(spans))
        return True


def _scope(spans: list[trace_pb2.Span]) -> trace_pb2.ScopeSpans:
    found = trace_pb2.ScopeSpans(spans=spans)
    found.scope.name = SCOPE
    return found


class _Span:
    """An open span of OpenTelemetry's."""

    __slots__ = ("_span", "place")

    def __init__(self, span: Any) -> None:
        context = span.get_span_context()
        self._span = span
        self.place: Place | None = Place(
            context.trace_id, context.span_id, bool(context.trace_flags & TraceFlags.SAMPLED)
        )

    def set(self, key: str, value: str | int) -> None:
        self._span.set_attribute(key, value)

    def end(self, *, failed: bool = False) -> None:
        if failed:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class Tracer:
    """The tracer of one process. ``close`` it at the end."""

    def __init__(self, collector: Collector, service: str, process: str, ratio: float) -> None:
        self._sender = Sender(collector, service, process)
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)),
            resource=Resource({}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(self._sender)
        self._tracer = self._provider.get_tracer(SCOPE)

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: Place | None,
        link: Place | None,
        attributes: Attributes,
    ) -> tracing.Span:
        """See ``tracing.Backend``."""
        context = Context()  # an empty one: nothing is taken from where the caller stands
        if parent is not None:
            context = set_span_in_context(NonRecordingSpan(_context(parent)), context)
        links = [] if link is None else [Link(_context(link))]
        return _Span(
            self._tracer.start_span(
                name,
                context,
                _KINDS[kind],
                dict(attributes),
                links,
                record_exception=False,
                set_status_on_exception=False,
            )
        )

    def close(self) -> None:
        """Record nothing more; waits at most three seconds for what is on its way."""
        with contextlib.suppress(Exception):
            self._provider.shutdown()


def _context(place: Place) -> SpanContext:
    return SpanContext(
        place.trace, place.span, is_remote=True, trace_flags=TraceFlags(int(place.sampled))
    )

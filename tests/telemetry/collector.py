"""A collector in this process: it takes spans over OTLP and keeps them as they came."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclass(frozen=True)
class Seen:
    """One span, and the process that it came from."""

    service: str
    process: str
    span: trace_pb2.Span

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def attributes(self) -> dict[str, str | int]:
        return {pair.key: value_of(pair.value) for pair in self.span.attributes}


def value_of(value: Any) -> str | int:
    kind = value.WhichOneof("value")
    assert kind in ("string_value", "int_value"), kind
    found: str | int = getattr(value, kind)
    return found


@dataclass
class Collector:
    """What arrived so far."""

    address: str = ""
    requests: list[trace_service_pb2.ExportTraceServiceRequest] = field(default_factory=list)
    metadata: list[tuple[str, str | bytes]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request: Any, context: Any) -> Any:
        with self._lock:
            self.requests.append(request)
            self.metadata += context.invocation_metadata()
        return trace_service_pb2.ExportTraceServiceResponse()

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}"

    def spans(self) -> list[Seen]:
        with self._lock:
            requests = list(self.requests)
        found = []
        for request in requests:
            for part in request.resource_spans:
                resource = {p.key: value_of(p.value) for p in part.resource.attributes}
                assert set(resource) == {"service.name", "safehand.process"}
                for scope in part.scope_spans:
                    found += [
                        Seen(str(resource["service.name"]), str(resource["safehand.process"]), span)
                        for span in scope.spans
                    ]
        return found

    def trace(self, trace_id: bytes) -> list[Seen]:
        return [seen for seen in self.spans() if seen.span.trace_id == trace_id]

    def raw(self) -> bytes:
        """Every byte that arrived."""
        with self._lock:
            return b"".join(request.SerializeToString() for request in self.requests)


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port of this machine."""
    found = Collector()

    class Servicer(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
            return found.take(request, context)

    pool = ThreadPoolExecutor(4)
    server = grpc.server(pool)
    add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    add(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    found.address = f"127.0.0.1:{port}"
    server.start()
    try:
        yield found
    finally:
        server.stop(0).wait()
        pool.shutdown()

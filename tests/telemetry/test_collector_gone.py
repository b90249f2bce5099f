"""A collector that is dead, slow or full costs spans, and never a call or the end of a process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_telemetry import export, names, tracing
from safehand_telemetry.export import Collector as Address
from safehand_telemetry.export import Tracer

from tests.harness.world import eventually
from tests.rpc.conftest import Harness
from tests.telemetry.test_rpc import ECHO, value

DEAD = "http://127.0.0.1:1"
"""Nobody listens there: the port needs root, and no service has it."""


def outcome(name: str) -> float:
    return value(f'safehand_spans_total{{outcome="{name}"}}')


def begin(tracer: Tracer) -> None:
    names.serve([ECHO])
    tracer.begin(ECHO, "server", None, None, {}).end()


def test_calls_are_answered_and_the_end_is_not_waited_for(harness: Harness) -> None:
    before = outcome("failed")
    tracer = Tracer(Address.of(DEAD, None), "consent", "api", 1.0)
    tracing.install(tracer)
    try:
        stub = harness.stub()
        for _ in range(20):
            stub.Echo(harness.request(text="hello"))
        eventually(lambda: outcome("failed") > before, "a batch was given up")
        stub.Echo(harness.request(text="hello"))
    finally:
        tracing.install(None)
        ended = threading.Thread(target=tracer.close)
        ended.start()
        ended.join(30)
    assert not ended.is_alive(), "the end of the process waits for a dead collector"


def test_a_full_queue_drops_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "QUEUE", 5)
    monkeypatch.setattr(export, "EVERY_S", 3600.0)
    before = outcome("dropped")
    tracer = Tracer(Address.of(DEAD, None), "consent", "api", 1.0)
    for _ in range(8):
        begin(tracer)
    assert outcome("dropped") - before == 3
    tracer.close()


def test_a_collector_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "SEND_S", 0.2)
    monkeypatch.setattr(export, "LAST_SEND_S", 0.2)
    release = threading.Event()

    class Servicer(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
            release.wait(30)
            return trace_service_pb2.ExportTraceServiceResponse()

    pool = ThreadPoolExecutor(2)
    server = grpc.server(pool)
    add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    add(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        before = outcome("failed")
        tracer = Tracer(Address.of(f"http://127.0.0.1:{port}", None), "consent", "api", 1.0)
        begin(tracer)
        eventually(lambda: outcome("failed") > before, "the batch was given up")
        tracer.close()
    finally:
        release.set()
        server.stop(0).wait()
        pool.shutdown()


def test_what_waits_is_sent_at_the_end(collector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "EVERY_S", 3600.0)
    tracer = Tracer(Address.of(collector.endpoint, None), "consent", "worker", 1.0)
    begin(tracer)
    assert collector.spans() == []
    tracer.close()
    assert [(seen.name, seen.process) for seen in collector.spans()] == [(ECHO, "worker")]


def test_only_a_share_is_recorded(collector: Any) -> None:
    tracer = Tracer(Address.of(collector.endpoint, None), "consent", "api", 0.0)
    begin(tracer)
    tracer.close()
    assert collector.spans() == []


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://collector.example:4317",
        "http://127.0.0.2:4317",
        "https://collector.example",
        "collector:4317",
        "https://user:word@collector.example:4317",
        "https://collector.example:4317/v1/traces",
        "https://collector.example:99999",
        "ftp://127.0.0.1:4317",
    ],
)
def test_spans_leave_this_machine_by_https_only(endpoint: str, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(b"a CA")
    with pytest.raises(SafehandError) as caught:
        Address.of(endpoint, ca)
    assert caught.value.reason is Reason.CONFIG_INVALID


def test_https_needs_a_ca_that_is_there(tmp_path: Path) -> None:
    endpoint = "https://collector.example:4317"
    for ca in (None, tmp_path / "nothing"):
        with pytest.raises(SafehandError) as caught:
            Address.of(endpoint, ca)
        assert caught.value.reason is Reason.CONFIG_INVALID
    (tmp_path / "ca.pem").write_bytes(b"a CA")
    assert Address.of(endpoint, tmp_path / "ca.pem").address == "collector.example:4317"


def test_no_variable_of_the_environment_changes_where_spans_go(
    collector: Any, monkeypatch: pytest.MonkeyPatch, parties: Callable[[str, str], Any]
) -> None:
    for name, word in {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "OTEL_EXPORTER_OTLP_HEADERS": "who=Zoraquiel",
        "OTEL_RESOURCE_ATTRIBUTES": "who=Zoraquiel",
        "OTEL_SERVICE_NAME": "Zoraquiel",
        "OTEL_TRACES_SAMPLER": "always_off",
        "http_proxy": "http://127.0.0.1:1",
        "grpc_proxy": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, word)
    tracer = Tracer(Address.of(collector.endpoint, None), "consent", "api", 1.0)
    begin(tracer)
    tracer.close()
    assert len(collector.spans()) == 1
    assert b"Zoraquiel" not in collector.raw() + repr(collector.metadata).encode()

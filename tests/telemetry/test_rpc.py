"""A call in metrics, trace and log: how it ended, and whose trace it may continue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from prometheus_client.exposition import generate_latest
from safehand_core import trace
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.trace import Place, entered
from safehand_rpc.ca import service_dns_name
from safehand_rpc.tls import channel_credentials, read_material
from safehand_telemetry import metrics

from tests.harness.world import eventually
from tests.rpc.conftest import POLICY, Harness
from tests.telemetry.collector import Collector, Seen

ECHO = "/echo.v1.EchoService/Echo"
COUNT = "/echo.v1.EchoService/Count"
OUTSIDE = Place(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True)
TRACE = OUTSIDE.trace.to_bytes(16, "big")
CANARY = "Zoraquiel"


def value(line: str) -> float:
    """The value of one series, by its whole name and labels; 0 where it is not there yet."""
    for shown in generate_latest(metrics.REGISTRY).decode().splitlines():
        name, _, number = shown.rpartition(" ")
        if name == line:
            return float(number)
    return 0.0


def total(method: str, status: str, role: str = "agency") -> float:
    return value(f'safehand_rpc_total{{method="{method}",role="{role}",status="{status}"}}')


def spans(collector: Collector, count: int) -> list[Seen]:
    eventually(lambda: len(collector.spans()) >= count, f"{count} spans arrived")
    found = collector.spans()
    assert len(found) == count
    return found


def test_a_call_is_counted_by_how_it_ended(harness: Harness) -> None:
    stub = harness.stub()
    before = [total(ECHO, status) for status in ("OK", "UNAVAILABLE", "INTERNAL")]
    refusals = 'safehand_rpc_refused_total{reason="LEDGER_STARTING",role="agency"}'
    refused, timed = value(refusals), value(f'safehand_rpc_seconds_count{{method="{ECHO}"}}')
    stub.Echo(harness.request(text="hello"))
    for text in ("refuse", "crash"):
        with pytest.raises(SafehandError):
            stub.Echo(harness.request(text=text))
    after = [total(ECHO, status) for status in ("OK", "UNAVAILABLE", "INTERNAL")]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 1]
    assert value(refusals) - refused == 1
    assert value(f'safehand_rpc_seconds_count{{method="{ECHO}"}}') - timed == 3


def test_who_is_not_let_in_is_counted_and_not_recorded(
    harness: Harness, parties: Any, recording: Collector
) -> None:
    series = 'safehand_rpc_refused_total{reason="NOT_ALLOWED",role="unknown"}'
    before = value(series)
    with pytest.raises(SafehandError):
        harness.stub(parties("oversight", "board")).Echo(harness.request())
    assert value(series) - before == 1
    harness.stub().Echo(harness.request())
    assert [span.attributes["safehand.role"] for span in spans(recording, 1)] == ["agency"]


def test_a_method_that_does_not_exist_is_no_label(harness: Harness) -> None:
    with grpc.secure_channel(
        harness.address,
        channel_credentials(read_material(harness.parties("agency", "harbour"))),
        [("grpc.ssl_target_name_override", service_dns_name("consent"))],
    ) as channel:
        call: Any = channel.unary_unary(f"/echo.v1.EchoService/{CANARY}")
        with pytest.raises(grpc.RpcError):
            call(b"", timeout=5)
    assert CANARY not in generate_latest(metrics.REGISTRY).decode()


def test_what_is_in_work_is_seen_and_ends(harness: Harness) -> None:
    stub = harness.stub()
    before = value("safehand_rpc_in_flight")
    stream = stub.Count(harness.echo.pb.CountRequest(to=10**6))
    next(stream)
    assert value("safehand_rpc_in_flight") == before + 1
    stream.cancel()
    eventually(lambda: value("safehand_rpc_in_flight") == before, "the stream is over")
    assert total(COUNT, "CANCELLED") >= 1
    assert value(f'safehand_rpc_seconds_count{{method="{COUNT}"}}') == 0


def test_a_span_says_how_a_call_ended(harness: Harness, recording: Collector) -> None:
    with pytest.raises(SafehandError):
        harness.stub().Echo(harness.request(text="refuse"))
    [seen] = spans(recording, 1)
    assert (seen.service, seen.process, seen.name) == ("consent", "api", ECHO)
    assert seen.attributes == {
        "rpc.method": ECHO,
        "rpc.status": "UNAVAILABLE",
        "safehand.reason": Reason.LEDGER_STARTING.value,
        "safehand.role": "agency",
    }
    assert seen.span.status.code == 2
    assert seen.span.end_time_unix_nano > seen.span.start_time_unix_nano > 0


def test_a_services_call_continues_its_trace(
    harness: Harness, parties: Any, recording: Collector
) -> None:
    stub = harness.stub(parties("service", "portal"))
    with entered(OUTSIDE):
        stub.Echo(harness.request(text="hello"))
    [seen] = spans(recording, 1)
    assert seen.span.trace_id == TRACE
    assert seen.span.parent_span_id == OUTSIDE.span.to_bytes(8, "big")


def test_a_poll_of_a_service_begins_no_trace(
    serve: Callable[..., Harness], parties: Any, recording: Collector
) -> None:
    harness = serve(
        policy={**POLICY, ECHO: frozenset({"agency", "service:referral"})},
    )
    stub = harness.stub(parties("service", "referral"))
    stub.Echo(harness.request(text="poll"))
    with entered(OUTSIDE):
        stub.Echo(harness.request(text="act"))
    [seen] = spans(recording, 1)
    assert seen.span.trace_id == TRACE


def test_an_agency_cannot_name_the_trace(harness: Harness, recording: Collector) -> None:
    stub = harness.stub()
    with entered(OUTSIDE):
        stub.Echo(harness.request(text="hello"))
    [seen] = spans(recording, 1)
    assert seen.span.trace_id not in (TRACE, bytes(16))
    assert seen.span.parent_span_id == b""
    assert not seen.span.links


def test_neither_state_nor_baggage_is_taken_over(
    harness: Harness, parties: Any, recording: Collector
) -> None:
    stub = harness.stub(parties("service", "portal"))
    smuggled = (
        ("traceparent", OUTSIDE.header()),
        ("tracestate", f"vendor={CANARY}"),
        ("baggage", f"who={CANARY}"),
        ("x-b3-traceid", CANARY),
    )
    stub.Echo(harness.request(text="hello"), metadata=smuggled)
    [seen] = spans(recording, 1)
    assert seen.span.trace_id == TRACE
    assert CANARY.encode() not in recording.raw()


@pytest.mark.parametrize("header", ["", CANARY, OUTSIDE.header() + "-x", "00-" + "0" * 52])
def test_a_malformed_header_begins_a_new_trace(
    harness: Harness, parties: Any, recording: Collector, header: str
) -> None:
    stub = harness.stub(parties("service", "portal"))
    stub.Echo(harness.request(text="hello"), metadata=(("traceparent", header),))
    [seen] = spans(recording, 1)
    assert seen.span.parent_span_id == b""


def test_what_the_caller_does_not_record_is_not_recorded_here(
    harness: Harness, parties: Any, recording: Collector
) -> None:
    stub = harness.stub(parties("service", "portal"))
    unsampled = Place(OUTSIDE.trace, OUTSIDE.span, False)
    stub.Echo(harness.request(text="hello"), metadata=(("traceparent", unsampled.header()),))
    stub.Echo(harness.request(text="hello"))
    assert all(seen.span.trace_id != TRACE for seen in spans(recording, 1))


def test_a_caller_without_a_trace_sends_no_header(harness: Harness) -> None:
    seen: list[Any] = []
    handler = harness.servicer.Echo

    def look(request: Any, context: Any) -> Any:
        seen.extend(context.invocation_metadata())
        return handler(request, context)

    assert trace.current() is None
    harness.servicer.Echo = look
    harness.stub().Echo(harness.request(text="hello"))
    assert "traceparent" not in dict(seen)


def test_the_log_line_and_the_span_name_each_other(
    harness: Harness, recording: Collector, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    harness.stub().Echo(harness.request(text="hello"))
    [seen] = spans(recording, 1)
    [line] = [line for line in log_lines() if line["event"] == "rpc.answered"]
    assert line["trace_id"] == seen.span.trace_id.hex()
    assert line["span_id"] == seen.span.span_id.hex()
    wanted = {"method": ECHO, "status": "OK", "role": "agency"}
    assert wanted.items() <= line.items()
    assert line["duration_ms"] >= 0


def test_there_is_one_line_for_each_call_and_no_trace_in_it_by_default(
    harness: Harness, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    stub = harness.stub()
    stub.Echo(harness.request(text="hello"))
    with pytest.raises(SafehandError):
        stub.Echo(harness.request(text="refuse"))
    lines = [line for line in log_lines() if line["event"].startswith("rpc.")]
    assert [line["status"] for line in lines] == ["OK", "UNAVAILABLE"]
    assert [line.get("reason") for line in lines] == [None, "LEDGER_STARTING"]
    assert all("trace_id" not in line and "span_id" not in line for line in lines)

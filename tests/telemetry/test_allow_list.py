"""What leaves the process in a span, whatever was put into it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from safehand_core.reasons import Reason
from safehand_telemetry import allow, names

METHOD = "/safehand.test.v1.TestService/Stop"
SECRET = "Zoraquiel Testina 1980-01-01"


class Kept(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


@pytest.fixture
def kept() -> Iterator[tuple[Kept, TracerProvider]]:
    names.serve([METHOD])
    kept = Kept()
    provider = TracerProvider(resource=Resource({"host.name": SECRET}), shutdown_on_exit=False)
    provider.add_span_processor(kept)
    yield kept, provider
    provider.shutdown()


def context(trace_state: TraceState | None = None) -> SpanContext:
    return SpanContext(2**100 + 1, 2**60 + 1, True, TraceFlags(1), trace_state)


def test_everything_that_is_not_on_the_list_is_gone(
    kept: tuple[Kept, TracerProvider],
) -> None:
    found, provider = kept
    parent = context(TraceState([("vendor", "Zoraquiel")]))
    span = provider.get_tracer(SECRET, SECRET).start_span(
        METHOD,
        set_span_in_context(NonRecordingSpan(parent)),
        SpanKind.SERVER,
        {
            names.METHOD: METHOD,
            names.STATUS: "PERMISSION_DENIED",
            names.REASON: Reason.CONSENT_ENDED.value,
            names.ROLE: "agency",
            names.ATTEMPT: 3,
            "http.url": SECRET,
            "db.statement": f"SELECT '{SECRET}'",
        },
        [Link(context(TraceState([("vendor", "Testina")])), {"who": SECRET})],
    )
    span.add_event("log", {"message": SECRET})
    span.record_exception(ValueError(SECRET))
    span.set_status(Status(StatusCode.ERROR, SECRET))
    span.end()
    fresh = allow.rebuilt(found.spans[0])
    assert fresh is not None
    data = fresh.SerializeToString()
    for word in ("Zoraquiel", "Testina", "1980", "SELECT", "ValueError", "Traceback"):
        assert word.encode() not in data
    assert {pair.key for pair in fresh.attributes} == {
        names.METHOD,
        names.STATUS,
        names.REASON,
        names.ROLE,
        names.ATTEMPT,
    }
    assert not fresh.events
    assert fresh.status.code == 2
    assert not fresh.status.message
    assert not fresh.trace_state
    assert [(len(link.attributes), link.trace_state) for link in fresh.links] == [(0, "")]
    assert fresh.parent_span_id == parent.span_id.to_bytes(8, "big")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (names.METHOD, "/safehand.test.v1.TestService/Other"),
        (names.METHOD, SECRET),
        (names.STATUS, SECRET),
        (names.STATUS, "ok"),
        (names.REASON, "NOT_A_REASON"),
        (names.ROLE, "agency-a"),
        (names.ROLE, "service:portal"),
        (names.TYPE, "safehand.v1.consent.ended/grants/x"),
        (names.TYPE, "safehand.v1.consent.Zoraquiel"),
        (names.ATTEMPT, -1),
        (names.ATTEMPT, True),
        (names.ATTEMPT, 2**40),
        (names.ATTEMPT, "3"),
        (names.DATABASE, "SELECT"),
        (names.LANE, "grant"),
        (names.SERVICE, "consent"),
    ],
)
def test_a_listed_attribute_takes_only_its_own_values(
    kept: tuple[Kept, TracerProvider], key: str, value: str | int
) -> None:
    found, provider = kept
    provider.get_tracer("t").start_span(METHOD, attributes={key: value}).end()
    fresh = allow.rebuilt(found.spans[0])
    assert fresh is not None
    assert not fresh.attributes


@pytest.mark.parametrize(
    "name",
    [
        SECRET,
        "/safehand.test.v1.TestService/NotServed",
        "publish agency-a",
        "publish safehand.v1.consent.ended now",
        "delete safehand.v1.consent.ended",
        "page Zoraquiel",
        "page x",
        "sql delete",
    ],
)
def test_a_span_of_another_name_does_not_leave(
    kept: tuple[Kept, TracerProvider], name: str
) -> None:
    found, provider = kept
    provider.get_tracer("t").start_span(name).end()
    assert allow.rebuilt(found.spans[0]) is None


@pytest.mark.parametrize(
    "name",
    [METHOD, "sql read", "ledger append", "publish safehand.v1.consent.ended", "page list"],
)
def test_a_span_of_ours_leaves(kept: tuple[Kept, TracerProvider], name: str) -> None:
    found, provider = kept
    provider.get_tracer("t").start_span(name).end()
    fresh = allow.rebuilt(found.spans[0])
    assert fresh is not None
    assert fresh.name == name


@pytest.mark.parametrize("word", ["", "Consent", "consent api", "host.example", "a" * 41])
def test_a_process_is_named_by_two_words(word: str) -> None:
    with pytest.raises(ValueError, match="one word"):
        allow.resource(word, "api")
    with pytest.raises(ValueError, match="one word"):
        allow.resource("consent", word)

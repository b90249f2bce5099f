"""One chain, in one order: who, may they, is there time, is it well formed; then the handler."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from safehand_core.errors import SafehandError
from safehand_core.reasons import TABLE, Reason
from safehand_rpc import call
from safehand_rpc.checks import require_deadline
from safehand_rpc.tls import channel_credentials, read_material

from tests.rpc.conftest import CANARY, POLICY, Harness, refusal


class Raw:
    """A channel without any of our client code: what another language's client sees."""

    def __init__(self, harness: Harness, tls: Any = None) -> None:
        tls = tls or harness.parties("agency", "harbour")
        self.channel: Any = grpc.secure_channel(
            harness.address,
            channel_credentials(read_material(tls)),
            options=[
                ("grpc.ssl_target_name_override", "consent.safehand.example"),
                ("grpc.enable_retries", 0),
            ],
        )

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def fails(
        self, raw: bytes, *, method: str = "/echo.v1.EchoService/Echo", timeout: float | None = 5
    ) -> Any:
        with pytest.raises(grpc.RpcError) as caught:
            self.channel.unary_unary(method)(raw, timeout=timeout)
        return caught.value

    def reason(self, raw: bytes, **options: Any) -> str:
        status = rpc_status.from_call(self.fails(raw, **options))
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        return str(info.reason)


@pytest.fixture
def raw(harness: Harness) -> Any:
    with Raw(harness) as channel:
        yield channel


# --- errors ---------------------------------------------------------------------------------


def test_a_refusal_carries_one_errorinfo_and_the_retry_time(harness: Harness, raw: Raw) -> None:
    error = raw.fails(harness.request(text="refuse").SerializeToString())
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error.details() == TABLE[Reason.LEDGER_STARTING].message + " (constant)"
    status = rpc_status.from_call(error)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert len(status.details) == 2
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (info.reason, info.domain) == ("LEDGER_STARTING", "safehand.example")
    assert dict(info.metadata) == {
        "left": "2",
        "detail": "constant",
        "fix": TABLE[Reason.LEDGER_STARTING].fix,
    }
    assert retry.retry_delay.ToMilliseconds() == 1250


def test_the_client_gets_the_same_error_that_the_handler_raised(harness: Harness) -> None:
    error = refusal(lambda: harness.stub().Echo(harness.request(text="refuse")))
    assert error.reason is Reason.LEDGER_STARTING
    assert (error.detail, error.metadata, error.retry_after_s) == ("constant", {"left": "2"}, 1.25)


@pytest.mark.parametrize("how", ["crash", "abort", "set_code"])
def test_no_text_of_a_handlers_own_making_leaves_the_server(
    harness: Harness, raw: Raw, log_lines: Any, capfd: pytest.CaptureFixture[str], how: str
) -> None:
    error = raw.fails(harness.request(text=how).SerializeToString())
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == TABLE[Reason.INTERNAL].message
    everything = repr(error) + str(error.trailing_metadata()) + str(log_lines())
    printed = capfd.readouterr()
    assert CANARY not in everything + printed.out + printed.err


def test_a_crash_is_logged_with_the_exceptions_type_alone(
    harness: Harness, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    refusal(lambda: harness.stub().Echo(harness.request(text="crash")))
    (line,) = log_lines()
    assert line.pop("duration_ms") >= 0
    assert line.pop("timestamp")
    assert line == {
        "event": "rpc.failed",
        "level": "error",
        "service": "consent",
        "process": "api",
        "method": "/echo.v1.EchoService/Echo",
        "status": "INTERNAL",
        "reason": "INTERNAL",
        "role": "agency",
        "exception": "ValueError",
    }


def test_log_lines_hold_no_party_and_no_content(harness: Harness, log_lines: Any) -> None:
    harness.stub().Echo(harness.request(text="private"))
    refusal(lambda: harness.stub().Echo(harness.request(text="x" * 11)))
    text = str(log_lines())
    assert [line["event"] for line in log_lines()] == ["rpc.answered", "rpc.refused"]
    assert "harbour" not in text
    assert "private" not in text


def test_a_method_that_is_not_overridden_is_not_built(harness: Harness) -> None:
    error = refusal(lambda: harness.stub().Absent(harness.request()))
    assert error.reason is Reason.NOT_BUILT


@pytest.mark.parametrize("method", ["/echo.v1.EchoService/Gone", "/nobody.v1.Knows/It"])
def test_an_unknown_method_is_not_built_and_its_path_is_not_logged(
    raw: Raw, log_lines: Any, method: str
) -> None:
    error = raw.fails(b"", method=method)
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert rpc_status.from_call(error) is not None
    assert method not in str(log_lines())


# --- policy before everything that looks at the request -------------------------------------


def test_a_role_outside_the_table_is_refused(harness: Harness, parties: Any) -> None:
    stub = harness.stub(parties("oversight", "board"))
    error = refusal(lambda: stub.Echo(harness.request(text="hi")))
    assert error.reason is Reason.NOT_ALLOWED
    assert harness.servicer.calls == 0


def test_the_table_is_per_method(harness: Harness, parties: Any) -> None:
    stub = harness.stub(parties("service", "portal"))
    assert stub.Echo(harness.request(text="hi")).role == "service:portal"
    error = refusal(lambda: list(stub.Count(harness.echo.pb.CountRequest(to=1), timeout=5)))
    assert error.reason is Reason.NOT_ALLOWED


@pytest.mark.parametrize(
    ("raw_request", "timeout"),
    [(b"\xff\xff", 5.0), (b"\x0a\x0bxxxxxxxxxxx", 5.0), (b"\x92\x3f\x01x", 5.0), (b"", None)],
    ids=["not a message", "breaks a rule", "unknown field", "no deadline"],
)
def test_who_may_not_call_learns_nothing_about_validity(
    harness: Harness, parties: Any, raw_request: bytes, timeout: float | None
) -> None:
    with Raw(harness, parties("oversight", "board")) as denied:
        assert denied.reason(raw_request, timeout=timeout) == "NOT_ALLOWED"


# --- deadlines ------------------------------------------------------------------------------


def test_a_call_without_a_deadline_is_refused(raw: Raw, harness: Harness) -> None:
    assert raw.reason(b"", timeout=None) == "DEADLINE_INVALID"
    assert harness.servicer.calls == 0


def test_a_deadline_above_a_minute_is_refused(raw: Raw) -> None:
    assert raw.reason(b"", timeout=75) == "DEADLINE_INVALID"


def test_a_minute_is_allowed(raw: Raw) -> None:
    assert raw.channel.unary_unary("/echo.v1.EchoService/Echo")(b"", timeout=60)


def test_deadlines_have_bounds_and_streams_no_upper_one() -> None:
    for never in (None, 0.0, 0.019, 61.0, 1e12):
        with pytest.raises(SafehandError):
            require_deadline(never, streams=False)
    for short in (0.0, 0.019):
        with pytest.raises(SafehandError):
            require_deadline(short, streams=True)
    for allowed in (0.021, 60.0):
        require_deadline(allowed, streams=False)
    for long in (None, 3600.0, 1e12):
        require_deadline(long, streams=True)


def test_a_sub_call_gets_less_time_than_its_call() -> None:
    class Context:
        def time_remaining(self) -> float:
            return 2.0

    served = call.Call("/a/b", None, Context())  # type: ignore[arg-type]
    assert served.subcall_timeout_s() == pytest.approx(1.98)
    assert served.subcall_timeout_s(0.5) == 0.5


# --- form -----------------------------------------------------------------------------------


def test_bytes_that_are_no_message_are_malformed(raw: Raw) -> None:
    assert raw.reason(b"\xff\xff\xff") == "MALFORMED"


@pytest.mark.parametrize(
    "nested",
    [
        lambda unknown: unknown,
        lambda unknown: b"\x12" + bytes([len(unknown)]) + unknown,
        lambda unknown: b"\x1a" + bytes([len(unknown)]) + unknown,
        lambda unknown: (
            b"\x22" + bytes([len(unknown) + 5]) + b"\x0a\x01k\x12" + bytes([len(unknown)]) + unknown
        ),
    ],
    ids=["top", "nested", "repeated", "map value"],
)
def test_an_unknown_field_is_refused_at_any_depth(
    harness: Harness, raw: Raw, nested: Callable[[bytes], bytes]
) -> None:
    known = b"\x08\x07"  # Inner.number = 7, and at the top a field of the wrong type
    unknown = known + b"\x98\x3f\x01"  # field 1011
    assert raw.reason(nested(unknown)) == "MALFORMED"
    assert harness.servicer.calls == 0
    if nested(b"") != b"":
        assert raw.channel.unary_unary("/echo.v1.EchoService/Echo")(nested(known), timeout=5)


@pytest.mark.parametrize(
    ("build", "field", "rule"),
    [
        (lambda pb: pb.EchoRequest(text="x" * 11), "text", "string.max_len"),
        (lambda pb: pb.EchoRequest(inner=pb.Inner()), "inner.number", "int32.gte"),
        (
            lambda pb: pb.EchoRequest(many=[pb.Inner(number=1), pb.Inner()]),
            "many[1].number",
            "int32.gte",
        ),
        (
            lambda pb: pb.EchoRequest(named={CANARY: pb.Inner()}),
            "named[].number",
            "int32.gte",
        ),
    ],
    ids=["scalar", "nested", "repeated", "map"],
)
def test_a_broken_rule_is_named_by_field_and_rule_never_by_value(
    harness: Harness, log_lines: Any, build: Any, field: str, rule: str
) -> None:
    error = refusal(lambda: harness.stub().Echo(build(harness.echo.pb)))
    assert error.reason is Reason.MALFORMED
    assert error.metadata == {"field": field, "rule": rule}
    assert CANARY not in str(log_lines())
    assert harness.servicer.calls == 0


def test_a_request_above_its_limit_is_too_large(harness: Harness) -> None:
    limit = 256 * 1024
    stub = harness.stub()
    assert stub.Echo(harness.request(blob=b"x" * (limit - 100))).name == "harbour"
    error = refusal(lambda: stub.Echo(harness.request(blob=b"x" * limit)))
    assert error.reason is Reason.TOO_LARGE
    assert error.metadata == {"limit_bytes": str(limit)}


def test_a_request_far_above_its_limit_is_refused_before_it_is_read(harness: Harness) -> None:
    error = refusal(lambda: harness.stub().Echo(harness.request(blob=b"x" * 1024 * 1024)))
    assert error.reason is Reason.TOO_LARGE
    assert harness.servicer.calls == 0


def test_one_method_can_have_a_higher_limit(serve: Callable[..., Harness]) -> None:
    echo_path, absent_path = "/echo.v1.EchoService/Echo", "/echo.v1.EchoService/Absent"
    harness = serve(method_max_bytes={echo_path: 2 * 1024 * 1024})
    large = harness.request(blob=b"x" * 1024 * 1024)
    assert harness.stub().Echo(large).name == "harbour"
    assert refusal(lambda: harness.stub().Absent(large)).reason is Reason.TOO_LARGE
    assert absent_path in POLICY


# --- streams --------------------------------------------------------------------------------


def test_a_stream_answers_without_a_deadline_and_keeps_its_call(harness: Harness) -> None:
    answers = harness.stub().Count(harness.echo.pb.CountRequest(to=3))
    assert [a.number for a in answers] == [1, 2, 3]


def test_a_stream_that_fails_ends_with_a_constant(harness: Harness, log_lines: Any) -> None:
    answers = harness.stub().Count(harness.echo.pb.CountRequest(to=3, fail_after=2))
    assert [next(answers).number, next(answers).number] == [1, 2]
    error = refusal(lambda: next(answers))
    assert error.reason is Reason.INTERNAL
    assert CANARY not in str(error) + str(error.metadata) + str(log_lines())


def test_a_stream_is_validated_like_anything_else(harness: Harness) -> None:
    answers = harness.stub().Count(harness.echo.pb.CountRequest(to=-1))
    assert refusal(lambda: next(answers)).metadata["field"] == "to"


def test_a_stream_that_the_caller_leaves_closes_its_handler(
    harness: Harness, log_lines: Any
) -> None:
    answers = harness.stub().Count(harness.echo.pb.CountRequest(to=100_000_000))
    assert next(answers).number == 1
    answers.cancel()
    assert harness.servicer.ended.wait(5)
    deadline = time.monotonic() + 5
    while not log_lines() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert log_lines()[-1]["status"] == "CANCELLED"


# --- what a handler can rely on -------------------------------------------------------------


def test_a_termination_callback_runs_after_the_answer(harness: Harness) -> None:
    harness.stub().Echo(harness.request(text="hi"))
    assert harness.servicer.ended.wait(5)


def test_outside_of_a_handler_there_is_no_current_call() -> None:
    with pytest.raises(LookupError):
        call.current()

"""What our own client adds to a stub: the right peer, deadlines, retries, reasons."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from safehand_core.errors import SafehandError
from safehand_core.reasons import TABLE, Reason
from safehand_rpc import call, status
from safehand_rpc.ca import DevCa
from safehand_rpc.dial import Dialer, map_errors

from tests.rpc.conftest import Echo, Harness, make_servicer, refusal


def test_a_closed_port_is_unavailable(harness: Harness) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    harness.server.port = port
    error = refusal(lambda: harness.stub().Echo(harness.request()))
    assert error.reason is Reason.UNAVAILABLE
    assert error.metadata == {"code": "UNAVAILABLE"}


def test_a_call_without_a_timeout_gets_the_default_one(harness: Harness) -> None:
    stub = harness.stub(timeout_s=0.2)
    error = refusal(lambda: stub.Echo(harness.request(text="slow")))
    assert error.reason is Reason.UNAVAILABLE
    assert error.metadata == {"code": "DEADLINE_EXCEEDED"}


def test_a_timeout_of_its_own_is_kept(harness: Harness) -> None:
    stub = harness.stub(timeout_s=0.2)
    assert stub.Echo(harness.request(text="slow"), timeout=5).text == "slow"


class Flaky:
    """Refuses the first calls."""

    def __init__(self, echo: Echo, failures: int, reason: Reason) -> None:
        self.echo, self.failures, self.reason = echo, failures, reason
        self.calls = itertools.count(1)
        self.seen = 0

    def servicer(self) -> Any:
        outer, servicer = self, make_servicer(self.echo)

        class Servicer(self.echo.grpc.EchoServiceServicer):  # type: ignore[name-defined,misc]
            Count = servicer.Count

            def Echo(self, request: Any, context: Any) -> Any:  # noqa: N802
                outer.seen = next(outer.calls)
                if outer.seen <= outer.failures:
                    raise SafehandError(outer.reason)
                return outer.echo.pb.EchoResponse(name=call.current().principal.name)

        return Servicer()


def test_unavailable_is_tried_again(serve: Callable[..., Harness], echo: Echo) -> None:
    flaky = Flaky(echo, 2, Reason.UNAVAILABLE)
    harness = serve(servicer=flaky.servicer())
    assert harness.stub(retry=True).Echo(harness.request()).name == "harbour"
    assert flaky.seen == 3


@pytest.mark.parametrize("reason", [Reason.INTERNAL, Reason.CONSENT_ENDED, Reason.OVERLOADED])
def test_nothing_else_is_tried_again(
    serve: Callable[..., Harness], echo: Echo, reason: Reason
) -> None:
    flaky = Flaky(echo, 2, reason)
    harness = serve(servicer=flaky.servicer())
    assert refusal(lambda: harness.stub(retry=True).Echo(harness.request())).reason is reason
    assert flaky.seen == 1


def test_retries_end(serve: Callable[..., Harness], echo: Echo) -> None:
    flaky = Flaky(echo, 100, Reason.LEDGER_STARTING)
    harness = serve(servicer=flaky.servicer())
    error = refusal(lambda: harness.stub(retry=True).Echo(harness.request()))
    assert error.reason is Reason.LEDGER_STARTING
    assert flaky.seen == 4


def test_the_channel_follows_its_own_certificate(
    harness: Harness, ca: DevCa, tmp_path: Path
) -> None:
    harbour = "spiffe://safehand.example/agency/harbour"
    lantern = "spiffe://safehand.example/agency/lantern"
    files = ca.issue(tmp_path / "agency", harbour)
    stub = harness.stub(files)
    assert stub.Echo(harness.request()).name == "harbour"
    ca.issue(tmp_path / "agency", lantern)
    assert stub.Echo(harness.request()).name == "lantern"


def test_a_dialer_keeps_one_channel_for_each_service(harness: Harness, parties: Any) -> None:
    with Dialer(parties("agency", "harbour")) as dialer:
        channel = dialer.channel(harness.address, "consent")
        assert dialer.channel(harness.address, "consent") is channel
        stub = harness.echo.grpc.EchoServiceStub(channel)
        assert stub.Echo(harness.request()).name == "harbour"
        other = harness.echo.grpc.EchoServiceStub(dialer.channel(harness.address, "notify"))
        assert refusal(lambda: other.Echo(harness.request())).reason is Reason.UNAVAILABLE


def test_a_cancelled_stream_ends_with_an_error_of_ours(harness: Harness) -> None:
    answers = harness.stub().Count(harness.echo.pb.CountRequest(to=100_000_000))
    next(answers)
    answers.cancel()
    error = refusal(lambda: list(answers))
    assert error.metadata == {"code": "CANCELLED"}


# --- errors on the wire, both ways ----------------------------------------------------------


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_survives_the_wire(reason: Reason) -> None:
    sent = SafehandError(reason, "constant", metadata={"field": "a.b"}, retry_after_s=0.5)
    wire = status.to_status(sent)
    assert grpc.StatusCode[TABLE[reason].status].value[0] == wire.code
    got = status.from_status(status_pb2.Status.FromString(wire.SerializeToString()))
    assert (got.reason, got.detail, got.metadata, got.retry_after_s) == (
        reason,
        "constant",
        {"field": "a.b"},
        0.5,
    )


@pytest.mark.parametrize(
    "info",
    [
        {"reason": "FROM_THE_FUTURE", "domain": "safehand.example"},
        {"reason": "CONSENT_ENDED", "domain": "elsewhere.example"},
    ],
)
def test_a_reason_that_is_not_ours_is_internal(info: dict[str, str]) -> None:
    wire = status_pb2.Status(code=7, message="anything")
    wire.details.add().Pack(error_details_pb2.ErrorInfo(**info))
    error = status.from_status(wire)
    assert error.reason is Reason.INTERNAL
    assert "anything" not in str(error)


def test_a_foreign_stub_can_be_mapped_too(harness: Harness) -> None:
    tls = harness.parties("agency", "harbour")
    credentials = grpc.ssl_channel_credentials(
        tls.ca.read_bytes(), tls.key.read_bytes(), tls.cert.read_bytes()
    )
    options = [("grpc.ssl_target_name_override", "consent.safehand.example")]
    with grpc.secure_channel(harness.address, credentials, options=options) as channel:
        stub = harness.echo.grpc.EchoServiceStub(channel)
        with pytest.raises(SafehandError) as caught, map_errors():
            stub.Echo(harness.request(text="refuse"), timeout=5)
    assert caught.value.reason is Reason.LEDGER_STARTING


def test_a_refusal_does_not_wait(harness: Harness) -> None:
    started = time.monotonic()
    refusal(lambda: harness.stub().Echo(harness.request(text="crash")))
    assert time.monotonic() - started < 2

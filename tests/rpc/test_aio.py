"""The asyncio server makes the same decisions as the threaded one."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from safehand_core.clock import SystemClock
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_rpc import call
from safehand_rpc.aio import RunningAioServer, build_aio_server, serve_until_signal
from safehand_rpc.dial import connect
from safehand_rpc.identity import principal_of

from tests.rpc.conftest import CANARY, POLICY, Echo, refusal


def make_servicer(echo: Echo) -> Any:
    class Servicer(echo.grpc.EchoServiceServicer):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            self.calls = 0
            self.ended = 0

        async def Echo(self, request: Any, context: Any) -> Any:  # noqa: N802
            self.calls += 1
            if request.text == "crash":
                raise ValueError(CANARY)
            if request.text == "refuse":
                raise SafehandError(Reason.STATE_CONFLICT, metadata={"left": "2"})
            await asyncio.sleep(0)
            principal = call.current().principal
            return echo.pb.EchoResponse(
                role=principal.role,
                name=principal.name,
                same=principal == principal_of(context),
            )

        async def Count(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
            try:
                for number in range(1, request.to + 1):
                    await asyncio.sleep(0)
                    assert call.current().context is context
                    yield echo.pb.CountResponse(number=number)
                    if number == request.fail_after:
                        raise ValueError(CANARY)
            finally:
                self.ended += 1

    return Servicer()


class Loop:
    """A server on an event loop of its own thread, called by our synchronous client."""

    def __init__(self, echo: Echo, parties: Any) -> None:
        self.echo, self.parties, self.servicer = echo, parties, make_servicer(echo)
        self.channels: list[Any] = []
        self.server: Any = None

    async def serve(self, body: Callable[[RunningAioServer], Awaitable[None]]) -> None:
        server = await build_aio_server(
            services=[
                (
                    self.echo.grpc.add_EchoServiceServicer_to_server,
                    self.servicer,
                    self.echo.service(),
                )
            ],
            policy=POLICY,
            tls=self.parties("service", "notify"),
            clock=SystemClock(),
        )
        self.server = server
        await server.start()
        try:
            await body(server)
        finally:
            for channel in self.channels:
                channel.close()
            await server.drain(0.2, settle_s=0)

    def run(
        self,
        client: Callable[[Any], None],
        kind: str = "agency",
        name: str = "one",
        stub: Any = None,
    ) -> None:
        """Run ``client(stub)`` in a thread against a server on this thread's loop."""
        stub_of = stub or self.echo.grpc.EchoServiceStub

        def blocking(port: int) -> None:
            tls = self.parties(kind, name)
            channel = connect(f"127.0.0.1:{port}", tls, "notify", retry=False, timeout_s=5)
            self.channels.append(channel)
            client(stub_of(channel))

        async def body(server: RunningAioServer) -> None:
            with ThreadPoolExecutor(1) as pool:
                await asyncio.get_running_loop().run_in_executor(pool, blocking, server.port)

        asyncio.run(self.serve(body))


@pytest.fixture
def loop(echo: Echo, parties: Any, log_lines: Any) -> Loop:
    return Loop(echo, parties)


def test_a_call_is_answered_with_its_principal(loop: Loop) -> None:
    def client(stub: Any) -> None:
        answer = stub.Echo(loop.echo.pb.EchoRequest())
        assert (answer.role, answer.name, answer.same) == ("agency", "one", True)

    loop.run(client)


def test_a_stream_is_followed_to_its_end(loop: Loop) -> None:
    def client(stub: Any) -> None:
        assert [a.number for a in stub.Count(loop.echo.pb.CountRequest(to=3))] == [1, 2, 3]

    loop.run(client)
    assert loop.servicer.ended == 1


@pytest.mark.parametrize(
    ("request_of", "timeout", "reason"),
    [
        (lambda pb: pb.EchoRequest(text="crash"), 5, Reason.INTERNAL),
        (lambda pb: pb.EchoRequest(text="refuse"), 5, Reason.STATE_CONFLICT),
        (lambda pb: pb.EchoRequest(text="x" * 11), 5, Reason.MALFORMED),
        (lambda pb: pb.EchoRequest(blob=b"x" * 256 * 1024), 5, Reason.TOO_LARGE),
        (lambda pb: pb.EchoRequest(), 75, Reason.DEADLINE_INVALID),
    ],
    ids=["crash", "refusal", "rule", "size", "deadline"],
)
def test_refusals_are_the_threaded_servers(
    loop: Loop, log_lines: Any, request_of: Any, timeout: float, reason: Reason
) -> None:
    def client(stub: Any) -> None:
        error = refusal(lambda: stub.Echo(request_of(loop.echo.pb), timeout=timeout))
        assert error.reason is reason
        assert CANARY not in str(error)

    loop.run(client)
    assert [line["reason"] for line in log_lines()] == [reason.value]
    assert CANARY not in str(log_lines())


def test_an_unknown_field_is_refused(loop: Loop) -> None:
    def client(stub: Any) -> None:
        request = loop.echo.pb.EchoRequest.FromString(b"\x98\x3f\x01")
        assert refusal(lambda: stub.Echo(request)).reason is Reason.MALFORMED

    loop.run(client)
    assert loop.servicer.calls == 0


def test_a_method_that_is_not_overridden_is_not_built(loop: Loop) -> None:
    def client(stub: Any) -> None:
        request = loop.echo.pb.EchoRequest()
        assert refusal(lambda: stub.Absent(request)).reason is Reason.NOT_BUILT

    loop.run(client)


def test_the_policy_holds(loop: Loop) -> None:
    def client(stub: Any) -> None:
        answers = stub.Count(loop.echo.pb.CountRequest(to=1))
        assert refusal(lambda: next(answers)).reason is Reason.NOT_ALLOWED

    loop.run(client, "service", "portal")


def test_a_stream_that_fails_ends_with_a_constant(loop: Loop, log_lines: Any) -> None:
    def client(stub: Any) -> None:
        answers = stub.Count(loop.echo.pb.CountRequest(to=3, fail_after=1))
        assert next(answers).number == 1
        assert refusal(lambda: next(answers)).reason is Reason.INTERNAL

    loop.run(client)
    assert CANARY not in str(log_lines())


def test_a_stream_that_the_caller_leaves_closes_its_handler(loop: Loop, log_lines: Any) -> None:
    def client(stub: Any) -> None:
        answers = stub.Count(loop.echo.pb.CountRequest(to=100_000_000))
        next(answers)
        answers.cancel()

    loop.run(client)
    assert loop.servicer.ended == 1
    assert log_lines()[-1]["status"] == "CANCELLED"


def test_many_streams_need_no_threads(loop: Loop) -> None:
    def client(stub: Any) -> None:
        many = [stub.Count(loop.echo.pb.CountRequest(to=100_000_000)) for _ in range(30)]
        assert [next(answers).number for answers in many] == [1] * 30
        assert stub.Echo(loop.echo.pb.EchoRequest()).name == "one"
        for answers in many:
            answers.cancel()

    loop.run(client)


def test_health_flips_and_a_watch_is_refused(loop: Loop) -> None:
    request, status = health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
    service = "echo.v1.EchoService"

    def client(stub: Any) -> None:
        assert stub.Check(request(service=service)).status == status.SERVING
        assert stub.List(health_pb2.HealthListRequest()).statuses.keys() == {"", service}
        assert refusal(lambda: stub.Check(request(service="x"))).reason is Reason.NOT_FOUND
        assert refusal(lambda: next(stub.Watch(request()))).reason is Reason.NOT_BUILT
        loop.server.set_serving(False)
        assert stub.Check(request(service="")).status == status.NOT_SERVING

    loop.run(client, stub=health_pb2_grpc.HealthStub)


def test_a_process_that_is_told_to_end_drains(echo: Echo, parties: Any, log_lines: Any) -> None:
    order: list[str] = []

    async def note() -> None:
        order.append("streams told")

    async def body() -> None:
        server = await build_aio_server(
            services=[
                (
                    echo.grpc.add_EchoServiceServicer_to_server,
                    make_servicer(echo),
                    echo.service(),
                )
            ],
            policy=POLICY,
            tls=parties("service", "notify"),
            clock=SystemClock(),
        )
        asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), signal.SIGTERM)
        await serve_until_signal(server, on_drain=note)

    asyncio.run(body())
    assert order == ["streams told"]
    assert [line["event"] for line in log_lines()] == ["server.started", "server.stopped"]

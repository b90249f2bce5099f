"""A compiled test schema, a CA, and a server that speaks it, all real."""

from __future__ import annotations

import importlib
import io
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from grpc_tools import protoc  # type: ignore[import-untyped]
from safehand_core import logs
from safehand_core.clock import SystemClock
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_rpc import call
from safehand_rpc.ca import DevCa
from safehand_rpc.dial import Channel, connect
from safehand_rpc.identity import principal_of, spiffe_id
from safehand_rpc.server import RunningServer, build_server
from safehand_rpc.tls import TlsFiles

REPO = Path(__file__).resolve().parents[2]
CANARY = "Jane-Canary-1980"
"""What must never leave a handler's exception."""


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The generated modules of echo.proto as one namespace: ``pb``, ``grpc``."""
    out = tmp_path_factory.mktemp("generated")
    well_known = Path(protoc.__file__).parent / "_proto"
    arguments = [
        "protoc",
        f"-I{Path(__file__).parent}",
        f"-I{REPO / 'protos' / 'vendor'}",
        f"-I{well_known}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        "echo.proto",
    ]
    assert protoc.main(arguments) == 0
    sys.path.insert(0, str(out))
    try:
        return Echo(importlib.import_module("echo_pb2"), importlib.import_module("echo_pb2_grpc"))
    finally:
        sys.path.remove(str(out))


@dataclass
class Echo:
    pb: Any
    grpc: Any

    def service(self, name: str = "EchoService") -> Any:
        return self.pb.DESCRIPTOR.services_by_name[name]


@pytest.fixture
def log_lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What was logged so far, parsed. Strict: a field that is not allowed fails the call."""
    stream = io.StringIO()
    logs.configure("consent", stream=stream, strict=True)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logs.configure("consent")


@pytest.fixture(scope="session")
def ca_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ca")


@pytest.fixture(scope="session")
def ca(ca_dir: Path) -> DevCa:
    return DevCa.create(ca_dir)


@pytest.fixture(scope="session")
def parties(ca: DevCa, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], TlsFiles]:
    """``parties("agency", "harbour")`` → its TLS files."""
    made: dict[tuple[str, str], TlsFiles] = {}

    def party(kind: Any, name: str) -> TlsFiles:
        if (kind, name) not in made:
            directory = tmp_path_factory.mktemp(f"{kind}-{name}")
            made[kind, name] = ca.issue(directory, spiffe_id(kind, name))
        return made[kind, name]

    return party


def make_servicer(echo: Echo) -> Any:
    class Servicer(echo.grpc.EchoServiceServicer):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            self.entered = threading.Event()
            self.ended = threading.Event()
            self.calls = 0

        def Echo(self, request: Any, context: Any) -> Any:  # noqa: N802
            self.calls += 1
            context.add_callback(self.ended.set)
            current = call.current()
            misbehave(request.text, context)
            if request.text == "slow":
                self.entered.set()
                time.sleep(0.5)
            return echo.pb.EchoResponse(
                role=current.principal.role,
                name=current.principal.name,
                text=request.text,
                same=current.principal == principal_of(context),
            )

        def Count(self, request: Any, context: Any) -> Any:  # noqa: N802
            try:
                for number in range(1, request.to + 1):
                    assert call.current().context is context
                    yield echo.pb.CountResponse(number=number)
                    if number == request.fail_after:
                        raise ValueError(CANARY)
            finally:
                self.ended.set()

    return Servicer()


def misbehave(text: str, context: Any) -> None:
    """What a handler does when it is told so."""
    if text == "crash":
        raise ValueError(CANARY)
    if text == "refuse":
        raise SafehandError(
            Reason.LEDGER_STARTING, "constant", metadata={"left": "2"}, retry_after_s=1.25
        )
    if text == "abort":
        import grpc

        context.abort(grpc.StatusCode.NOT_FOUND, CANARY)
    if text == "set_code":
        import grpc

        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details(CANARY)


POLICY = {
    "/echo.v1.EchoService/Echo": frozenset({"agency", "service:portal"}),
    "/echo.v1.EchoService/Count": frozenset({"agency"}),
    "/echo.v1.EchoService/Absent": frozenset({"agency"}),
}


@dataclass
class Harness:
    server: RunningServer
    servicer: Any
    echo: Echo
    parties: Callable[[str, str], TlsFiles]
    service: str = "consent"
    channels: list[Channel] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    def channel(self, tls: TlsFiles | None = None, **options: Any) -> Channel:
        options.setdefault("retry", False)
        options.setdefault("timeout_s", 5.0)
        service = options.pop("service", self.service)
        tls = tls or self.parties("agency", "harbour")
        channel = connect(self.address, tls, service, **options)
        self.channels.append(channel)
        return channel

    def stub(self, tls: TlsFiles | None = None, **options: Any) -> Any:
        return self.echo.grpc.EchoServiceStub(self.channel(tls, **options))

    def request(self, **fields: Any) -> Any:
        return self.echo.pb.EchoRequest(**fields)


@pytest.fixture
def serve(
    echo: Echo, parties: Callable[[str, str], TlsFiles], log_lines: Any
) -> Iterator[Callable[..., Harness]]:
    """``serve(**build_server options)`` → a started server; ended with the test."""
    started: list[Harness] = []

    def start(**options: Any) -> Harness:
        servicer = options.pop("servicer", None) or make_servicer(echo)
        options.setdefault("policy", POLICY)
        options.setdefault("tls", parties("service", "consent"))
        server = build_server(
            services=[(echo.grpc.add_EchoServiceServicer_to_server, servicer, echo.service())],
            clock=SystemClock(),
            **options,
        )
        server.start()
        harness = Harness(server, servicer, echo, parties)
        started.append(harness)
        return harness

    yield start
    for harness in started:
        for channel in harness.channels:
            channel.close()
        harness.server.drain(0, settle_s=0)


@pytest.fixture
def harness(serve: Callable[..., Harness]) -> Harness:
    return serve()


def refusal(action: Callable[[], Any]) -> SafehandError:
    """The SafehandError that ``action`` raises."""
    with pytest.raises(SafehandError) as caught:
        action()
    return caught.value

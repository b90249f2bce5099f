"""Health, drain, rotation, overload: how a server starts, lives and ends."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from safehand_core.reasons import Reason
from safehand_rpc.ca import DevCa
from safehand_rpc.tls import TlsFiles, channel_credentials, read_material

from tests.rpc.conftest import CANARY, REPO, Echo, Harness, make_servicer, refusal

SERVICE = "echo.v1.EchoService"
STATUS = health_pb2.HealthCheckResponse


def health_of(harness: Harness, service: str = SERVICE) -> int:
    stub = health_pb2_grpc.HealthStub(harness.channel())
    return int(stub.Check(health_pb2.HealthCheckRequest(service=service)).status)


# --- health ---------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_says_serving_and_flips(harness: Harness, service: str) -> None:
    assert health_of(harness, service) == STATUS.SERVING
    harness.server.set_serving(False)
    assert health_of(harness, service) == STATUS.NOT_SERVING
    harness.server.set_serving(True)
    assert health_of(harness, service) == STATUS.SERVING


def test_health_lists_every_service(harness: Harness) -> None:
    stub = health_pb2_grpc.HealthStub(harness.channel())
    statuses = stub.List(health_pb2.HealthListRequest()).statuses
    assert {name: answer.status for name, answer in statuses.items()} == {
        "": STATUS.SERVING,
        SERVICE: STATUS.SERVING,
    }


def test_the_health_of_a_service_that_is_not_here_is_not_found(harness: Harness) -> None:
    assert refusal(lambda: health_of(harness, "echo.v1.Other")).reason is Reason.NOT_FOUND


def test_a_watch_of_health_pins_no_thread(serve: Callable[..., Harness]) -> None:
    harness = serve(threads=1)
    watches = [
        health_pb2_grpc.HealthStub(harness.channel()).Watch(
            health_pb2.HealthCheckRequest(service=SERVICE)
        )
        for _ in range(3)
    ]
    reasons = [refusal(lambda watch=watch: next(watch)).reason for watch in watches]  # type: ignore[misc]
    assert reasons == [Reason.NOT_BUILT] * 3
    assert harness.stub().Echo(harness.request()).name == "harbour"


# --- drain ----------------------------------------------------------------------------------


def test_a_drain_says_so_finishes_what_runs_and_takes_nothing_new(harness: Harness) -> None:
    stub, health = harness.stub(), health_pb2_grpc.HealthStub(harness.channel())
    request = health_pb2.HealthCheckRequest(service=SERVICE)
    assert health.Check(request).status == STATUS.SERVING
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(stub.Echo, harness.request(text="slow"))
        assert harness.servicer.entered.wait(5)
        drained = pool.submit(harness.server.drain, 5.0, settle_s=0.2)
        time.sleep(0.1)
        assert health.Check(request).status == STATUS.NOT_SERVING
        time.sleep(0.2)
        error = refusal(lambda: stub.Echo(harness.request(), timeout=2))
        assert error.reason is Reason.UNAVAILABLE
        assert running.result(5).text == "slow"
        drained.result(5)
    assert harness.server.wait(0)
    assert harness.servicer.calls == 1


def test_a_drain_ends_in_spite_of_a_stream_that_does_not(harness: Harness) -> None:
    answers = harness.stub().Count(harness.echo.pb.CountRequest(to=100_000_000))
    next(answers)
    started = time.monotonic()
    harness.server.drain(0.2, settle_s=0)
    assert time.monotonic() - started < 5
    assert harness.servicer.ended.wait(5)


def test_a_drained_server_can_be_drained_again(harness: Harness) -> None:
    harness.server.drain(0, settle_s=0)
    harness.server.drain(0, settle_s=0)


PROGRAM = """
import sys, time
from pathlib import Path
sys.path[:0] = [sys.argv[1], sys.argv[2]]
import echo_pb2, echo_pb2_grpc
from safehand_core import logs
from safehand_core.clock import SystemClock
from safehand_rpc.server import build_server, serve_until_signal
from safehand_rpc.tls import TlsFiles

class Servicer(echo_pb2_grpc.EchoServiceServicer):
    def Echo(self, request, context):
        time.sleep(0.5)
        return echo_pb2.EchoResponse(text=request.text)

logs.configure("consent", strict=True)
service = echo_pb2.DESCRIPTOR.services_by_name["EchoService"]
server = build_server(
    services=[(echo_pb2_grpc.add_EchoServiceServicer_to_server, Servicer(), service)],
    policy={f"/{service.full_name}/{m.name}": frozenset({"agency"}) for m in service.methods},
    tls=TlsFiles.in_dir(Path(sys.argv[3])),
    clock=SystemClock(),
)
print(server.port, flush=True)
serve_until_signal(server, on_drain=lambda: print("closed", flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_told_to_end_finishes_the_call_in_flight(
    echo: Echo, parties: Callable[[str, str], TlsFiles], number: signal.Signals
) -> None:
    generated = Path(echo.pb.__file__).parent
    tls = parties("service", "consent").cert.parent
    arguments = [sys.executable, "-c", PROGRAM, str(generated), str(REPO), str(tls)]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())

        class Remote:
            def __init__(self) -> None:
                self.port = port

        harness = Harness(Remote(), None, echo, parties)  # type: ignore[arg-type]
        stub = harness.stub()
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(stub.Echo, harness.request(text="last"))
            time.sleep(0.25)
            os.kill(process.pid, number)
            assert running.result(10).text == "last"
        out, err = process.communicate(timeout=10)
        harness.channels[0].close()
    assert process.returncode == 0
    assert out == "closed\n"
    assert f'"signal": "{number.name}"' in err
    assert "server.stopped" in err


# --- address, overload, reflection ----------------------------------------------------------


def test_two_servers_cannot_share_a_port(serve: Callable[..., Harness]) -> None:
    first = serve()
    error = refusal(lambda: serve(address=first.address))
    assert error.reason is Reason.CONFIG_INVALID


def test_what_is_too_much_is_refused_at_once(serve: Callable[..., Harness]) -> None:
    harness = serve(threads=1, maximum_concurrent_rpcs=1)
    stub = harness.stub()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(stub.Echo, harness.request(text="slow"))
        assert harness.servicer.entered.wait(5)
        started = time.monotonic()
        error = refusal(lambda: stub.Echo(harness.request()))
        assert time.monotonic() - started < 0.4
        assert running.result(5).text == "slow"
    assert error.reason is Reason.OVERLOADED


def reflected(harness: Harness) -> list[str]:
    import grpc

    tls = harness.parties("agency", "harbour")
    options = [("grpc.ssl_target_name_override", "consent.safehand.example")]
    credentials = channel_credentials(read_material(tls))
    with grpc.secure_channel(harness.address, credentials, options=options) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=5)
    return [s.name for s in answer.list_services_response.service]


def test_reflection_is_served_where_it_is_asked_for(serve: Callable[..., Harness]) -> None:
    assert SERVICE in reflected(serve(reflection=True))


def test_reflection_is_off_by_default(harness: Harness) -> None:
    import grpc

    with pytest.raises(grpc.RpcError) as caught:
        reflected(harness)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


# --- certificates ---------------------------------------------------------------------------


def served_serial(harness: Harness, client: TlsFiles) -> int:
    """The serial number that a new handshake gets to see."""
    context = ssl.create_default_context(cafile=str(client.ca))
    context.load_cert_chain(client.cert, client.key)
    context.set_alpn_protocols(["h2"])
    address = ("127.0.0.1", harness.server.port)
    with (
        socket.create_connection(address, timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="consent.safehand.example") as secure,
    ):
        der = secure.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


def serial(files: TlsFiles) -> int:
    return x509.load_pem_x509_certificate(files.cert.read_bytes()).serial_number


CONSENT = "spiffe://safehand.example/service/consent"


def test_new_handshakes_get_the_new_certificate_and_old_connections_go_on(
    serve: Callable[..., Harness], ca: DevCa, tmp_path: Path, parties: Any
) -> None:
    files = ca.issue(tmp_path / "consent", CONSENT)
    harness = serve(tls=files)
    client = parties("agency", "harbour")
    stub = harness.stub()
    stub.Echo(harness.request())
    before = serial(files)
    assert served_serial(harness, client) == before
    ca.issue(tmp_path / "consent", CONSENT)
    assert serial(files) != before
    assert served_serial(harness, client) == serial(files)
    assert stub.Echo(harness.request()).name == "harbour"


def test_a_half_written_pair_is_not_served(
    serve: Callable[..., Harness], ca: DevCa, tmp_path: Path, parties: Any
) -> None:
    files = ca.issue(tmp_path / "consent", CONSENT)
    harness = serve(tls=files)
    before = serial(files)
    other = ca.issue(tmp_path / "other", CONSENT)
    files.key.write_bytes(other.key.read_bytes())
    assert served_serial(harness, parties("agency", "harbour")) == before
    files.cert.write_bytes(b"garbage")
    assert served_serial(harness, parties("agency", "harbour")) == before
    files.cert.write_bytes(other.cert.read_bytes())
    assert served_serial(harness, parties("agency", "harbour")) == serial(other)


def test_a_server_without_its_files_does_not_start(
    serve: Callable[..., Harness], ca: DevCa, tmp_path: Path
) -> None:
    files = ca.issue(tmp_path / "consent", CONSENT)
    other = ca.issue(tmp_path / "other", CONSENT)
    mixed = TlsFiles(files.cert, other.key, files.ca)
    assert refusal(lambda: serve(tls=mixed)).reason is Reason.CONFIG_INVALID
    files.key.unlink()
    assert refusal(lambda: serve(tls=files)).reason is Reason.CONFIG_INVALID


def test_an_old_connection_is_renewed_without_losing_a_call(
    serve: Callable[..., Harness],
) -> None:
    harness = serve(connection_age_s=0.2, connection_grace_s=5.0)
    stub = harness.stub(retry=True)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        assert stub.Echo(harness.request()).name == "harbour"


def test_many_threads_call_at_once(serve: Callable[..., Harness], echo: Echo) -> None:
    servicer = make_servicer(echo)
    harness = serve(servicer=servicer)
    stub = harness.stub()
    wrong: list[str] = []

    def work(number: int) -> None:
        for _ in range(25):
            if stub.Echo(harness.request(text=str(number))).text != str(number):
                wrong.append(CANARY)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert servicer.calls == 200

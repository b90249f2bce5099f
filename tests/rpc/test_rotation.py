"""Certificates and authorities are replaced under load, and not one call fails."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from safehand_core.clock import ManualClock, SystemClock
from safehand_core.errors import SafehandError
from safehand_core.keystore import write_atomic
from safehand_core.reasons import Reason
from safehand_rpc import tls as tls_module
from safehand_rpc.aio import build_aio_server
from safehand_rpc.ca import DevCa
from safehand_rpc.dial import connect
from safehand_rpc.identity import spiffe_id
from safehand_rpc.tls import TlsFiles, TlsWatch, read_material

from tests.rpc.conftest import POLICY, Echo, Harness, refusal
from tests.rpc.test_aio import make_servicer as make_aio

AGE_S = 0.2
"""Age of a connection here: peers meet new certificates at every fifth of a second."""
HARBOUR = spiffe_id("agency", "harbour")
CONSENT = spiffe_id("service", "consent")


class Load:
    """Calls without a pause; ``errors`` must stay empty."""

    def __init__(self, stubs: list[Any], request: Any) -> None:
        self.errors: list[Exception] = []
        self.answered = 0
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._request = request
        self._threads = [threading.Thread(target=self._run, args=(stub,)) for stub in stubs]

    def _run(self, stub: Any) -> None:
        while not self._done.is_set():
            try:
                stub.Echo(self._request, timeout=20)
            except Exception as error:
                self.errors.append(error)
                return
            with self._lock:
                self.answered += 1

    def more(self, calls: int = 30) -> None:
        """Wait until so many further calls were answered."""
        wanted = self.answered + calls
        pause = threading.Event()
        while self.answered < wanted and not self.errors:
            pause.wait(0.005)
        assert not self.errors, self.errors

    @contextmanager
    def running(self) -> Iterator[Load]:
        for thread in self._threads:
            thread.start()
        try:
            self.more()
            yield self
            self.more()
        finally:
            self._done.set()
            for thread in self._threads:
                thread.join()
        assert not self.errors


def serial(harness: Harness, tls: TlsFiles) -> int:
    """The serial number of the certificate that a new handshake meets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=tls.ca.read_text())
    context.load_cert_chain(tls.cert, tls.key)
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", harness.server.port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="consent.safehand.example") as wrapped,
    ):
        der = wrapped.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


def current(files: TlsFiles) -> int:
    return x509.load_pem_x509_certificate(files.cert.read_bytes()).serial_number


@pytest.fixture
def own(ca: DevCa, tmp_path: Path) -> tuple[TlsFiles, TlsFiles]:
    """A server's and a client's files of this test alone."""
    return ca.issue(tmp_path / "server", CONSENT), ca.issue(tmp_path / "client", HARBOUR)


def test_the_servers_certificate_is_replaced_under_load(
    serve: Callable[..., Harness], own: tuple[TlsFiles, TlsFiles], ca: DevCa
) -> None:
    server, client = own
    harness = serve(tls=server, connection_age_s=AGE_S)
    stubs = [harness.stub(client, retry=True) for _ in range(3)]
    with Load(stubs, harness.request()).running() as load:
        for _ in range(4):
            before = serial(harness, client)
            ca.issue(server.cert.parent, CONSENT)
            load.more()
            assert serial(harness, client) == current(server) != before


def test_the_clients_certificate_is_replaced_under_load(
    serve: Callable[..., Harness], own: tuple[TlsFiles, TlsFiles], ca: DevCa
) -> None:
    server, client = own
    harness = serve(tls=server, connection_age_s=AGE_S)
    stubs = [harness.stub(client, retry=True) for _ in range(3)]
    with Load(stubs, harness.request()).running() as load:
        for _ in range(4):
            ca.issue(client.cert.parent, HARBOUR)
            load.more()


def test_the_authority_is_replaced_under_load_with_an_overlap(
    serve: Callable[..., Harness], own: tuple[TlsFiles, TlsFiles], ca: DevCa, tmp_path: Path
) -> None:
    """Everybody trusts both first; then certificates change; then the old authority goes."""
    server, client = own
    harness = serve(tls=server, connection_age_s=AGE_S)
    stubs = [harness.stub(client, retry=True) for _ in range(3)]
    fresh = DevCa.create(tmp_path / "fresh")
    both = ca.certificate_pem + fresh.certificate_pem
    old_client = _copy(client, tmp_path / "old")
    with Load(stubs, harness.request()).running() as load:
        for files in (server, client):
            write_atomic(files.ca, both)
            load.more()
        for directory, identity in ((server.cert.parent, CONSENT), (client.cert.parent, HARBOUR)):
            _issue_trusting(fresh, directory, identity, both)
            load.more()
        for files in (server, client):
            write_atomic(files.ca, fresh.certificate_pem)
            load.more()
    write_atomic(old_client.ca, both)
    stranger = harness.stub(old_client)
    assert refusal(lambda: stranger.Echo(harness.request())).reason is Reason.UNAVAILABLE


def _copy(files: TlsFiles, directory: Path) -> TlsFiles:
    directory.mkdir(mode=0o700)
    copy = TlsFiles.in_dir(directory)
    for one, other in ((files.cert, copy.cert), (files.key, copy.key), (files.ca, copy.ca)):
        write_atomic(other, one.read_bytes())
    return copy


def _issue_trusting(ca: DevCa, directory: Path, identity: str, trusted: bytes) -> None:
    """``issue`` writes the authority's own certificate as the trusted one: not what is wanted."""
    made = ca.issue(directory / "made", identity)
    files = TlsFiles.in_dir(directory)
    write_atomic(files.key, made.key.read_bytes())
    write_atomic(files.cert, made.cert.read_bytes())
    assert files.ca.read_bytes() == trusted


@pytest.mark.parametrize("damaged", ["cert", "key", "ca"])
@pytest.mark.parametrize("how", ["half", "empty", "missing", "foreign"])
def test_a_file_that_is_half_written_keeps_the_last_good_set(
    serve: Callable[..., Harness],
    own: tuple[TlsFiles, TlsFiles],
    ca: DevCa,
    log_lines: Callable[[], list[dict[str, Any]]],
    damaged: str,
    how: str,
) -> None:
    server, client = own
    harness = serve(tls=server, connection_age_s=AGE_S)
    path: Path = getattr(server, damaged)
    good = path.read_bytes()
    before = serial(harness, client)
    damage = {"half": good[: len(good) // 2], "empty": b"", "foreign": b"not PEM at all\n"}
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(damage[how])
    for _ in range(2):
        assert serial(harness, client) == before
    assert harness.stub(client).Echo(harness.request()).name == "harbour"
    complaints = [line for line in log_lines() if line["event"] == "tls.not_reloaded"]
    assert len(complaints) == (0 if how == "missing" else 1)
    path.write_bytes(good)
    ca.issue(server.cert.parent, CONSENT)
    assert serial(harness, client) == current(server) != before


@pytest.mark.parametrize("mode", [0o644, 0o660])
def test_a_key_open_to_others_is_refused(own: tuple[TlsFiles, TlsFiles], mode: int) -> None:
    server, _ = own
    read_material(server)
    server.key.chmod(mode)
    with pytest.raises(SafehandError) as caught:
        read_material(server)
    assert caught.value.reason is Reason.CONFIG_INVALID


def test_a_certificate_that_has_ended_replaces_none(
    own: tuple[TlsFiles, TlsFiles], ca: DevCa, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = own
    watch = TlsWatch(server)
    ca.issue(server.cert.parent, CONSENT)
    ended = read_material(server).ends_at
    with monkeypatch.context() as late:
        late.setattr(tls_module, "SystemClock", lambda: ManualClock(ended))
        assert watch.changed() is None
    assert watch.changed() is not None


def test_a_bundle_that_was_cut_off_behind_a_whole_certificate_is_not_taken(
    own: tuple[TlsFiles, TlsFiles], ca: DevCa
) -> None:
    server, _ = own
    watch = TlsWatch(server)
    server.ca.write_bytes(ca.certificate_pem + ca.certificate_pem[:100])
    assert watch.changed() is None
    server.ca.write_bytes(ca.certificate_pem * 2)
    fresh = watch.changed()
    assert fresh is not None
    assert fresh.ca == ca.certificate_pem * 2


def test_a_client_keeps_its_last_good_set_too(
    harness: Harness, own: tuple[TlsFiles, TlsFiles]
) -> None:
    _, client = own
    stub = harness.stub(client)
    client.cert.write_bytes(client.cert.read_bytes()[:200])
    assert stub.Echo(harness.request()).name == "harbour"


def expired(ca_dir: Path) -> DevCa:
    """The same authority a month ago."""
    now = SystemClock().wall()
    return DevCa.load(ca_dir, clock=ManualClock(now - 30 * 24 * 3600))


def test_an_expired_client_certificate_is_refused(
    serve: Callable[..., Harness], ca_dir: Path, tmp_path: Path
) -> None:
    harness = serve()
    client = expired(ca_dir).issue(tmp_path / "client", HARBOUR)
    error = refusal(lambda: harness.stub(client).Echo(harness.request()))
    assert error.reason is Reason.UNAVAILABLE


def test_a_server_with_an_expired_certificate_is_refused(
    serve: Callable[..., Harness], ca_dir: Path, tmp_path: Path
) -> None:
    server = expired(ca_dir).issue(tmp_path / "server", CONSENT)
    harness = serve(tls=server)
    error = refusal(lambda: harness.stub().Echo(harness.request()))
    assert error.reason is Reason.UNAVAILABLE


def test_when_a_certificate_ends_is_a_number(own: tuple[TlsFiles, TlsFiles], ca: DevCa) -> None:
    server, _ = own
    watch = TlsWatch(server)
    certificate = x509.load_pem_x509_certificate(server.cert.read_bytes())
    assert watch.ends_at == int(certificate.not_valid_after_utc.timestamp())
    ca.issue(server.cert.parent, CONSENT, days=1)
    assert watch.changed() is not None
    assert watch.ends_at < int(certificate.not_valid_after_utc.timestamp())
    soonest = tls_module.soonest_end()
    assert soonest is not None
    assert soonest <= watch.ends_at


def test_a_watch_never_raises(
    own: tuple[TlsFiles, TlsFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    """gRPC asks it inside a handshake."""
    server, _ = own
    watch = TlsWatch(server)
    server.cert.touch()

    def broken(_: object) -> object:
        raise SafehandError(Reason.CONFIG_INVALID)

    monkeypatch.setattr(tls_module, "read_material", broken)
    assert watch.changed() is None


def test_an_asyncio_server_follows_its_files_too(
    echo: Echo, own: tuple[TlsFiles, TlsFiles], ca: DevCa
) -> None:
    server, client = own

    async def main() -> None:
        made = await build_aio_server(
            services=[
                (echo.grpc.add_EchoServiceServicer_to_server, make_aio(echo), echo.service())
            ],
            policy=POLICY,
            tls=server,
            clock=SystemClock(),
            connection_age_s=AGE_S,
        )
        await made.start()
        try:
            await asyncio.get_running_loop().run_in_executor(None, load, made.port)
        finally:
            await made.drain(0, settle_s=0)

    def load(port: int) -> None:
        with connect(f"127.0.0.1:{port}", client, "consent", timeout_s=20) as channel:
            stub = echo.grpc.EchoServiceStub(channel)
            with Load([stub], echo.pb.EchoRequest()).running() as running:
                for _ in range(3):
                    ca.issue(server.cert.parent, CONSENT)
                    running.more()
                    ca.issue(client.cert.parent, HARBOUR)
                    running.more()

    asyncio.run(main())

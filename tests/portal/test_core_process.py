"""The portal as a process: what it refuses to start with, how it starts, ends, and serves TLS."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_portal_service import peer
from safehand_portal_service.settings import PortalSettings
from safehand_rpc.tls import TlsFiles

from tests.consent.world import certificates
from tests.portal.core_world import Client

WAIT_S = 60.0
"""Bounds a hang; it measures nothing."""


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return certificates(tmp_path_factory.mktemp("tls"))["portal"]


def environment(tls: TlsFiles, folder: Path, **changed: str) -> dict[str, str]:
    values = {
        "PROFILE": "test",
        "DATA_DIR": str(folder / "portal"),
        "TLS_CERT": str(tls.cert),
        "TLS_KEY": str(tls.key),
        "TLS_CA": str(tls.ca),
        "CONSENT_ADDRESS": "127.0.0.1:1",
        "REFERRAL_ADDRESS": "127.0.0.1:1",
        **changed,
    }
    return {f"SAFEHAND_PORTAL_{name}": value for name, value in values.items()}


def write_certificate(folder: Path, name: str, key_mode: int = 0o600) -> tuple[Path, Path]:
    """A certificate for browsers, signed by itself."""
    folder.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "web.pem", folder / "web.key"
    cert_file.write_bytes(made.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key_file.chmod(key_mode)
    return cert_file, key_file


class Running:
    """One portal process; ``port`` once it serves."""

    def __init__(self, variables: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "safehand_portal_service", "api"],
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._guard = threading.Timer(WAIT_S, self._process.kill)
        self._guard.start()
        assert self._process.stdout is not None
        self.line = self._process.stdout.readline()
        self.port = int(json.loads(self.line)["port"]) if self.line else 0

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Exit code, and what it wrote to stderr."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        _, err = self._process.communicate()
        self._guard.cancel()
        return self._process.returncode, err


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"LISTEN": "0.0.0.0:0"},
        {"LISTEN": "192.0.2.1:443"},
        {"LISTEN": "nothing"},
        {"WEB_CERT_FILE": "/tmp/cert.pem"},
        {"HOSTS": "Home.Example"},
        {"HOSTS": "*"},
        {"HOSTS": "home.example:443"},
        {"PROXIES": "proxy.example"},
        {"EXIT_URL": "http://news.example/"},
        {"EXIT_URL": "javascript:alert(1)"},
        {"EXIT_URL": "https://news.example/\r\nX: 1"},
        {"EXIT_URL": "//news.example"},
        {"PHONE": "<b>1</b>"},
        {"HOURS": "9 to 5"},
        {"NAME": "<Home>"},
        {"NAME": "a name that is far too long for a header"},
        {"PROFILE": "production", "ALLOW_UNREVIEWED": "true"},
        {"UNKNOWN": "1"},
    ],
    ids=str,
)
def test_settings_that_are_not_safe_are_refused(
    tls: TlsFiles, tmp_path: Path, changed: dict[str, str]
) -> None:
    with pytest.raises(SafehandError) as error:
        PortalSettings.load(environment(tls, tmp_path, **changed))
    assert error.value.reason is Reason.CONFIG_INVALID


PRODUCTION = {
    "PROFILE": "production",
    "PHONE": "+1 555 0100",
    "PROXIES": "127.0.0.1",
    "EXIT_URL": "https://weather.example/",
}


@pytest.mark.parametrize(
    ("changed", "setting"),
    [
        ({"PHONE": ""}, "PHONE"),
        ({"PROXIES": ""}, "PROXIES"),
        ({"PROXIES": "10.0.0.0/8"}, "PROXIES"),
        ({"EXIT_URL": ""}, "EXIT_URL"),
        ({"EXIT_URL": "https://home.example/bye", "HOSTS": "home.example"}, "EXIT_URL"),
    ],
    ids=str,
)
def test_production_names_whom_to_call_the_proxy_before_it_and_a_way_out(
    tls: TlsFiles, tmp_path: Path, changed: dict[str, str], setting: str
) -> None:
    with pytest.raises(SafehandError) as error:
        PortalSettings.load(environment(tls, tmp_path, **{**PRODUCTION, **changed}))
    assert error.value.reason is Reason.CONFIG_INVALID
    assert error.value.metadata == {"settings": f"SAFEHAND_PORTAL_{setting}"}
    # Elsewhere nobody is told to call, and the way out may be the portal's own clock.
    PortalSettings.load(environment(tls, tmp_path, **{**changed, "PROFILE": "sandbox"}))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"PROXIES": "::1"},
        {"PROXIES": "10.0.0.0/8, 127.0.0.0/8"},
        {"PROXIES": "", "WEB_CERT_FILE": "/cert.pem", "WEB_KEY_FILE": "/key.pem"},
    ],
    ids=str,
)
def test_what_production_may_be(tls: TlsFiles, tmp_path: Path, changed: dict[str, str]) -> None:
    assert PortalSettings.load(environment(tls, tmp_path, **{**PRODUCTION, **changed})).phone


@pytest.mark.parametrize("setting", ["PHONE", "EXIT_URL"])
def test_a_production_without_a_phone_or_a_way_out_does_not_start(
    tls: TlsFiles, tmp_path: Path, setting: str
) -> None:
    running = Running(environment(tls, tmp_path, **{**PRODUCTION, setting: ""}))
    code, err = running.end()
    assert (running.line, code) == ("", 78)
    assert f"SAFEHAND_PORTAL_{setting}" in err


def test_what_is_allowed_to_be_set(tls: TlsFiles, tmp_path: Path) -> None:
    settings = PortalSettings.load(
        environment(
            tls,
            tmp_path,
            HOSTS="home.example, www.home.example",
            PROXIES="10.0.0.0/8",
            EXIT_URL="https://weather.example/",
            HOURS="00:00-24:00",
            LISTEN="[::1]:0",
        )
    )
    assert settings.host_names == {"home.example", "www.home.example"}
    assert settings.listen_address == ("[::1]", 0)


# --- the process ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_serves_and_ends_when_told(
    tls: TlsFiles, tmp_path: Path, number: signal.Signals
) -> None:
    running = Running(environment(tls, tmp_path))
    assert json.loads(running.line)["event"] == "serving"
    assert int((tmp_path / "portal" / "portal.port").read_text()) == running.port
    answer = Client(running.port).get("/in?card=123456789012")
    assert answer.status == 200
    code, err = running.end(number)
    assert code == 0
    assert "123456789012" not in err
    assert "Traceback" not in err
    assert "server.stopped" in err


def test_a_certificate_whose_name_tells_is_refused(tls: TlsFiles, tmp_path: Path) -> None:
    cert, key = write_certificate(tmp_path / "web", "shelter.example")
    running = Running(environment(tls, tmp_path, WEB_CERT_FILE=str(cert), WEB_KEY_FILE=str(key)))
    code, err = running.end()
    assert running.line == ""
    assert code == 78
    assert "CONFIG_INVALID" in err


def test_a_key_that_everyone_may_read_is_refused(tls: TlsFiles, tmp_path: Path) -> None:
    cert, key = write_certificate(tmp_path / "web", "home.example", 0o644)
    running = Running(environment(tls, tmp_path, WEB_CERT_FILE=str(cert), WEB_KEY_FILE=str(key)))
    assert running.end()[0] == 78


def test_with_a_certificate_it_serves_tls_alone(tls: TlsFiles, tmp_path: Path) -> None:
    cert, key = write_certificate(tmp_path / "web", "home.example")
    running = Running(
        environment(
            tls,
            tmp_path,
            WEB_CERT_FILE=str(cert),
            WEB_KEY_FILE=str(key),
            HOSTS="home.example",
            LISTEN="0.0.0.0:0",
        )
    )
    try:
        context = ssl.create_default_context(cafile=str(cert))
        with (
            socket_to(running.port) as plain,
            context.wrap_socket(plain, server_hostname="home.example") as line,
        ):
            line.sendall(b"GET / HTTP/1.1\r\nHost: home.example\r\nConnection: close\r\n\r\n")
            answer = b""
            while chunk := line.recv(65536):
                answer += chunk
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"strict-transport-security" in answer
        with socket_to(running.port) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: home.example\r\n\r\n")
            assert b"HTTP" not in received(plain)
    finally:
        assert running.end()[0] == 0


def socket_to(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)


def received(line: socket.socket) -> bytes:
    try:
        return line.recv(65536)
    except ConnectionError:
        return b""


# --- the word for a network -----------------------------------------------------------------------

SALT = b"s" * 32
NOBODY: tuple[peer.Network, ...] = ()
PROXY = (ipaddress.ip_network("10.0.0.0/8"),)


def test_neighbours_have_one_word_and_strangers_another() -> None:
    home = peer.word(SALT, "192.0.2.7", "", NOBODY)
    assert len(home) == 32
    assert home == peer.word(SALT, "192.0.2.200", "", NOBODY)
    assert home == peer.word(SALT, "::ffff:192.0.2.9", "", NOBODY)
    assert home != peer.word(SALT, "192.0.3.7", "", NOBODY)
    assert home != peer.word(b"t" * 32, "192.0.2.7", "", NOBODY)
    six = peer.word(SALT, "2001:db8:0:12::1", "", NOBODY)
    assert six == peer.word(SALT, "2001:db8:0:34::9", "", NOBODY)
    assert six != peer.word(SALT, "2001:db8:0:100::1", "", NOBODY)


def test_only_our_own_proxy_says_for_whom_it_asks() -> None:
    her = peer.word(SALT, "192.0.2.7", "", NOBODY)
    assert peer.word(SALT, "10.1.1.1", "192.0.2.7", PROXY) == her
    assert peer.word(SALT, "10.1.1.1", "198.51.100.1, 192.0.2.7, 10.2.2.2", PROXY) == her
    assert peer.word(SALT, "192.0.2.7", "198.51.100.1", PROXY) == her
    assert peer.word(SALT, "192.0.2.7", "198.51.100.1", NOBODY) == her
    assert peer.word(SALT, "10.1.1.1", "nonsense", PROXY) == peer.word(SALT, "10.1.1.9", "", PROXY)


def test_another_browser_has_the_same_half_for_the_network_and_another_for_itself() -> None:
    def word(address: str, *browser: str) -> bytes:
        return peer.word(SALT, address, "", NOBODY, browser)

    hers, his = word("192.0.2.7", "phone/1", "es"), word("192.0.2.9", "phone/2", "es")
    assert hers[:16] == his[:16]
    assert len({hers[16:], his[16:], word("192.0.2.7", "phone/1", "en")[16:]}) == 3
    assert hers == word("192.0.2.200", "phone/1", "es")
    elsewhere = word("198.51.100.7", "phone/1", "es")
    assert not {elsewhere[:16], elsewhere[16:]} & {hers[:16], hers[16:]}


@pytest.mark.parametrize("address", ["", "unix", "192.0.2", "fe80::1%eth0%x"])
def test_what_is_no_address_has_no_word(address: str) -> None:
    assert peer.word(SALT, address, "", NOBODY) == b""

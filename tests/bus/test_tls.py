"""TLS on the bus: both ends are checked, before a byte of NATS, and nothing falls back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
from dataclasses import replace
from pathlib import Path

import nats.errors
import pytest
from cryptography import x509
from safehand_bus.connection import Counters, connect
from safehand_bus.link import SERVER_NAME, BusTls, NatsLink, service_link
from safehand_bus.server import NatsServer
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_rpc.ca import DevCa

from tests.bus.world import Bus, bus_tls, eventually

REFUSED = (OSError, asyncio.TimeoutError, nats.errors.Error)
TLS = BusTls(Path("cert.pem"), Path("key.pem"), Path("ca.pem"))
SEED = Path("consent.seed")


def use(link: NatsLink) -> None:
    async def main() -> None:
        async with connect(link, Counters()) as connection:
            await connection.client.flush()

    asyncio.run(main())


def test_a_client_without_a_certificate_of_ours_is_refused(bus: Bus, tmp_path: Path) -> None:
    stranger = bus_tls(
        DevCa.create(tmp_path / "other").issue(
            tmp_path / "stranger", "spiffe://safehand.example/service/consent"
        )
    )
    trusting = replace(stranger, ca=bus.tls["consent"].ca)
    with pytest.raises(REFUSED):
        use(replace(bus.link("consent"), tls=trusting))
    use(bus.link("consent"))


def test_a_bus_of_another_authority_is_not_believed(bus: Bus, tmp_path: Path) -> None:
    other = DevCa.create(tmp_path / "other")
    trust = tmp_path / "other.pem"
    trust.write_bytes(other.certificate_pem)
    with pytest.raises(ssl.SSLCertVerificationError):
        use(replace(bus.link("consent"), tls=replace(bus.tls["consent"], ca=trust)))


def test_a_service_cannot_play_the_bus(bus: Bus, tmp_path: Path) -> None:
    """Its certificate is from the same authority, and good for 127.0.0.1."""
    false = NatsServer(tmp_path / "false", tls=bus.tls["referral"])
    false.prepare({"consent": bus.seeds["consent"]})
    with pytest.raises(SafehandError):
        false.start()  # not even to the one who runs it
    assert not false.alive()
    with pytest.raises(ssl.SSLCertVerificationError):
        use(
            replace(
                bus.link("consent"),
                tls=replace(bus.tls["consent"], server_name="referral.safehand.example"),
            )
        )


def test_nothing_falls_back_to_plain_text(bus: Bus, tmp_path: Path) -> None:
    with pytest.raises(REFUSED):
        use(replace(bus.link("consent"), url=f"nats://127.0.0.1:{bus.server.port}"))
    plain = NatsServer(tmp_path / "plain")
    plain.start()
    try:
        with pytest.raises(REFUSED):
            use(NatsLink(f"tls://127.0.0.1:{plain.port}", "consent", tls=bus.tls["consent"]))
    finally:
        plain.kill()


def test_a_tls_address_without_a_certificate_is_no_setting(bus: Bus) -> None:
    with pytest.raises(SafehandError) as refused:
        use(replace(bus.link("consent"), tls=None))
    assert refused.value.reason is Reason.CONFIG_INVALID
    missing = replace(bus.tls["consent"], cert=Path("/nonexistent"))
    with pytest.raises(SafehandError) as refused:
        use(replace(bus.link("consent"), tls=missing))
    assert refused.value.reason is Reason.CONFIG_INVALID


def test_a_renewed_server_certificate_is_used_after_a_hangup(bus: Bus) -> None:
    def serial() -> int:
        tls = bus.tls["consent"]
        with (
            socket.create_connection(("127.0.0.1", bus.server.port), 5) as raw,
            tls.context().wrap_socket(raw, server_hostname=SERVER_NAME) as wrapped,
        ):
            shown = wrapped.getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(shown or b"").serial_number

    before = serial()
    tls = bus.server.provisioner().tls
    assert tls is not None
    bus.authority.issue_raw(tls.cert.parent, [x509.DNSName(SERVER_NAME)])
    assert serial() == before
    os.kill(bus.server.pid, signal.SIGHUP)
    eventually(lambda: serial() != before, 10.0)
    use(bus.link("consent"))


@pytest.mark.parametrize("profile", ["production", "sandbox", "test"])
@pytest.mark.parametrize("url", ["tls://nats.example:4222", "tls://127.0.0.1:4222"])
def test_tls_is_always_good(url: str, profile: str) -> None:
    link = service_link(url, "consent", seed_file=SEED, tls=TLS, profile=profile)
    assert link == NatsLink(url, "consent", SEED, TLS)
    assert link.secure


@pytest.mark.parametrize("host", ["nats.example", "10.0.0.7", "[2001:db8::1]", "127.0.0.1.example"])
def test_production_sends_nothing_in_plain_text_over_a_network(host: str) -> None:
    url = f"nats://{host}:4222"
    with pytest.raises(SafehandError) as refused:
        service_link(url, "consent", seed_file=SEED, tls=TLS, profile="production")
    assert refused.value.reason is Reason.CONFIG_INVALID
    assert "SAFEHAND_CONSENT_NATS_URL" in refused.value.metadata["settings"]
    service_link(url, "consent", seed_file=SEED, tls=TLS, profile="sandbox")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.8.8.8"])
def test_loopback_is_no_network(host: str) -> None:
    url = f"nats://{host}:4222"
    service_link(url, "consent", seed_file=SEED, tls=TLS, profile="production")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:4222",
        "tls://",
        "tls://host",
        "ws://host:1",
        "http://host:1",
        "tls://host:none",
        "tls://user:secret@host:4222",
        "tls://token@host:4222",
    ],
)
def test_an_address_that_is_none_is_refused_in_every_profile(url: str) -> None:
    for profile in ("production", "sandbox"):
        with pytest.raises(SafehandError) as refused:
            service_link(url, "notify", seed_file=SEED, tls=TLS, profile=profile)
        assert refused.value.reason is Reason.CONFIG_INVALID
        assert "secret" not in str(refused.value)


def test_production_signs_in_with_a_key() -> None:
    with pytest.raises(SafehandError):
        service_link("tls://n:1", "notify", seed_file=None, tls=TLS, profile="production")
    service_link("tls://n:1", "notify", seed_file=None, tls=TLS, profile="test")

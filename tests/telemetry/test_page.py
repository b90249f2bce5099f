"""The metrics page: on this machine in plain, elsewhere only for the service's own operator."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from prometheus_client.exposition import generate_latest
from safehand_core.clock import ManualClock
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_rpc.ca import DevCa
from safehand_rpc.identity import Kind, spiffe_id
from safehand_rpc.observe import observed, port_file
from safehand_rpc.tls import TlsFiles
from safehand_telemetry import metrics, page, tracing
from safehand_telemetry.gauges import FRESH_S, Gauge, watch

from tests.harness.world import eventually


@dataclass
class Settings:
    service: ClassVar[str] = "consent"
    data_dir: Path
    tls: TlsFiles
    metrics_listen: str = "127.0.0.1:0"
    otlp_endpoint: str = ""
    otlp_ca_file: Path | None = None
    trace_ratio: float = 1.0


@dataclass
class Place:
    folder: Path
    ca: DevCa = field(init=False)

    def __post_init__(self) -> None:
        self.ca = DevCa.create(self.folder / "ca")

    def tls(self, kind: Kind, name: str) -> TlsFiles:
        return self.ca.issue(self.folder / f"{kind}-{name}", spiffe_id(kind, name))

    def settings(self, listen: str) -> Settings:
        return Settings(self.folder / "data", self.tls("service", "consent"), listen)

    def port(self) -> int:
        return int(port_file(self.folder / "data", "consent", "api").read_text())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def get(port: int, path: str = "/metrics", verb: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(verb, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def get_tls(host: str, port: int, ca: TlsFiles, mine: TlsFiles | None) -> tuple[int, str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca.ca)
    context.check_hostname = False
    if mine is not None:
        context.load_cert_chain(mine.cert, mine.key)
    connection = http.client.HTTPSConnection(host, port, timeout=5, context=context)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_the_page_says_its_port_and_goes_with_the_process(place: Place) -> None:
    with observed(place.settings("127.0.0.1:0"), "api"):
        status, text = get(place.port())
        assert status == 200
        assert "safehand_rpc_in_flight" in text
        assert "safehand_certificate_expires_seconds" in text
        port = place.port()
    assert not port_file(place.folder / "data", "consent", "api").exists()
    with pytest.raises(OSError, match="refused"):
        get(port)


def test_nothing_is_served_where_nothing_is_set(place: Place) -> None:
    with observed(place.settings(""), "api"):
        assert not (place.folder / "data").exists()
        assert not tracing.on()


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metrics?name[]=Zoraquiel", "/../metrics"])
def test_there_is_one_path(place: Place, path: str) -> None:
    with observed(place.settings("127.0.0.1:0"), "api"):
        assert get(place.port(), path) == (404, "")


def test_there_is_one_verb_and_nothing_is_echoed(place: Place) -> None:
    with observed(place.settings("127.0.0.1:0"), "api"):
        for verb in ("POST", "ZORAQUIEL"):
            assert get(place.port(), verb=verb) == (501, "")


def test_elsewhere_only_the_services_own_operator_reads(place: Place) -> None:
    # 127.0.0.2 is this machine too, but not the address that needs no TLS.
    with observed(place.settings("127.0.0.2:0"), "api"):
        port, ca = place.port(), place.tls("operator", "consent")
        status, text = get_tls("127.0.0.2", port, ca, place.tls("operator", "consent"))
        assert (status, "safehand_rpc_in_flight" in text) == (200, True)
        others: list[tuple[Kind, str]] = [
            ("agency", "agency-a"),
            ("operator", "referral"),
            ("service", "consent"),
            ("oversight", "board"),
        ]
        for kind, name in others:
            assert get_tls("127.0.0.2", port, ca, place.tls(kind, name)) == (403, "")
        with pytest.raises(OSError, match=r"certificate|closed|reset|EOF"):
            get_tls("127.0.0.2", port, ca, None)


def test_a_stranger_with_another_authority_is_hung_up_on(place: Place, tmp_path: Path) -> None:
    other = Place(tmp_path / "other")
    with observed(place.settings("127.0.0.2:0"), "api"):
        ca = place.tls("operator", "consent")
        with pytest.raises(OSError, match=r"certificate|unknown ca|closed|reset|EOF"):
            get_tls("127.0.0.2", place.port(), ca, other.tls("operator", "consent"))


def test_a_renewed_certificate_needs_no_restart(place: Place) -> None:
    settings = place.settings("127.0.0.2:0")
    with observed(settings, "api"):
        mine = place.tls("operator", "consent")
        first = get_tls("127.0.0.2", place.port(), mine, mine)
        renewed = place.ca.issue(place.folder / "new", spiffe_id("service", "consent"))
        settings.tls.key.write_bytes(renewed.key.read_bytes())
        half = get_tls("127.0.0.2", place.port(), mine, mine)
        settings.tls.cert.write_bytes(renewed.cert.read_bytes())
        again = get_tls("127.0.0.2", place.port(), mine, mine)
    assert (first[0], half[0], again[0]) == (200, 200, 200)


@pytest.mark.parametrize("listen", ["9090", "127.0.0.1:", ":0", "127.0.0.1:x", "127.0.0.1:70000"])
def test_an_address_that_is_none_ends_the_start(place: Place, listen: str) -> None:
    with pytest.raises(SafehandError) as caught, observed(place.settings(listen), "api"):
        raise AssertionError("it started")
    assert caught.value.reason is Reason.CONFIG_INVALID


def test_a_taken_address_ends_the_start(place: Place) -> None:
    with observed(place.settings("127.0.0.1:0"), "api"):
        taken = f"127.0.0.1:{place.port()}"
        with pytest.raises(SafehandError) as caught, observed(place.settings(taken), "worker"):
            raise AssertionError("it started")
    assert caught.value.reason is Reason.CONFIG_INVALID


def test_a_silent_reader_does_not_keep_others_out(place: Place) -> None:
    with observed(place.settings("127.0.0.1:0"), "api"):
        port = place.port()
        with socket.create_connection(("127.0.0.1", port)):
            assert get(port)[0] == 200


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def shown() -> str:
    return generate_latest(metrics.REGISTRY).decode()


@pytest.fixture
def show(clock: ManualClock) -> Iterator[Callable[..., None]]:
    def put(*gauges: Gauge) -> None:
        watch("test", clock, gauges)

    yield put
    watch("test", clock, [])


def test_a_scrape_in_a_loop_reads_once(show: Callable[..., None], clock: ManualClock) -> None:
    read: list[int] = []

    def value() -> float:
        read.append(1)
        return float(len(read))

    show(Gauge("safehand_test_value", "Test", value))
    assert "safehand_test_value 1.0" in shown()
    assert "safehand_test_value 1.0" in shown()
    clock.advance(FRESH_S)
    assert "safehand_test_value 2.0" in shown()


def test_a_value_that_cannot_be_read_is_missing_and_counted(show: Callable[..., None]) -> None:
    def broken() -> float:
        raise ValueError("Zoraquiel")

    show(
        Gauge("safehand_test_broken", "Test", broken),
        Gauge("safehand_test_lanes", "Test", lambda: {"stop": 1.0, "other": 2.0}, "lane"),
    )
    text = shown()
    assert "safehand_test_broken" not in text
    assert 'safehand_test_lanes{lane="stop"} 1.0' in text
    assert "Zoraquiel" not in text
    assert "safehand_metrics_unread_total 0.0" not in shown()


def test_readers_at_one_time_are_bounded(place: Place) -> None:
    with observed(place.settings("127.0.0.1:0"), "api"), contextlib.ExitStack() as held:
        port = place.port()
        for _ in range(page.MOST):
            held.enter_context(socket.create_connection(("127.0.0.1", port)))

        def hung_up_on() -> bool:
            try:
                get(port)
            except (OSError, http.client.HTTPException):
                return True
            return False

        eventually(hung_up_on, "one reader too many is hung up on")

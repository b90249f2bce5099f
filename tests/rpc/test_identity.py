"""Only a certificate of our CA with exactly one URI SAN of our trust domain is anybody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from safehand_core.clock import ManualClock, SystemClock
from safehand_core.reasons import Reason
from safehand_rpc.ca import DevCa
from safehand_rpc.identity import ROLES, Principal, parse_spiffe_id, spiffe_id

from tests.rpc.conftest import Harness, refusal

HARBOUR = "spiffe://safehand.example/agency/harbour"


def uri(value: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(value)


def test_the_handler_sees_the_party_that_its_certificate_names(harness: Harness) -> None:
    answer = harness.stub().Echo(harness.request(text="hi"))
    assert (answer.role, answer.name, answer.same) == ("agency", "harbour", True)


def test_a_service_is_seen_with_its_own_role(harness: Harness, parties: Any) -> None:
    answer = harness.stub(parties("service", "portal")).Echo(harness.request(text="hi"))
    assert (answer.role, answer.name) == ("service:portal", "portal")


@pytest.mark.parametrize(
    "sans",
    [
        [],
        [x509.DNSName("harbour.safehand.example")],
        [uri(HARBOUR), uri("spiffe://safehand.example/operator/consent")],
        [uri(HARBOUR), uri(HARBOUR)],
        [uri(HARBOUR), uri("https://harbour.example/")],
        [uri("spiffe://other.example/agency/harbour")],
        [uri("spiffe://safehand.example.evil.example/agency/harbour")],
        [uri("spiffe://safehand.example/agency/harbour/extra")],
        [uri("spiffe://safehand.example/agency/Harbour")],
        [uri("spiffe://safehand.example/agency/")],
        [uri("spiffe://safehand.example/service/unheard-of")],
        [uri("spiffe://safehand.example/operator/console")],
        [uri("spiffe://safehand.example/admin/root")],
        [x509.RFC822Name("spiffe@safehand.example")],
        [x509.DNSName(HARBOUR)],
    ],
    ids=lambda sans: "+".join(str(s.value) for s in sans) or "none",
)
def test_a_certificate_that_names_nobody_is_unauthenticated(
    harness: Harness, ca: DevCa, tmp_path: Path, sans: list[x509.GeneralName]
) -> None:
    stub = harness.stub(ca.issue_raw(tmp_path / "odd", sans))
    error = refusal(lambda: stub.Echo(harness.request(text="hi")))
    assert error.reason is Reason.UNAUTHENTICATED
    assert harness.servicer.calls == 0


def test_a_further_dns_name_beside_the_one_uri_is_allowed(
    harness: Harness, ca: DevCa, tmp_path: Path
) -> None:
    sans = [uri(HARBOUR), x509.DNSName("harbour.example")]
    stub = harness.stub(ca.issue_raw(tmp_path / "dns", sans))
    assert stub.Echo(harness.request(text="hi")).name == "harbour"


def test_without_a_client_certificate_nothing_is_answered(harness: Harness, parties: Any) -> None:
    roots = parties("agency", "harbour").ca.read_bytes()
    options = [("grpc.ssl_target_name_override", "consent.safehand.example")]
    credentials = grpc.ssl_channel_credentials(roots)
    with grpc.secure_channel(harness.address, credentials, options=options) as channel:
        stub = harness.echo.grpc.EchoServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Echo(harness.request(text="hi"), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert harness.servicer.calls == 0


def test_a_certificate_of_another_ca_is_refused(
    harness: Harness, ca: DevCa, tmp_path: Path
) -> None:
    foreign = DevCa.create(tmp_path / "foreign").issue(tmp_path / "harbour", HARBOUR)
    foreign.ca.write_bytes(ca.certificate_pem)  # it trusts the real server; the server not it
    error = refusal(lambda: harness.stub(foreign).Echo(harness.request(text="hi")))
    assert error.reason is Reason.UNAVAILABLE
    assert harness.servicer.calls == 0


def test_an_expired_certificate_is_refused(
    harness: Harness, ca: DevCa, ca_dir: Path, tmp_path: Path
) -> None:
    last_month = ManualClock(wall=SystemClock().wall() - 30 * 86_400)
    old = DevCa.load(ca_dir, clock=last_month).issue(tmp_path / "old", HARBOUR)
    error = refusal(lambda: harness.stub(old).Echo(harness.request(text="hi")))
    assert error.reason is Reason.UNAVAILABLE
    assert harness.servicer.calls == 0


def test_a_server_that_poses_as_another_service_is_not_called(
    serve: Callable[..., Harness], parties: Any
) -> None:
    notify = serve(tls=parties("service", "notify"))
    error = refusal(lambda: notify.stub(service="consent").Echo(notify.request(text="hi")))
    assert error.reason is Reason.UNAVAILABLE
    assert notify.servicer.calls == 0
    assert notify.stub(service="notify").Echo(notify.request(text="hi")).name == "harbour"


def test_an_agency_certificate_cannot_serve(serve: Callable[..., Harness], parties: Any) -> None:
    impostor = serve(tls=parties("agency", "harbour"))
    error = refusal(lambda: impostor.stub().Echo(impostor.request(text="hi")))
    assert error.reason is Reason.UNAVAILABLE


def test_a_server_of_another_ca_is_not_called(
    serve: Callable[..., Harness], tmp_path: Path
) -> None:
    foreign = DevCa.create(tmp_path / "foreign").issue(
        tmp_path / "consent", "spiffe://safehand.example/service/consent"
    )
    impostor = serve(tls=foreign)
    error = refusal(lambda: impostor.stub().Echo(impostor.request(text="hi")))
    assert error.reason is Reason.UNAVAILABLE


def test_every_role_comes_from_exactly_one_shape_of_name() -> None:
    names = {
        "agency": ("agency", "harbour"),
        "oversight": ("oversight", "board"),
        **{role: tuple(role.split(":")) for role in ROLES if ":" in role},
    }
    for role, (kind, name) in names.items():
        assert Principal(*parse_spiffe_id(spiffe_id(kind, name)), "", b"").role == role  # type: ignore[arg-type]
    assert names.keys() == ROLES

"""A server whose table is not exactly its methods does not start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from safehand_core.clock import SystemClock
from safehand_core.reasons import Reason
from safehand_rpc.policy import EXEMPT, methods_of, require_total
from safehand_rpc.registry import record, register_exempt
from safehand_rpc.server import build_server

from tests.rpc.conftest import POLICY, Echo, Harness, make_servicer, refusal

AGENCY = frozenset({"agency"})


def test_the_exact_table_is_accepted(echo: Echo) -> None:
    require_total([echo.service()], POLICY)
    assert methods_of(echo.service()) == POLICY.keys()


@pytest.mark.parametrize(
    ("change", "metadata"),
    [
        (
            lambda p: {k: v for k, v in p.items() if not k.endswith("Count")},
            {"missing": "/echo.v1.EchoService/Count"},
        ),
        (
            lambda p: {**p, "/echo.v1.EchoService/Gone": AGENCY},
            {"unserved": "/echo.v1.EchoService/Gone"},
        ),
        (
            lambda p: {**p, "/echo.v1.EchoService/Echo": frozenset({"agencies"})},
            {"unknown_roles": "agencies"},
        ),
    ],
    ids=["missing", "unserved", "unknown role"],
)
def test_any_other_table_stops_the_start(
    serve: Callable[..., Harness], change: Any, metadata: dict[str, str]
) -> None:
    error = refusal(lambda: serve(policy=change(POLICY)))
    assert error.reason is Reason.CONFIG_INVALID
    assert error.metadata == metadata


def test_a_size_limit_for_a_method_that_is_not_served_stops_the_start(
    serve: Callable[..., Harness],
) -> None:
    error = refusal(lambda: serve(method_max_bytes={"/echo.v1.EchoService/Gone": 1}))
    assert error.metadata == {"unserved": "/echo.v1.EchoService/Gone"}


def build(echo: Echo, parties: Any, add: Any, service: Any, servicer: Any) -> None:
    build_server(
        services=[(add, servicer, service)],
        policy=dict.fromkeys(methods_of(service), AGENCY),
        tls=parties("service", "consent"),
        clock=SystemClock(),
    )


def test_a_stream_of_requests_cannot_be_served(echo: Echo, parties: Any) -> None:
    servicer = echo.grpc.UploadServiceServicer()
    add = echo.grpc.add_UploadServiceServicer_to_server
    error = refusal(lambda: build(echo, parties, add, echo.service("UploadService"), servicer))
    assert error.metadata == {"method": "/echo.v1.UploadService/Upload"}


def test_a_servicer_under_another_descriptor_cannot_be_served(echo: Echo, parties: Any) -> None:
    add = echo.grpc.add_EchoServiceServicer_to_server
    servicer = make_servicer(echo)
    error = refusal(lambda: build(echo, parties, add, echo.service("UploadService"), servicer))
    assert error.metadata == {"service": "echo.v1.UploadService"}


def test_an_empty_set_of_roles_lets_nobody_in(serve: Callable[..., Harness]) -> None:
    harness = serve(policy={**POLICY, "/echo.v1.EchoService/Echo": frozenset()})
    error = refusal(lambda: harness.stub().Echo(harness.request()))
    assert error.reason is Reason.NOT_ALLOWED


def test_only_health_and_reflection_may_lack_a_policy(echo: Echo) -> None:
    handlers = record(echo.grpc.add_EchoServiceServicer_to_server, make_servicer(echo))
    error = refusal(lambda: register_exempt(None, handlers))
    assert error.reason is Reason.CONFIG_INVALID
    assert all(path.startswith(("/grpc.health.", "/grpc.reflection.")) for path in EXEMPT)

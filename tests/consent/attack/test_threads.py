"""Her stop needs a thread: nobody else may be able to take all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from safehand.consent.v1 import consent_pb2, consent_pb2_grpc, ledger_pb2
from safehand_consent_service.app import THREADS
from safehand_core import failpoints
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_rpc.server import QUEUED_PER_THREAD
from safehand_rpc.tls import channel_credentials, read_material

from tests.consent.release.world import B, World, in_background, wait_for
from tests.harness.database import releases_may_leave_late

SERVICE = "/safehand.consent.v1.ConsentService/"
AT_ONCE_S = 2.0
"""Far below what any of the attackers' calls takes."""
HALF_OPEN = THREADS * QUEUED_PER_THREAD + 12


@contextmanager
def half_open(
    world: World, method: str, count: int, *, timeout: float | None = 30
) -> Iterator[None]:
    """Calls of a recipient that send their headers and never their request."""
    over = threading.Event()

    def nothing() -> Iterator[bytes]:
        over.wait()
        yield from ()

    options = [
        ("grpc.ssl_target_name_override", "consent.safehand.example"),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    credentials = channel_credentials(read_material(world.tls("agency", B)))
    with grpc.secure_channel(f"127.0.0.1:{world.port}", credentials, options=options) as channel:
        call: Any = channel.stream_unary(SERVICE + method)
        calls = [call.future(nothing(), timeout=timeout) for _ in range(count)]
        try:
            yield
        finally:
            over.set()
            for one in calls:
                one.cancel()


def overloaded(world: World) -> bool:
    try:
        world.ledger().GetCheckpoint(ledger_pb2.GetCheckpointRequest(), timeout=0.3)
    except SafehandError as error:
        return error.reason is Reason.OVERLOADED
    return False


def heard_of_the_end(world: World, grant: str) -> bool:
    """Whether the referral service can read that the grant ended."""
    stub = consent_pb2_grpc.ConsentServiceStub(world.channel("service", "referral"))
    events = stub.ListEvents(consent_pb2.ListEventsRequest()).events
    return events[-1].resource == f"grants/{grant}"


@releases_may_leave_late
def test_a_stop_does_not_wait_for_slow_releases(world: World) -> None:
    slow = world.send(world.grant(world.session()))
    session = world.session()
    grant = world.grant(session)
    failpoints.arm("consent.release.before_answer=sleep:4")
    opened = [in_background(lambda: world.release(slow)) for _ in range(THREADS + 4)]
    gates = world.app.context.gates
    wait_for(lambda: gates.inside(slow.sealed.manifest.header.grant) >= THREADS - 1)
    started = time.monotonic()
    world.stop_grant(session, grant)
    took = time.monotonic() - started
    failpoints.arm("")
    for one in opened:
        one()
    assert took < AT_ONCE_S


@pytest.mark.parametrize("method", ["ReleaseKey", "StopGrant", "OpenSession"])
def test_calls_that_never_send_their_request_keep_no_stop_out(
    fresh_world: World, method: str
) -> None:
    world = fresh_world
    card = world.register_subject()
    grant = world.grant(world.sign_in(card))
    with half_open(world, method, HALF_OPEN):
        if method == "ReleaseKey":
            wait_for(lambda: overloaded(world))
        else:
            time.sleep(0.5)
        started = time.monotonic()
        world.stop_grant(world.sign_in(card), grant)
        assert heard_of_the_end(world, grant)
        assert time.monotonic() - started < AT_ONCE_S


@pytest.mark.parametrize(("method", "timeout"), [("RollKeys", 30), ("ReleaseKey", None)])
def test_a_caller_that_may_not_call_or_has_no_deadline_holds_no_thread(
    fresh_world: World, method: str, timeout: float | None
) -> None:
    with half_open(fresh_world, method, HALF_OPEN, timeout=timeout):
        time.sleep(0.5)
        started = time.monotonic()
        fresh_world.ledger().GetCheckpoint(ledger_pb2.GetCheckpointRequest())
        assert time.monotonic() - started < AT_ONCE_S

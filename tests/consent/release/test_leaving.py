"""A release that must be out by a time: cancelled then, also where nobody stops anything."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from safehand.consent.v1 import consent_pb2 as pb
from safehand_consent_service.gate import Gates
from safehand_consent_service.leaving import Leaving
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_ledger.election import TAKEOVER_S
from safehand_rpc.tls import channel_credentials, read_material

from tests.consent.release.test_gate import GRANT, OTHER, FakeCall
from tests.consent.release.world import B, World
from tests.harness.world import eventually


class Time:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def leaving_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "leaving"]


def test_who_is_not_out_in_time_is_cancelled_and_cannot_hand_over() -> None:
    time = Time()
    gates = Gates(time)
    early, late, free = FakeCall(), FakeCall(), FakeCall()
    gates.leave(gates.enter(GRANT, early, "NAME", time.now - 1))
    gates.enter(OTHER, free, "NAME")
    passage = gates.enter(GRANT, late, "NAME", time.now)
    eventually(lambda: late.cancelled, "its time has come")
    assert gates.inside(GRANT) == 0
    with pytest.raises(SafehandError) as refused:
        gates.hand_over(passage)
    assert refused.value.reason is Reason.CONSENT_ENDED
    assert not free.cancelled, "it has no time"
    assert gates.inside(OTHER) == 1
    eventually(lambda: not leaving_threads(), "with the last of them the thread ends")


def test_who_still_has_time_is_left_alone_and_an_earlier_one_is_seen_first() -> None:
    """The first of them has an hour; the thread that waits for its end hears of the next one."""
    time = Time()
    gates = Gates(time)
    patient, late = FakeCall(), FakeCall()
    passage = gates.enter(GRANT, patient, "NAME", time.now + 3600)
    eventually(lambda: gates._leaving._wakes_at == time.now + 3600, "the thread waits")
    gates.enter(GRANT, late, "NAME", time.now)
    eventually(lambda: late.cancelled, "its time has come")
    assert not patient.cancelled
    gates.hand_over(passage)
    time.now += 3600
    gates.enter(OTHER, FakeCall(), "NAME", time.now - 1)  # wakes the thread
    eventually(lambda: patient.cancelled, "an hour later it has not left")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_call_that_cannot_be_cancelled_keeps_no_later_one_from_it() -> None:
    cancelled: list[str] = []

    def cancel(passage: Any) -> None:
        cancelled.append(passage.grant)
        if passage.grant == GRANT:
            raise RuntimeError

    time = Time()
    leaving = Leaving(time, cancel)
    gates = Gates(time)
    gates._leaving = leaving
    gates.enter(GRANT, FakeCall(), "NAME", time.now)
    eventually(lambda: leaving._thread is None, "its thread ended")
    gates.enter(OTHER, FakeCall(), "NAME", time.now)
    eventually(lambda: cancelled == [GRANT, OTHER], "another thread came")
    eventually(lambda: leaving._thread is None, "and ended")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path).start().set_up()


def test_a_recipient_that_does_not_read_gets_nothing_after_its_time(world: World) -> None:
    """Its window is smaller than the answer, so that the key waits inside the service's process."""
    writer = world.app.context.writer
    writer._election.takeover_s = TAKEOVER_S  # as where another process may become the writer
    gates = world.app.context.gates
    grant = world.grant(world.session())
    request = world.release_request(world.send(grant), "CARD")
    options = [
        ("grpc.ssl_target_name_override", "consent.safehand.example"),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.http2.lookahead_bytes", 5),
        ("grpc.http2.bdp_probe", 0),
    ]
    credentials = channel_credentials(read_material(world.tls("agency", B)))
    came_in = _told(gates)
    try:
        with grpc.secure_channel(
            f"127.0.0.1:{world.port}", credentials, options=options
        ) as channel:
            ask: Any = channel.unary_stream(
                "/safehand.consent.v1.ConsentService/ReleaseKey",
                request_serializer=pb.ReleaseKeyRequest.SerializeToString,
                response_deserializer=pb.ReleaseKeyResponse.FromString,
            )
            call = ask(request, timeout=60)
            assert came_in.wait(30)
            eventually(lambda: gates.inside(grant) == 0, "it is cancelled, and nobody stopped")
            with pytest.raises(grpc.RpcError) as refused:
                next(call)
        assert refused.value.code() is grpc.StatusCode.CANCELLED
    finally:
        world.stop()
        world.store.drop()


def _told(gates: Gates) -> threading.Event:
    """Set when a release has come in that must be out by a time."""
    came_in = threading.Event()
    enter: Callable[..., Any] = gates.enter

    def entered(grant: str, call: Any, category: str, until: float | None = None) -> Any:
        passage = enter(grant, call, category, until)
        if until is not None:
            came_in.set()
        return passage

    gates.enter = entered  # type: ignore[method-assign]
    return came_in

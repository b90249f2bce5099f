"""A threaded gRPC server with mTLS, the chain, health, and a drain that loses no call."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import FrameType
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from safehand_core import logs
from safehand_core.clock import Clock
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_rpc.chain import Chain, NoSuchMethod
from safehand_rpc.checks import DEADLINE_MAX_S, MESSAGE_BYTES, Rules
from safehand_rpc.health import Health, HealthState
from safehand_rpc.identity import Principal
from safehand_rpc.lanes import Admission, CountingPool, Lane
from safehand_rpc.policy import Policy
from safehand_rpc.registry import Served, record, register, register_exempt, wrap
from safehand_rpc.shares import Shares
from safehand_rpc.tls import TlsFiles, server_credentials

THREADS = 8
"""Worker threads: more than enough for one core of Python, few enough to stay small."""
QUEUED_PER_THREAD = 16
"""Calls that may wait for each thread; further ones are refused at once instead of too late."""
CONNECTION_AGE_S = 300.0
"""Seconds after which a connection is closed kindly, so that peers meet renewed certificates."""
CONNECTION_GRACE_S = DEADLINE_MAX_S
"""Seconds that calls on an aged connection may still take: as long as any deadline."""
TRANSPORT_SLACK_BYTES = 64 * 1024
"""Bytes above the largest limit that still get a proper TOO_LARGE; beyond, gRPC itself refuses."""
MIN_PING_INTERVAL_MS = 10_000
"""Below the clients' keepalive of 30 s, else they are sent away for pinging too much."""
SETTLE_S = 0.2
"""Seconds between NOT_SERVING and the end of new calls, for whoever watches health."""
DRAIN_GRACE_S = 10.0
"""Seconds that calls in flight get to finish when the process is told to end."""


def server_options(
    rules: Rules, *, connection_age_s: float, connection_grace_s: float
) -> list[tuple[str, Any]]:
    """Channel arguments that every server of ours has."""
    return [
        # Without this a second server could bind the same port and silently share it.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", rules.largest() + TRANSPORT_SLACK_BYTES),
        ("grpc.max_connection_age_ms", int(connection_age_s * 1000)),
        ("grpc.max_connection_age_grace_ms", int(connection_grace_s * 1000)),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
    ]


def bind(server: Any, address: str, tls: TlsFiles) -> int:
    """Bind ``address`` with mTLS; answers the port. Raises CONFIG_INVALID where it is taken."""
    try:
        return int(server.add_secure_port(address, server_credentials(tls)))
    except RuntimeError:
        raise SafehandError(Reason.CONFIG_INVALID, "the address cannot be bound") from None


class RunningServer:
    """A server that ``build_server`` made. ``port`` is known before ``start``."""

    def __init__(
        self,
        server: grpc.Server,
        port: int,
        pools: Sequence[ThreadPoolExecutor],
        health: HealthState,
        admission: Admission,
    ) -> None:
        self._server = server
        self._admission = admission
        self._pools = pools
        self._health = health
        self._stopped = threading.Event()
        self.port = port

    def start(self) -> None:
        """Accept calls, and say SERVING."""
        self._server.start()
        self.set_serving(True)

    def stand_by(self) -> None:
        """Accept connections, say NOT_SERVING, and refuse every call, until ``serve``."""
        self._admission.standing_by = True
        self._server.start()

    def serve(self) -> None:
        """The end of ``stand_by``: accept calls, and say SERVING."""
        self._admission.standing_by = False
        self.set_serving(True)

    def set_serving(self, serving: bool) -> None:
        """Tell health checks whether calls are welcome."""
        self._health.set_serving(serving)

    def drain(self, grace_s: float = DRAIN_GRACE_S, *, settle_s: float = SETTLE_S) -> None:
        """NOT_SERVING, a short wait, no new calls, and up to ``grace_s`` for those in flight.

        Returns when the last call has ended or was cancelled. A second drain changes nothing.
        """
        self._health.end()
        if not self._stopped.is_set():
            time.sleep(settle_s)
        self._server.stop(grace_s).wait()
        for pool in self._pools:
            pool.shutdown(wait=False)
        self._stopped.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end of a drain; False where ``timeout_s`` passed first."""
        return self._stopped.wait(timeout_s)


def build_server(
    *,
    services: Sequence[Served],
    policy: Policy,
    tls: TlsFiles,
    clock: Clock,
    address: str = "127.0.0.1:0",
    reflection: bool = False,
    threads: int = THREADS,
    lanes: Sequence[Lane] = (),
    max_message_bytes: int = MESSAGE_BYTES,
    method_max_bytes: Mapping[str, int] | None = None,
    maximum_concurrent_rpcs: int | None = None,
    heard: Callable[[Principal], None] | None = None,
    connection_age_s: float = CONNECTION_AGE_S,
    connection_grace_s: float = CONNECTION_GRACE_S,
) -> RunningServer:
    """Build a server that is bound and not yet started.

    Args:
        services: ``(add function, servicer, service descriptor)`` of each service.
        policy: method path → roles; exactly the served methods.
        tls: certificate, key, and the CA whose clients are let in.
        clock: measures durations.
        address: ``host:port``; port 0 picks one.
        reflection: serve the schema too (sandbox only).
        threads: worker threads.
        lanes: methods with threads of their own, which no other call and no limit keeps out.
        max_message_bytes: limit of a request in bytes.
        method_max_bytes: method path → another limit in bytes.
        maximum_concurrent_rpcs: calls in work and waiting, lanes not counted; further ones are
            refused at once.
        heard: told of every caller that the policy lets in, before anything else is asked; it
            must not wait and must not raise.
        connection_age_s, connection_grace_s: see the constants.

    Raises:
        SafehandError: CONFIG_INVALID for a policy that is not total, a rule that does not compile,
            TLS files that do not fit together, or an address that is taken.
    """
    shares = Shares(
        {m: lane.per_caller for lane in lanes if lane.per_caller is not None for m in lane.methods}
    )
    rules = Rules(policy, max_message_bytes, method_max_bytes or {}, shares)
    if heard is not None:
        rules = replace(rules, heard=heard)
    pool = CountingPool(threads, "rpc")
    own = {
        method: made
        for lane in lanes
        for made in [ThreadPoolExecutor(lane.threads, thread_name_prefix="lane")]
        for method in lane.methods
    }
    wrapped = wrap(services, rules, Chain(rules, clock), aio=False, lanes=own)
    most = maximum_concurrent_rpcs or threads * QUEUED_PER_THREAD
    admission = Admission(frozenset(own), pool, most)
    server = grpc.server(
        pool,
        interceptors=[admission],
        options=server_options(
            rules, connection_age_s=connection_age_s, connection_grace_s=connection_grace_s
        ),
    )
    names = [descriptor.full_name for _, _, descriptor in services]
    health = HealthState(names)
    register(server, wrapped)
    register_exempt(server, record(health_pb2_grpc.add_HealthServicer_to_server, Health(health)))
    if reflection:
        register_exempt(server, _reflection_handlers(names))
    server.add_generic_rpc_handlers((NoSuchMethod(clock, aio=False),))
    pools = [pool, admission.refusals, *set(own.values())]
    return RunningServer(server, bind(server, address, tls), pools, health, admission)


def _reflection_handlers(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    servicer = reflection.ReflectionServicer([*names, reflection.SERVICE_NAME])
    return record(reflection_pb2_grpc.add_ServerReflectionServicer_to_server, servicer)


def serve_until_signal(
    server: RunningServer,
    *,
    on_drain: Callable[[], None] | None = None,
    grace_s: float = DRAIN_GRACE_S,
    standing_by: bool = False,
) -> None:
    """Start, wait for SIGTERM or SIGINT, and drain. Call it from the main thread.

    ``on_drain`` runs after the last call has ended, to close what the handlers used. With
    ``standing_by`` calls are refused until somebody calls ``server.serve``.
    """
    told, tell = os.pipe()

    def handle(number: int, _: FrameType | None) -> None:
        # Only this: the main thread may be anywhere, also inside a lock of the log or of an event,
        # and a handler that wanted it too would wait for ever.
        os.write(tell, bytes([number]))

    previous = {s: signal.signal(s, handle) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        if standing_by:
            server.stand_by()
        else:
            server.start()
        logs.get().info("server.started", port=server.port)
        number = os.read(told, 1)[0]
        logs.get().info("server.signal", signal=signal.Signals(number).name)
        server.drain(grace_s)
        if on_drain is not None:
            on_drain()
        logs.get().info("server.stopped")
    finally:
        for which, action in previous.items():
            signal.signal(which, action)
        os.close(told)
        os.close(tell)

"""The same server on asyncio, for processes whose streams stay open (notify's ``Follow``).

Every decision is the threaded server's: same tables, same checks, same errors.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc
from grpc_reflection.v1alpha.reflection import SERVICE_NAME
from grpc_reflection.v1alpha.reflection import aio as aio_reflection
from safehand_core import logs
from safehand_core.clock import Clock

from safehand_rpc.chain import Chain, NoSuchMethod
from safehand_rpc.checks import MESSAGE_BYTES, Rules
from safehand_rpc.health import AioHealth, HealthState
from safehand_rpc.policy import Policy
from safehand_rpc.registry import Served, record, register, register_exempt, wrap
from safehand_rpc.server import (
    CONNECTION_AGE_S,
    CONNECTION_GRACE_S,
    DRAIN_GRACE_S,
    SETTLE_S,
    bind,
    server_options,
)
from safehand_rpc.tls import TlsFiles

CONCURRENT_RPCS = 1024
"""Open streams and calls together; a stream costs a task, not a thread."""


class RunningAioServer:
    """A server that ``build_aio_server`` made. ``port`` is known before ``start``."""

    def __init__(self, server: Any, port: int, health: HealthState) -> None:
        self._server = server
        self._health = health
        self.port = port

    async def start(self) -> None:
        """Accept calls, and say SERVING."""
        await self._server.start()
        self.set_serving(True)

    def set_serving(self, serving: bool) -> None:
        """Tell health checks whether calls are welcome."""
        self._health.set_serving(serving)

    async def drain(self, grace_s: float = DRAIN_GRACE_S, *, settle_s: float = SETTLE_S) -> None:
        """NOT_SERVING, a short wait, no new calls, up to ``grace_s`` for those in flight; streams
        that are still open then are cancelled."""
        self._health.end()
        await asyncio.sleep(settle_s)
        await self._server.stop(grace_s)

    async def wait(self) -> None:
        """Wait for the end of a drain."""
        await self._server.wait_for_termination()


async def build_aio_server(
    *,
    services: Sequence[Served],
    policy: Policy,
    tls: TlsFiles,
    clock: Clock,
    address: str = "127.0.0.1:0",
    reflection: bool = False,
    max_message_bytes: int = MESSAGE_BYTES,
    method_max_bytes: Mapping[str, int] | None = None,
    maximum_concurrent_rpcs: int = CONCURRENT_RPCS,
    connection_age_s: float = CONNECTION_AGE_S,
    connection_grace_s: float = CONNECTION_GRACE_S,
) -> RunningAioServer:
    """As ``server.build_server``, for coroutine handlers and async generators.

    A stream outlives its connection's age by ``connection_grace_s`` at most: clients follow again
    from their cursor.
    """
    rules = Rules(policy, max_message_bytes, method_max_bytes or {})
    wrapped = wrap(services, rules, Chain(rules, clock), aio=True)
    server = grpc.aio.server(
        options=server_options(
            rules, connection_age_s=connection_age_s, connection_grace_s=connection_grace_s
        ),
        maximum_concurrent_rpcs=maximum_concurrent_rpcs,
    )
    names = [descriptor.full_name for _, _, descriptor in services]
    health = HealthState(names)
    register(server, wrapped)
    register_exempt(server, record(health_pb2_grpc.add_HealthServicer_to_server, AioHealth(health)))
    if reflection:
        servicer = aio_reflection.ReflectionServicer([*names, SERVICE_NAME])
        register_exempt(
            server, record(reflection_pb2_grpc.add_ServerReflectionServicer_to_server, servicer)
        )
    server.add_generic_rpc_handlers((NoSuchMethod(clock, aio=True),))
    return RunningAioServer(server, bind(server, address, tls), health)


async def serve_until_signal(
    server: RunningAioServer,
    *,
    on_drain: Callable[[], Awaitable[None]] | None = None,
    grace_s: float = DRAIN_GRACE_S,
) -> None:
    """Start, wait for SIGTERM or SIGINT, and drain. Call it from the main thread's loop.

    ``on_drain`` runs before the drain: streams that would stay open end themselves there.
    """
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    try:
        await server.start()
        logs.get().info("server.started", port=server.port)
        await told.wait()
        if on_drain is not None:
            await on_drain()
        await server.drain(grace_s)
        logs.get().info("server.stopped")
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

"""Threads that some methods have for themselves, so that no other call keeps them out.

gRPC has one pool for all methods and counts all calls alike, so that whoever may call one method
can hold every thread. A method with a lane has threads of its own and is not counted; who may not
call it holds none of them, because callers are checked before requests are read (``Chain.unary``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import grpc
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_telemetry import metrics

from safehand_rpc import status
from safehand_rpc.chain import abort

HEALTH: Final = "/grpc.health.v1.Health/"
"""What every path of the health protocol begins with."""


@dataclass(frozen=True, slots=True)
class Lane:
    """``methods``: paths of unary methods; ``threads``: how many they share; ``per_caller``: how
    many calls of one of them one caller may have in work (None: any number)."""

    methods: frozenset[str]
    threads: int
    per_caller: int | None = None


class CountingPool(ThreadPoolExecutor):
    """A pool that knows how many of its calls are in work or waiting."""

    def __init__(self, threads: int, prefix: str) -> None:
        super().__init__(threads, thread_name_prefix=prefix)
        self._counting = threading.Lock()
        self.calls = 0

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        with self._counting:
            self.calls += 1
        future = super().submit(*args, **kwargs)
        future.add_done_callback(self._ended)
        return future

    def _ended(self, _: Future[Any]) -> None:
        with self._counting:
            self.calls -= 1


class Admission(grpc.ServerInterceptor):
    """Refuses a call at its arrival while ``most`` are in ``pool``; lanes are always let in."""

    def __init__(self, lanes: frozenset[str], pool: CountingPool, most: int) -> None:
        self._lanes = lanes
        self._pool = pool
        self._most = most
        self.standing_by = False
        """While set, every call but a health check is refused: another process serves."""

        overloaded = status.to_grpc(SafehandError(Reason.OVERLOADED))

        def refuse(_requests: Any, context: Any) -> bytes:
            # No log line: a flood must not become a flood of lines.
            metrics.TURNED_AWAY.inc()
            abort(context, overloaded)

        self.refusals = own_threads(refuse, ThreadPoolExecutor(1, thread_name_prefix="refuse"))
        self._refusal: Any = grpc.stream_unary_rpc_method_handler(refuse)
        elsewhere = status.to_grpc(SafehandError(Reason.UNAVAILABLE, "this process stands by"))

        def refuse_standing_by(_requests: Any, context: Any) -> bytes:
            abort(context, elsewhere)

        own_threads(refuse_standing_by, self.refusals)
        self._standing_by: Any = grpc.stream_unary_rpc_method_handler(refuse_standing_by)

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        if self.standing_by and not details.method.startswith(HEALTH):
            return self._standing_by
        if self._pool.calls >= self._most and details.method not in self._lanes:
            return self._refusal
        return continuation(details)


def own_threads(behaviour: Any, pool: ThreadPoolExecutor) -> ThreadPoolExecutor:
    """Have gRPC run ``behaviour`` on ``pool``; returns the pool."""
    behaviour.experimental_thread_pool = pool
    return pool

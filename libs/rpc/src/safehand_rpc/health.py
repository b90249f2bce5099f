"""``grpc.health.v1``: Check and List.

Watch answers UNIMPLEMENTED, which the health protocol foresees (a client then asks or assumes
health). The servicers that come with gRPC send to watchers under the lock that a change of health
needs: a watcher that leaves at that moment (threads) or reads nothing (asyncio) keeps the server
from draining (seen with grpcio-health-checking 1.85.1).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_rpc import status
from safehand_rpc.chain import abort, abort_aio

_Response = health_pb2.HealthCheckResponse


class HealthState:
    """Whether calls are welcome, for the whole server (``""``) and for each service alike."""

    def __init__(self, services: Iterable[str]) -> None:
        self._names = ("", *services)
        self._lock = threading.Lock()
        self._serving = False
        self._ending = False

    def set_serving(self, serving: bool) -> None:
        """Welcome calls or do not; after ``end`` nothing changes any more."""
        with self._lock:
            self._serving = serving and not self._ending

    def end(self) -> None:
        """NOT_SERVING from now on."""
        with self._lock:
            self._serving = False
            self._ending = True

    def check(self, service: str) -> health_pb2.HealthCheckResponse | None:
        """The state of one service, None for a name that is not served here."""
        if service not in self._names:
            return None
        with self._lock:
            serving = self._serving
        return _Response(status=_Response.SERVING if serving else _Response.NOT_SERVING)

    def all(self) -> health_pb2.HealthListResponse:
        """The state of every service."""
        return health_pb2.HealthListResponse(
            statuses={name: self.check(name) for name in self._names}
        )


_NOT_HERE = SafehandError(Reason.NOT_FOUND)
_NO_WATCH = SafehandError(Reason.NOT_BUILT, "ask with Check instead")


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """For threaded servers."""

    def __init__(self, state: HealthState) -> None:
        self._state = state

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = self._state.check(request.service)
        if answer is None:
            abort(context, status.to_grpc(_NOT_HERE))
        return answer

    def List(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._state.all()

    def Watch(self, request: Any, context: Any) -> Any:  # noqa: N802
        abort(context, status.to_grpc(_NO_WATCH))


class AioHealth(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """For asyncio servers."""

    def __init__(self, state: HealthState) -> None:
        self._state = state

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = self._state.check(request.service)
        if answer is None:
            await abort_aio(context, status.to_grpc(_NOT_HERE))
        return answer

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._state.all()

    async def Watch(self, request: Any, context: Any) -> Any:  # noqa: N802
        await abort_aio(context, status.to_grpc(_NO_WATCH))

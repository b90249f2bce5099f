"""NotifyService: proto to deliveries and back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from safehand.notify.v1 import notify_pb2, notify_pb2_grpc
from safehand_bus.letters import Letters
from safehand_core.clock import Clock
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_rpc import call
from safehand_rpc.paging import Pager, page_size
from safehand_store.engine import begin_read
from sqlalchemy import Engine

from safehand_notify_service import deliveries
from safehand_notify_service.hub import Hub
from safehand_notify_service.rpc_acknowledged import AcknowledgeMethods
from safehand_notify_service.rpc_letters import LetterMethods

FOLLOW_PAGE: Final = 100
"""Deliveries read at one time for a stream: what a slow reader makes us hold."""


class NotifyServicer(AcknowledgeMethods, LetterMethods, notify_pb2_grpc.NotifyServiceServicer):
    """Serves each agency its own deliveries. Reads are short, so they run in the loop itself."""

    def __init__(
        self, engine: Engine, hub: Hub, pager: Pager, letters: Letters, clock: Clock
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._hub = hub
        self._pager = pager
        self._letters = letters

    async def Follow(  # noqa: N802
        self, request: notify_pb2.FollowRequest, context: Any
    ) -> AsyncIterator[notify_pb2.FollowResponse]:
        """Stream from the cursor on. Ends with UNAVAILABLE when the service goes away."""
        agency = call.current().principal.name
        with self._hub.follow(agency) as bell:
            cursor = request.after
            self._require_reached(agency, cursor)
            while True:
                bell.clear()
                page = self._read(agency, cursor, FOLLOW_PAGE)
                for delivery in page:
                    yield notify_pb2.FollowResponse(delivery=delivery)
                    cursor = delivery.cursor
                bell.require_open()
                if len(page) < FOLLOW_PAGE:
                    await bell.wait()

    async def ListDeliveries(  # noqa: N802
        self, request: notify_pb2.ListDeliveriesRequest, context: Any
    ) -> notify_pb2.ListDeliveriesResponse:
        """One page."""
        principal = call.current().principal
        size = page_size(request.page_size)
        position = self._pager.position(request, scope=principal.spiffe_id)
        self._require_reached(principal.name, request.after)
        cursor = request.after if position is None else int(position)
        found = self._read(principal.name, cursor, size + 1)
        token = ""
        if len(found) > size:
            found = found[:size]
            token = self._pager.token(str(found[-1].cursor), request, scope=principal.spiffe_id)
        return notify_pb2.ListDeliveriesResponse(deliveries=found, next_page_token=token)

    def _read(self, agency: str, cursor: int, limit: int) -> Sequence[notify_pb2.Delivery]:
        with begin_read(self._engine) as db:
            return deliveries.after(db, agency, cursor, limit)

    def _require_reached(self, agency: str, cursor: int) -> None:
        """Refuse a cursor that was never given out: whoever has it would wait for ever."""
        with begin_read(self._engine) as db:
            if cursor > deliveries.head(db, agency):
                raise SafehandError(
                    Reason.MALFORMED,
                    "the cursor is ahead of what was delivered",
                    metadata={"field": "after"},
                )

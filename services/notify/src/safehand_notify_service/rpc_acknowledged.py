"""NotifyService: what agencies have dealt with, and for the operator which stops they have not."""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from safehand.notify.v1 import notify_pb2 as pb
from safehand_core.clock import Clock
from safehand_rpc import call
from safehand_store.engine import begin_read
from sqlalchemy import Engine

from safehand_notify_service import acknowledged


class AcknowledgeMethods:
    """Mixin of the NotifyService servicer."""

    _engine: Engine
    _clock: Clock

    async def AcknowledgeDeliveries(  # noqa: N802
        self, request: pb.AcknowledgeDeliveriesRequest, context: Any
    ) -> pb.AcknowledgeDeliveriesResponse:
        """Move the calling agency's mark, beside the loop: it writes."""
        agency = call.current().principal.name
        mark = await asyncio.to_thread(
            acknowledged.acknowledge, self._engine, agency, request.up_to, self._clock.wall()
        )
        return pb.AcknowledgeDeliveriesResponse(acknowledged=mark)

    async def GetWaitingStops(  # noqa: N802
        self, request: pb.GetWaitingStopsRequest, context: Any
    ) -> pb.GetWaitingStopsResponse:
        """Whom to phone. Neither grant nor referral: the operator need not know which."""
        with begin_read(self._engine) as db:
            found = acknowledged.waiting(db)
        return pb.GetWaitingStopsResponse(
            agencies=[
                pb.WaitingStops(
                    agency=one.agency, stops=one.stops, oldest=Timestamp(seconds=one.oldest)
                )
                for one in found
            ]
        )

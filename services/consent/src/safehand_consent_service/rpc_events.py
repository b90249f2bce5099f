"""Consent's own sequence, without a gap: for the services that follow it, and on the bus again."""

from __future__ import annotations

from typing import Any, Final

from safehand.consent.v1 import consent_pb2 as pb
from safehand_bus import replay
from safehand_bus.envelope import to_event
from safehand_rpc import call
from safehand_rpc.paging import page_size
from safehand_store import outbox
from safehand_store.engine import begin_read

from safehand_consent_service.context import Context
from safehand_consent_service.events_out import SOURCE

EVENTS_PAGE: Final = 500
EVENTS_PAGE_MAX: Final = 2000


class EventMethods:
    """Mixin of the ConsentService servicer."""

    _context: Context

    def ListEvents(self, request: pb.ListEventsRequest, _: Any) -> pb.ListEventsResponse:  # noqa: N802
        scope = call.current().principal.spiffe_id
        size = page_size(request.page_size, default=EVENTS_PAGE, maximum=EVENTS_PAGE_MAX)
        behind = self._context.pager.position(request, scope=scope)
        after = request.after if behind is None else int(behind)
        with begin_read(self._context.engine) as connection:
            rows = outbox.after(connection, after, size + 1)
        response = pb.ListEventsResponse(events=[to_event(SOURCE, row) for row in rows[:size]])
        if len(rows) > size:
            response.next_page_token = self._context.pager.token(
                str(rows[size - 1].sequence), request, scope=scope
            )
        return response

    def ReplayEvents(  # noqa: N802
        self, request: pb.ReplayEventsRequest, _: Any
    ) -> pb.ReplayEventsResponse:
        number, last = replay.ask(
            self._context.engine,
            request.from_sequence,
            request_id=request.request_id,
            wake=self._context.wake,
        )
        return pb.ReplayEventsResponse(round=number, last_sequence=last)

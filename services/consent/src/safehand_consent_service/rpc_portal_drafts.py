"""What she chose in a question and has not answered: kept, and forgotten."""

from __future__ import annotations

from typing import Any

from safehand.consent.v1 import portal_pb2 as pb
from safehand_store.engine import begin_read

from safehand_consent_service import drafts, portal_shown
from safehand_consent_service.ask_row import Ask
from safehand_consent_service.context import Context
from safehand_consent_service.portal_numbers import ASK, Numbers
from safehand_consent_service.seats import Seat, Seats, wire_seat


class DraftMethods:
    """Mixin of the PortalService servicer."""

    _context: Context
    _seats: Seats

    def KeepDraft(self, request: pb.KeepDraftRequest, _: Any) -> pb.KeepDraftResponse:  # noqa: N802
        seat = self._seats.take(request.session)
        drafts.keep(
            self._context,
            seat.subject_id,
            self._asked(seat, request.number),
            list(request.categories),
            request.days,
            request.notice_sha256,
        )
        return pb.KeepDraftResponse(seat=wire_seat(seat))

    def ForgetDraft(self, request: pb.ForgetDraftRequest, _: Any) -> pb.ForgetDraftResponse:  # noqa: N802
        seat = self._seats.take(request.session)
        drafts.forget(self._context, self._asked(seat, request.number))
        return pb.ForgetDraftResponse(seat=wire_seat(seat))

    def _asked(self, seat: Seat, number: str) -> Ask:
        """The question with this number, if it is shown; NOT_FOUND."""
        with begin_read(self._context.engine) as connection:
            marked = portal_shown.hidden(connection, seat.subject_id)
            shown = portal_shown.asks(connection, seat.subject_id, marked)
        asks = {row.ask_id: row for row in shown}
        return asks[Numbers(seat.secret).find(ASK, number, asks)]

"""What she changes at her pages: stops, their undoing, and her answers."""

from __future__ import annotations

from typing import Any

from safehand.consent.v1 import asks_pb2, consent_pb2, recorded_pb2
from safehand.consent.v1 import portal_pb2 as pb
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store.engine import begin_read

from safehand_consent_service import (
    confirm,
    portal_sharing,
    portal_shown,
    portal_stops,
    questions,
    stops,
    wire_portal,
)
from safehand_consent_service.context import Context, request_of
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.portal_numbers import ASK, GRANT, Numbers
from safehand_consent_service.seats import Seat, Seats, wire_seat


class ChangeMethods:
    """Mixin of the PortalService servicer."""

    _context: Context
    _seats: Seats

    # --- stops ------------------------------------------------------------------------------

    def StopSharing(self, request: pb.StopSharingRequest, _: Any) -> pb.StopSharingResponse:  # noqa: N802
        seat = self._seats.take_to_stop(request.session)
        row = portal_stops.stop_one(self._context, seat, request.number, request.request_id)
        return pb.StopSharingResponse(seat=wire_seat(seat), sharing=self._if_shown(seat, row))

    def StopEverything(  # noqa: N802
        self, request: pb.StopEverythingRequest, _: Any
    ) -> pb.StopEverythingResponse:
        seat = self._seats.take_to_stop(request.session)
        rows = portal_stops.stop_everything(self._context, seat, request)
        numbers = Numbers(seat.secret)
        with begin_read(self._context.engine) as connection:
            marked = portal_shown.hidden(connection, seat.subject_id)
            shown = [row for row in rows if not marked.has(GRANT, row.grant_id)]
            found = portal_sharing.sharings(connection, shown, marked, self._context.now)
        return pb.StopEverythingResponse(
            seat=wire_seat(seat), stopped=[wire_portal.sharing(one, numbers) for one in found]
        )

    def DestroyNow(self, request: pb.DestroyNowRequest, _: Any) -> pb.DestroyNowResponse:  # noqa: N802
        seat = self._seats.take(request.session)
        row = portal_stops.stop_one(
            self._context, seat, request.number, request.request_id, destroy_now=True
        )
        return pb.DestroyNowResponse(seat=wire_seat(seat), sharing=self._sharing(seat, row))

    def UndoStop(self, request: pb.UndoStopRequest, _: Any) -> pb.UndoStopResponse:  # noqa: N802
        seat = self._seats.take(request.session)
        grant_id = self._grant(seat, request.number)
        self._seats.check_pin(seat, request.pin)
        done = stops.resume(
            self._context,
            consent_pb2.ResumeGrantRequest(
                request_id=request.request_id, session=request.session, grant=grant_id
            ),
        )
        return pb.UndoStopResponse(seat=wire_seat(seat), sharing=self._sharing(seat, done.row))

    # --- answers ----------------------------------------------------------------------------

    def ConfirmRecorded(  # noqa: N802
        self, request: pb.ConfirmRecordedRequest, _: Any
    ) -> pb.ConfirmRecordedResponse:
        seat = self._seats.take(request.session)
        done = confirm.answer(
            self._context,
            recorded_pb2.ConfirmGrantRequest(
                request_id=request.request_id,
                session=request.session,
                grant=self._grant(seat, request.number),
                reply=request.reply,
            ),
        )
        return pb.ConfirmRecordedResponse(
            seat=wire_seat(seat), sharing=self._sharing(seat, done.row)
        )

    def AnswerAsked(self, request: pb.AnswerAskedRequest, _: Any) -> pb.AnswerAskedResponse:  # noqa: N802
        seat = self._seats.take(request.session)
        numbers = Numbers(seat.secret)
        with begin_read(self._context.engine) as connection:
            marked = portal_shown.hidden(connection, seat.subject_id)
            asks = [row.ask_id for row in portal_shown.asks(connection, seat.subject_id, marked)]
        ask_id = numbers.find(ASK, request.number, asks)
        done = questions.answer(
            self._context,
            _answer(request, ask_id),
            days=request.days,
            asked=request_of(
                self._context.cards,
                self._context.cards.caller(seat.subject_id),
                _with_number(request, ask_id),
            ),
        )
        with begin_read(self._context.engine) as connection:
            asked = wire_portal.asked(connection, done.row, numbers, self._context.now)
        response = pb.AnswerAskedResponse(seat=wire_seat(seat), asked=asked)
        if done.grant is not None:
            response.sharing.CopyFrom(self._sharing(seat, done.grant))
        return response

    # --- pieces -----------------------------------------------------------------------------

    def _grant(self, seat: Seat, number: str) -> str:
        """The id of the sharing with this number, if it is shown; NOT_FOUND."""
        with begin_read(self._context.engine) as connection:
            ids = portal_shown.grant_ids(connection, seat.subject_id)
        return Numbers(seat.secret).find(GRANT, number, ids)

    def _sharing(self, seat: Seat, row: Grant) -> pb.Sharing:
        found = self._if_shown(seat, row)
        if found is None:
            raise SafehandError(Reason.NOT_FOUND)
        return found

    def _if_shown(self, seat: Seat, row: Grant) -> pb.Sharing | None:
        """None where she took it off her pages."""
        with begin_read(self._context.engine) as connection:
            marked = portal_shown.hidden(connection, seat.subject_id)
            if marked.has(GRANT, row.grant_id):
                return None
            found = portal_sharing.sharings(connection, [row], marked, self._context.now)
        return wire_portal.sharing(found[0], Numbers(seat.secret))


def _answer(request: pb.AnswerAskedRequest, ask_id: str) -> asks_pb2.AnswerQuestionRequest:
    """Her answer to the question that the number means."""
    message = asks_pb2.AnswerQuestionRequest(
        request_id=request.request_id,
        session=request.session,
        ask=ask_id,
        decision=request.decision,
    )
    if request.HasField("shown"):
        message.shown.CopyFrom(request.shown)
    if request.decision == asks_pb2.DECISION_YES:
        if not request.categories:
            raise _malformed("a yes is to something")
        message.given.categories.extend(request.categories)
        message.given.comprehension = request.comprehension
    elif request.categories or request.days:
        raise _malformed("with yes, and with nothing else")
    return message


def _malformed(detail: str) -> SafehandError:
    return SafehandError(Reason.MALFORMED, detail, metadata={"field": "categories"})


def _with_number(request: pb.AnswerAskedRequest, ask_id: str) -> pb.AnswerAskedRequest:
    """``request`` as it is in every session: its number is another one in her next."""
    copy = pb.AnswerAskedRequest()
    copy.CopyFrom(request)
    copy.number = ask_id
    return copy

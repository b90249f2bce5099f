"""Her session at her pages: messages to use cases and back, nothing more."""

from __future__ import annotations

from typing import Any

from safehand.consent.v1 import portal_pb2 as pb

from safehand_consent_service.seats import Seats, wire_seat


class SeatMethods:
    """Mixin of the PortalService servicer."""

    _seats: Seats

    def SetLanguage(self, request: pb.SetLanguageRequest, _: Any) -> pb.SetLanguageResponse:  # noqa: N802
        seat = self._seats.speak(request.session, request.language)
        return pb.SetLanguageResponse(seat=wire_seat(seat))

    def ChangePin(self, request: pb.ChangePinRequest, _: Any) -> pb.ChangePinResponse:  # noqa: N802
        seat = self._seats.change_pin(request.session, request.pin, request.new_pin)
        return pb.ChangePinResponse(session=seat.secret, seat=wire_seat(seat))

    def LockSession(self, request: pb.LockSessionRequest, _: Any) -> pb.LockSessionResponse:  # noqa: N802
        self._seats.lock(request.session)
        return pb.LockSessionResponse()

    def UnlockSession(self, request: pb.UnlockSessionRequest, _: Any) -> pb.UnlockSessionResponse:  # noqa: N802
        seat = self._seats.unlock(request.session, request.pin)
        return pb.UnlockSessionResponse(session=seat.secret, seat=wire_seat(seat))

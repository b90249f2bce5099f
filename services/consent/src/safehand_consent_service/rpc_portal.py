"""The PortalService servicer, put together from its mixins: her session, and her pages."""

from __future__ import annotations

from safehand.consent.v1 import portal_pb2_grpc

from safehand_consent_service.context import Context
from safehand_consent_service.rpc_portal_drafts import DraftMethods
from safehand_consent_service.rpc_portal_pages import PageMethods
from safehand_consent_service.rpc_portal_seats import SeatMethods
from safehand_consent_service.seats import Seats


class PortalServicer(SeatMethods, DraftMethods, PageMethods, portal_pb2_grpc.PortalServiceServicer):
    """Every method of PortalService."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._seats = Seats(context)

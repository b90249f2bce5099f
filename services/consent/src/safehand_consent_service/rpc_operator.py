"""What consent's own operator calls: proto in, use case, proto out."""

from __future__ import annotations

import grpc
from google.protobuf.message import Message
from safehand.consent.v1 import consent_pb2
from safehand_rpc import call

from safehand_consent_service import operations, wire
from safehand_consent_service.context import Context, Request, request_of


class OperatorMethods:
    """Mixed into the servicer, which sets ``_context``."""

    _context: Context

    def EnrolAgency(  # noqa: N802
        self, request: consent_pb2.EnrolAgencyRequest, context: grpc.ServicerContext
    ) -> consent_pb2.EnrolAgencyResponse:
        fingerprint = operations.enrol_agency(
            self._context,
            request.agency,
            request.identity_key,
            request.display_name,
            self._repeat(request),
        )
        return consent_pb2.EnrolAgencyResponse(fingerprint=fingerprint)

    def RollKeys(  # noqa: N802
        self, request: consent_pb2.RollKeysRequest, context: grpc.ServicerContext
    ) -> consent_pb2.RollKeysResponse:
        caller = call.current().principal.spiffe_id
        rolled = operations.roll_keys(
            self._context, request_of(self._context.cards, caller, request)
        )
        return consent_pb2.RollKeysResponse(epoch=rolled.epoch, rewrapped=rolled.rewrapped)

    def ConfirmClock(  # noqa: N802
        self, request: consent_pb2.ConfirmClockRequest, context: grpc.ServicerContext
    ) -> consent_pb2.ConfirmClockResponse:
        caller = call.current().principal.spiffe_id
        now = operations.confirm_clock(
            self._context, request_of(self._context.cards, caller, request)
        )
        return consent_pb2.ConfirmClockResponse(ledger_now=wire.timestamp(now))

    def _repeat(self, request: Message) -> Request:
        caller = call.current().principal.spiffe_id
        return request_of(self._context.cards, caller, request)

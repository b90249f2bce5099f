"""What agencies call: proto in, use case, proto out. One half of ``ConsentService``."""

from __future__ import annotations

import grpc
from safehand.consent.v1 import consent_pb2
from safehand_formats.answer import SignedAnswer
from safehand_formats.keyrecord import SignedKeyRecord
from safehand_formats.manifest import SignedManifest
from safehand_formats.sharing_protocol import SignedProtocol
from safehand_rpc import call

from safehand_consent_service import answers, authorise, protocols, release, wire
from safehand_consent_service.context import Context, request_of


class AgencyMethods:
    """Mixed into the servicer, which sets ``_context``."""

    _context: Context

    def RegisterProtocol(  # noqa: N802
        self, request: consent_pb2.RegisterProtocolRequest, context: grpc.ServicerContext
    ) -> consent_pb2.RegisterProtocolResponse:
        caller = call.current().principal
        digest = protocols.register(
            self._context,
            caller,
            SignedProtocol(request.protocol, request.signature_a, request.signature_b),
            request_of(self._context.cards, caller.spiffe_id, request),
        )
        return consent_pb2.RegisterProtocolResponse(digest=digest)

    def AuthorizeReferral(  # noqa: N802
        self, request: consent_pb2.AuthorizeReferralRequest, context: grpc.ServicerContext
    ) -> consent_pb2.AuthorizeReferralResponse:
        caller = call.current().principal
        done = authorise.authorise(
            self._context,
            caller,
            authorise.Sending(
                SignedManifest(request.manifest, request.signature),
                list(request.inner_wraps),
                SignedKeyRecord(request.recipient_key_record, request.recipient_key_signature),
            ),
            request_of(self._context.cards, caller.spiffe_id, request),
        )
        return consent_pb2.AuthorizeReferralResponse(
            outer_wraps=done.outer_wraps,
            token=done.token,
            receipt=wire.receipt(done.receipt),
        )

    def RecordAnswer(  # noqa: N802
        self, request: consent_pb2.RecordAnswerRequest, context: grpc.ServicerContext
    ) -> consent_pb2.RecordAnswerResponse:
        caller = call.current().principal
        done = answers.record(
            self._context,
            caller,
            SignedAnswer(request.answer, request.signature),
            request_of(self._context.cards, caller.spiffe_id, request),
        )
        return consent_pb2.RecordAnswerResponse(ack=done.ack, ack_signature=done.signature)

    def ReleaseKey(  # noqa: N802
        self, request: consent_pb2.ReleaseKeyRequest, context: grpc.ServicerContext
    ) -> consent_pb2.ReleaseKeyResponse:
        done = release.release(self._context, call.current().principal, context, request)
        return consent_pb2.ReleaseKeyResponse(
            inner_wrap=done.inner_wrap, receipt=wire.receipt(done.receipt)
        )

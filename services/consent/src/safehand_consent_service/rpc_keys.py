"""``KeyService``: consent's token keys, agencies' identity keys, and use of recipient keys."""

from __future__ import annotations

import grpc
from google.protobuf.message import Message
from safehand.consent.v1 import keys_pb2, keys_pb2_grpc
from safehand_formats.succession import SignedSuccession
from safehand_rpc import call
from safehand_store.engine import begin_read

from safehand_consent_service import agencies, key_records, operations, wire
from safehand_consent_service.context import Context, Request, request_of
from safehand_consent_service.token_keys import TokenKey


class KeyServicer(keys_pb2_grpc.KeyServiceServicer):
    """Proto in, use case, proto out."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def ListTokenKeys(  # noqa: N802
        self, request: keys_pb2.ListTokenKeysRequest, context: grpc.ServicerContext
    ) -> keys_pb2.ListTokenKeysResponse:
        found = self._context.token_keys.listed(self._context.now)
        return keys_pb2.ListTokenKeysResponse(keys=[_token_key(key) for key in found])

    def RotateTokenKey(  # noqa: N802
        self, request: keys_pb2.RotateTokenKeyRequest, context: grpc.ServicerContext
    ) -> keys_pb2.RotateTokenKeyResponse:
        made = operations.rotate_token_key(
            self._context, self._repeat(request), stolen=request.stolen
        )
        return keys_pb2.RotateTokenKeyResponse(key=_token_key(made))

    def RotateAgencyKey(  # noqa: N802
        self, request: keys_pb2.RotateAgencyKeyRequest, context: grpc.ServicerContext
    ) -> keys_pb2.RotateAgencyKeyResponse:
        named = request.HasField("overlap")
        wanted = operations.NextKey(
            request.agency,
            request.old_fingerprint,
            request.identity_key,
            request.overlap.seconds if named else agencies.OVERLAP_S,
            _signed(request),
        )
        fingerprint, ends_at = operations.rotate_agency_key(
            self._context, wanted, self._repeat(request)
        )
        return keys_pb2.RotateAgencyKeyResponse(
            fingerprint=fingerprint, old_ends_at=wire.timestamp(ends_at)
        )

    def RevokeAgencyKey(  # noqa: N802
        self, request: keys_pb2.RevokeAgencyKeyRequest, context: grpc.ServicerContext
    ) -> keys_pb2.RevokeAgencyKeyResponse:
        left = operations.revoke_agency_key(
            self._context, request.agency, request.fingerprint, self._repeat(request)
        )
        return keys_pb2.RevokeAgencyKeyResponse(keys_left=left)

    def ListAgencyKeys(  # noqa: N802
        self, request: keys_pb2.ListAgencyKeysRequest, context: grpc.ServicerContext
    ) -> keys_pb2.ListAgencyKeysResponse:
        with begin_read(self._context.engine) as connection:
            found = agencies.history(connection, request.agency)
        return keys_pb2.ListAgencyKeysResponse(keys=[_agency_key(key) for key in found])

    def GetKeyUse(  # noqa: N802
        self, request: keys_pb2.GetKeyUseRequest, context: grpc.ServicerContext
    ) -> keys_pb2.GetKeyUseResponse:
        caller = call.current().principal.name
        with begin_read(self._context.engine) as connection:
            use = key_records.use_of(connection, caller, request.kid, self._context.now)
        answer = keys_pb2.GetKeyUseResponse(open_manifests=use.open_manifests)
        if use.until is not None:
            answer.until.CopyFrom(wire.timestamp(use.until))
        if use.sealed_until is not None:
            answer.sealed_until.CopyFrom(wire.timestamp(use.sealed_until))
        return answer

    def _repeat(self, request: Message) -> Request:
        caller = call.current().principal.spiffe_id
        return request_of(self._context.cards, caller, request)


def _signed(request: keys_pb2.RotateAgencyKeyRequest) -> SignedSuccession | None:
    if not request.HasField("succession"):
        return None
    said = request.succession
    return SignedSuccession(said.succession, said.signature_old, said.signature_new)


def _agency_key(key: agencies.IdentityKey) -> keys_pb2.AgencyKey:
    out = keys_pb2.AgencyKey(identity_key=key.public, not_before=wire.timestamp(key.not_before))
    if key.not_after is not None:
        out.not_after.CopyFrom(wire.timestamp(key.not_after))
    if key.revoked_at is not None:
        out.revoked_at.CopyFrom(wire.timestamp(key.revoked_at))
    if key.signed is not None:
        out.succession.succession = key.signed.succession_bytes
        out.succession.signature_old = key.signed.signature_old
        out.succession.signature_new = key.signed.signature_new
    return out


def _token_key(key: TokenKey) -> keys_pb2.TokenKey:
    out = keys_pb2.TokenKey(
        kid=key.kid, public=key.public, signs_from=wire.timestamp(key.signs_from)
    )
    if key.ends_at is not None:
        out.ends_at.CopyFrom(wire.timestamp(key.ends_at))
    return out

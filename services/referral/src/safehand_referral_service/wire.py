"""What both servicers need around a use case: the caller, the request's identity, times."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from safehand_rpc import call
from safehand_store.idempotency import hash_request

from safehand_referral_service.context import Request


def agency() -> str:
    """The calling agency's id; for methods that the policy table gives to agencies alone."""
    return call.current().principal.name


def scope() -> str:
    """Whose page tokens these are."""
    return call.current().principal.spiffe_id


def mutation(request: Message) -> Request:
    """A request with its ``request_id``, as idempotency knows it."""
    current = call.current()
    message: Any = request
    return Request(
        caller=current.principal.spiffe_id,
        method=current.method,
        request_id=message.request_id,
        hash=hash_request(request.SerializeToString(deterministic=True)),
    )


def timestamp(seconds: int | None) -> Timestamp | None:
    """Seconds since the epoch as a proto field; None stays absent."""
    return None if seconds is None else Timestamp(seconds=seconds)

"""Errors on the wire: ``google.rpc.Status`` with exactly one ErrorInfo (AIP-193), both ways."""

from __future__ import annotations

from typing import Any, cast

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from safehand_core.errors import SafehandError
from safehand_core.reasons import TABLE, Reason

DOMAIN = "safehand.example"
"""``ErrorInfo.domain``: whose enum the reason belongs to."""

_NANOS = 1_000_000_000
_DETAIL = "detail"
_FIX = "fix"

_WITHOUT_DETAILS = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: Reason.OVERLOADED,
    grpc.StatusCode.UNAVAILABLE: Reason.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Reason.UNAVAILABLE,
    grpc.StatusCode.CANCELLED: Reason.UNAVAILABLE,
    grpc.StatusCode.UNIMPLEMENTED: Reason.NOT_BUILT,
}
"""What a status means that gRPC itself made, before or without any handler of ours."""


def to_error(error: BaseException) -> SafehandError:
    """What a caller may learn of ``error``: itself, or a constant.

    The text of any other exception may hold anything (SQL, a request, a path), so that none of it
    is kept.
    """
    if isinstance(error, SafehandError):
        return error
    if isinstance(error, NotImplementedError):
        # Generated base classes raise it for a method that a servicer does not override.
        return SafehandError(Reason.NOT_BUILT)
    return SafehandError(Reason.INTERNAL)


def to_status(error: SafehandError) -> status_pb2.Status:
    """The status proto of a refusal: ErrorInfo, and RetryInfo where ``retry_after_s`` is set."""
    metadata = {**error.metadata, _FIX: error.fix}
    if error.detail:
        metadata[_DETAIL] = error.detail
    code = cast(int, getattr(code_pb2, TABLE[error.reason].status))
    status = status_pb2.Status(code=code, message=error.message)
    status.details.add().Pack(
        error_details_pb2.ErrorInfo(reason=error.reason.value, domain=DOMAIN, metadata=metadata)
    )
    if error.retry_after_s is not None:
        nanos = max(0, int(error.retry_after_s * _NANOS))
        delay = Duration(seconds=nanos // _NANOS, nanos=nanos % _NANOS)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def to_grpc(error: SafehandError) -> grpc.Status:
    """For ``context.abort_with_status``."""
    return cast(grpc.Status, rpc_status.to_status(to_status(error)))


def from_status(status: status_pb2.Status) -> SafehandError:
    """The refusal that a server of ours described; INTERNAL where it is not one of ours."""
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    retry_after_s: float | None = None
    found = False
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
            found = info.domain == DOMAIN
        elif detail.Is(retry.DESCRIPTOR):
            detail.Unpack(retry)
            retry_after_s = retry.retry_delay.seconds + retry.retry_delay.nanos / _NANOS
    metadata = dict(info.metadata)
    metadata.pop(_FIX, None)
    if not found or info.reason not in Reason.__members__:
        # A newer server may know reasons that this client does not.
        return SafehandError(
            Reason.INTERNAL,
            "the server named a reason that is not known here",
            retry_after_s=retry_after_s,
        )
    detail_text = metadata.pop(_DETAIL, "")
    return SafehandError(
        Reason[info.reason], detail_text, metadata=metadata, retry_after_s=retry_after_s
    )


def from_rpc_error(error: grpc.RpcError) -> SafehandError:
    """Turn what a stub raised into a SafehandError.

    A status without our ErrorInfo was made by gRPC: no connection, no time left, too large, or no
    such method. It becomes UNAVAILABLE, OVERLOADED, TOO_LARGE, NOT_BUILT or INTERNAL, with the
    gRPC code's name as metadata ``code``.
    """
    call = cast(Any, error)
    try:
        status = rpc_status.from_call(call)
    except (ValueError, AttributeError):
        status = None
    if status is not None:
        return from_status(status)
    code = call.code() if hasattr(call, "code") else grpc.StatusCode.UNKNOWN
    reason = _WITHOUT_DETAILS.get(code, Reason.INTERNAL)
    if reason is Reason.OVERLOADED and "larger than max" in (call.details() or ""):
        reason = Reason.TOO_LARGE
    name = code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"
    return SafehandError(reason, metadata={"code": name})

"""The decisions of the chain, in their order; threads and asyncio share every one of them.

identity → policy → deadline → size → parse → unknown fields → protovalidate. Who may not call
learns nothing about what a valid request looks like (AIP-211), so the bytes of a request are not
even parsed before its caller is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from protovalidate import Validator
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_rpc import identity, policy
from safehand_rpc.call import Call
from safehand_rpc.identity import Principal
from safehand_rpc.shares import Shares

DEADLINE_MIN_S = 0.020
"""Less time than this is not enough to answer in, in seconds."""
DEADLINE_MAX_S = 60.0
"""More time than this pins a thread for nothing, in seconds. gRPC reports a missing deadline as a
very long one."""
DEADLINE_SLACK_S = 0.5
"""Clients that set exactly the maximum may have a clock that runs a little ahead, in seconds."""
MESSAGE_BYTES = 256 * 1024
"""Default limit of one request in bytes; a method that takes ciphertext has its own."""

_validator = Validator()


def _nobody_listens(_: Principal) -> None:
    """For servers that keep no note of who calls."""


@dataclass(frozen=True, slots=True)
class Method:
    """What the chain knows about one served method."""

    path: str
    request: type[Message]
    streams: bool
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Rules:
    """The tables of one server.

    Attributes:
        allowed: the policy table.
        max_bytes: limit of a request in bytes.
        method_max_bytes: limits of methods that need another one.
        shares: how many calls of one caller at one time (threaded servers).
        heard: told of every caller that the policy lets in; never waits, never raises.
    """

    allowed: policy.Policy
    max_bytes: int = MESSAGE_BYTES
    method_max_bytes: Mapping[str, int] = field(default_factory=dict)
    shares: Shares = field(default_factory=Shares)
    heard: Callable[[Principal], None] = _nobody_listens

    def largest(self) -> int:
        """The highest of all limits, in bytes."""
        return max([self.max_bytes, *self.method_max_bytes.values()])

    def method(self, service: ServiceDescriptor, descriptor: MethodDescriptor) -> Method:
        """What to check for one method; compiles its validation rules, so that a rule that does
        not compile stops the start and not a request."""
        path = policy.method_path(service.full_name, descriptor.name)
        request = GetMessageClass(descriptor.input_type)
        _validator.collect_violations(request())
        return Method(
            path=path,
            request=request,
            streams=bool(descriptor.server_streaming),
            max_bytes=self.method_max_bytes.get(path, self.max_bytes),
        )

    def admit(self, method: Method, context: Any) -> Call:
        """Who calls, may they, and is there time: before a byte of the request is looked at.

        Raises:
            SafehandError: UNAUTHENTICATED, NOT_ALLOWED or DEADLINE_INVALID.
        """
        principal = identity.principal_of(context)
        policy.require_allowed(self.allowed, method.path, principal)
        self.heard(principal)
        require_deadline(context.time_remaining(), streams=method.streams)
        return Call(method.path, principal, context)


def require_deadline(remaining_s: float | None, *, streams: bool) -> None:
    """Raise DEADLINE_INVALID for no deadline, one above 60 s or one below 20 ms.

    A method that streams is exempt from the upper bound: its connection's age ends it.
    """
    too_long = remaining_s is None or remaining_s > DEADLINE_MAX_S + DEADLINE_SLACK_S
    too_short = remaining_s is not None and remaining_s < DEADLINE_MIN_S
    if too_short or (too_long and not streams):
        raise SafehandError(Reason.DEADLINE_INVALID)


def parse(method: Method, raw: bytes) -> Message:
    """The request in ``raw``, checked; raises TOO_LARGE or MALFORMED, never with a value in it."""
    if len(raw) > method.max_bytes:
        raise SafehandError(Reason.TOO_LARGE, metadata={"limit_bytes": str(method.max_bytes)})
    try:
        request = method.request.FromString(raw)
    except DecodeError:
        raise SafehandError(Reason.MALFORMED, "the bytes are no such message") from None
    require_known_fields(request)
    require_valid(request)
    return request


def require_known_fields(request: Message) -> None:
    """Refuse a message with a field that its schema lacks, at any depth.

    Such a field would be dropped here and might mean a restriction to a newer client. Dropping
    unknown fields shrinks the encoding if and only if there were any.
    """
    size = request.ByteSize()
    request.DiscardUnknownFields()
    if request.ByteSize() != size:
        raise SafehandError(Reason.MALFORMED, "a field is not known to this version")


def require_valid(request: Message) -> None:
    """Refuse what breaks a protovalidate rule: metadata ``field`` (path) and ``rule`` (its id)."""
    violations = _validator.collect_violations(request, fail_fast=True)
    if not violations:
        return
    found = cast(Any, violations[0].proto)
    metadata = {"field": _path(found.field), "rule": str(found.rule_id or "")}
    raise SafehandError(Reason.MALFORMED, metadata={k: v for k, v in metadata.items() if v})


def _path(path: Any) -> str:
    """``a.b[2].c``. A map's key is what the caller sent: it is left out."""
    names: list[str] = []
    for element in path.elements if path is not None else ():
        subscript = element.subscript
        text = str(element.field_name)
        if subscript is not None:
            index = getattr(subscript, "value", None)
            is_index = getattr(subscript, "field", None) == "index"
            text += f"[{index}]" if is_index else "[]"
        names.append(text)
    return ".".join(names)


Handler = Callable[[Any, Any], Any]
"""A servicer's bound method: ``(request, context) → response`` or an iterator of responses."""

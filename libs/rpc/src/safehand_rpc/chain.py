"""The chain around a handler, for threads and for asyncio: two thin adapters over ``checks``.

Handlers are wrapped where they are registered, so that no served method can be without the chain.
Requests arrive and answers leave as bytes: parsing and serialising happen inside, where every
failure becomes one of our errors. Order, outermost first: error mapping and log line, then the
checks of ``Rules.admit`` and ``parse``, then the handler.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Never

import grpc
from safehand_core import logs, trace
from safehand_core.clock import Clock
from safehand_core.errors import SafehandError
from safehand_core.reasons import TABLE, Reason
from safehand_telemetry import metrics, names, tracing

from safehand_rpc import call as calls
from safehand_rpc import status
from safehand_rpc.call import Call
from safehand_rpc.checks import Handler, Method, Rules, parse

UNKNOWN_METHOD = "/unknown/Unknown"
"""Logged for a method that does not exist: its path is the caller's text."""

BEHIND = frozenset({"service:consent", "service:referral", "service:notify"})
"""Roles that begin no trace: what they ask without one is a poll, of nobody's act."""

_MS = 1000.0


class Outcome:
    """Measures one RPC, and says how it ended: to the log, the metrics, the trace, the caller."""

    def __init__(self, method: str, clock: Clock, *, streams: bool = False) -> None:
        self._method = method
        self._clock = clock
        self._streams = streams
        self._started = clock.monotonic()
        self._span = tracing.NOTHING
        self.call: Call | None = None
        metrics.rpc_began()

    def admitted(self, call: Call) -> Call:
        """The caller may call: from here on there is a span. Nobody else can make us record."""
        self.call = call
        if tracing.on():
            inbound = _traceparent(call)
            if inbound or call.principal.role not in BEHIND:
                role = metrics.role_kind(call.principal.role)
                self._span = tracing.server(self._method, inbound=inbound, role=role)
        return call

    @contextlib.contextmanager
    def serving(self, call: Call) -> Iterator[None]:
        """``call`` and its span are the current ones inside the block."""
        token = calls.enter(call)
        try:
            if self._span is tracing.NOTHING:
                yield
            else:
                with trace.entered(self._span.place):
                    yield
        finally:
            calls.leave(token)

    def enter_task(self, call: Call) -> None:
        """As ``serving``, until the task ends whose context this is."""
        calls.enter(call)
        trace.enter(self._span.place)

    def answered(self) -> None:
        """It ended well."""
        self._ended("OK", None, None)

    def left(self) -> None:
        """The caller went away from an open stream."""
        self._ended("CANCELLED", None, None)

    def refused(self, error: Exception) -> grpc.Status:
        """It failed: what to send. Only the type of a foreign exception survives, in the log."""
        shown = status.to_error(error)
        self._ended(TABLE[shown.reason].status, shown.reason, error)
        return status.to_grpc(shown)

    def _ended(self, code: str, reason: Reason | None, error: Exception | None) -> None:
        seconds = self._clock.monotonic() - self._started
        role = None if self.call is None else self.call.principal.role
        metrics.rpc_ended(
            self._method,
            status=code,
            role=metrics.role_kind(role or ""),
            reason="" if reason is None else reason.value,
            seconds=seconds,
            streams=self._streams,
        )
        with trace.entered(self._span.place):
            logs.rpc_outcome(
                self._method,
                status=code,
                duration_ms=seconds * _MS,
                role=role,
                reason=reason,
                exception=error,
            )
        if self._span is not tracing.NOTHING:
            self._span.set(names.STATUS, code)
            if reason is not None:
                self._span.set(names.REASON, reason.value)
            self._span.end(failed=code not in ("OK", "CANCELLED"))


def _traceparent(call: Call) -> str:
    """The trace that the caller works for, if it is one of our services; else "".

    An agency that could name a trace could tag its calls, and find them again in our telemetry or
    in that of another agency. Baggage and trace state are read from nobody.
    """
    if call.principal.kind != "service":
        return ""
    for key, value in call.context.invocation_metadata() or ():
        if key == trace.HEADER and isinstance(value, str):
            return value
    return ""


def _require_untouched(context: Any) -> None:
    """A handler refuses by raising; a status that it set itself would go out unchecked."""
    if context.code():
        raise RuntimeError("a handler set a status code")


def _first(requests: Iterator[bytes]) -> bytes:
    """The one request of a unary call; raises MALFORMED or UNAVAILABLE where it never came."""
    try:
        for raw in requests:
            return raw
    except grpc.RpcError:
        raise SafehandError(Reason.UNAVAILABLE, "the call ended before its request") from None
    raise SafehandError(Reason.MALFORMED, "there is no request")


def abort(context: Any, refusal: grpc.Status) -> Never:
    """End a threaded RPC with a status that ``status`` made."""
    context.abort_with_status(refusal)
    raise AssertionError("abort returned")


async def abort_aio(context: Any, refusal: grpc.Status) -> Never:
    """End an asyncio RPC with a status that ``status`` made."""
    await context.abort_with_status(refusal)
    raise AssertionError("abort returned")


class Chain:
    """Wraps handlers in the checks of one server."""

    def __init__(self, rules: Rules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock

    def unary(
        self, method: Method, behaviour: Handler, serialize: Callable[[Any], bytes]
    ) -> Callable[[Iterator[bytes], Any], bytes]:
        """One request, one answer, on a thread.

        gRPC hands over an iterator of requests, not a request: with a request it would let the
        thread wait for it before anybody asked who calls, and until when.
        """

        def handle(requests: Iterator[bytes], context: Any) -> bytes:
            outcome = Outcome(method.path, self._clock)
            try:
                call = outcome.admitted(self._rules.admit(method, context))
                with self._rules.shares.hold(method.path, call.principal):
                    request = parse(method, _first(requests))
                    with outcome.serving(call):
                        response = behaviour(request, context)
                _require_untouched(context)
                answer = serialize(response)
            except Exception as error:
                refusal = outcome.refused(error)
            else:
                outcome.answered()
                return answer
            abort(context, refusal)

        return handle

    def stream(
        self, method: Method, behaviour: Handler, serialize: Callable[[Any], bytes]
    ) -> Callable[[bytes, Any], Iterator[bytes]]:
        """One request, many answers, on a thread that the stream keeps until its end."""

        def handle(raw: bytes, context: Any) -> Iterator[bytes]:
            outcome = Outcome(method.path, self._clock, streams=True)
            responses: Any = None
            try:
                call = outcome.admitted(self._rules.admit(method, context))
                request = parse(method, raw)
                with outcome.serving(call):
                    responses = iter(behaviour(request, context))
                while True:
                    # Entered for each step: between steps this thread is gRPC's.
                    with outcome.serving(call):
                        response = next(responses, None)
                    if response is None:
                        break
                    yield serialize(response)
                _require_untouched(context)
            except GeneratorExit:
                outcome.left()
                raise
            except Exception as error:
                refusal = outcome.refused(error)
            else:
                outcome.answered()
                return
            finally:
                if hasattr(responses, "close"):
                    responses.close()
            abort(context, refusal)

        return handle

    def unary_aio(
        self, method: Method, behaviour: Handler, serialize: Callable[[Any], bytes]
    ) -> Callable[[bytes, Any], Any]:
        """One request, one answer, in a task."""

        async def handle(raw: bytes, context: Any) -> bytes:
            outcome = Outcome(method.path, self._clock)
            try:
                call = outcome.admitted(self._rules.admit(method, context))
                request = parse(method, raw)
                with outcome.serving(call):
                    response = await behaviour(request, context)
                _require_untouched(context)
                answer = serialize(response)
            except (grpc.aio.AbortError, asyncio.CancelledError):
                outcome.left()
                raise  # asyncio sent the handler's own status already, or the caller is gone
            except Exception as error:
                refusal = outcome.refused(error)
            else:
                outcome.answered()
                return answer
            await abort_aio(context, refusal)
            raise AssertionError("abort returned")

        return handle

    def stream_aio(
        self, method: Method, behaviour: Handler, serialize: Callable[[Any], bytes]
    ) -> Callable[[bytes, Any], AsyncIterator[bytes]]:
        """One request, many answers, in a task. The handler must be an async generator."""

        async def handle(raw: bytes, context: Any) -> AsyncIterator[bytes]:
            outcome = Outcome(method.path, self._clock, streams=True)
            finished = False
            try:
                call = outcome.admitted(self._rules.admit(method, context))
                request = parse(method, raw)
                # A task has a context of its own, which ends with the RPC.
                outcome.enter_task(call)
                async with contextlib.aclosing(behaviour(request, context)) as responses:
                    async for response in responses:
                        yield serialize(response)
                _require_untouched(context)
                finished = True
                outcome.answered()
            except grpc.aio.AbortError:
                finished = True
                outcome.left()
                raise
            except Exception as error:
                finished = True
                refusal = outcome.refused(error)
            else:
                return
            finally:
                if not finished:
                    outcome.left()
            await abort_aio(context, refusal)

        return handle


class NoSuchMethod(grpc.GenericRpcHandler):
    """Registered last: answers NOT_BUILT for every path that no service serves.

    It takes a stream of requests and reads none, which suits every kind of caller.
    """

    def __init__(self, clock: Clock, *, aio: bool) -> None:
        def refusal() -> grpc.Status:
            error = SafehandError(Reason.NOT_BUILT, "no such method")
            return Outcome(UNKNOWN_METHOD, clock).refused(error)

        def handle(requests: Any, context: Any) -> bytes:
            abort(context, refusal())

        async def handle_aio(requests: Any, context: Any) -> bytes:
            await abort_aio(context, refusal())

        behaviour: Any = handle_aio if aio else handle
        self._handler: Any = grpc.stream_unary_rpc_method_handler(behaviour)

    def service(self, handler_call_details: Any) -> Any:
        return self._handler

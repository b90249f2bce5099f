"""The chain around a handler, for threads and for asyncio: two thin adapters over ``checks``.

Handlers are wrapped where they are registered, so that no served method can be without the chain.
Requests arrive and answers leave as bytes: parsing and serialising happen inside, where every
failure becomes one of our errors. Order, outermost first: error mapping and log line, then the
checks of ``Rules.admit`` and ``parse``, then the handler.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Never

import grpc
from safehand_core import logs
from safehand_core.clock import Clock
from safehand_core.errors import SafehandError
from safehand_core.reasons import TABLE, Reason

from safehand_rpc import call as calls
from safehand_rpc import status
from safehand_rpc.call import Call
from safehand_rpc.checks import Handler, Method, Rules, parse

UNKNOWN_METHOD = "/unknown/Unknown"
"""Logged for a method that does not exist: its path is the caller's text."""

_MS = 1000.0


class Outcome:
    """Measures one RPC, and says how it ended: to the log, and to the caller."""

    def __init__(self, method: str, clock: Clock) -> None:
        self._method = method
        self._clock = clock
        self._started = clock.monotonic()
        self.call: Call | None = None

    def answered(self) -> None:
        """It ended well."""
        self._log("OK", None, None)

    def left(self) -> None:
        """The caller went away from an open stream."""
        self._log("CANCELLED", None, None)

    def refused(self, error: Exception) -> grpc.Status:
        """It failed: what to send. Only the type of a foreign exception survives, in the log."""
        shown = status.to_error(error)
        self._log(TABLE[shown.reason].status, shown.reason, error)
        return status.to_grpc(shown)

    def _log(self, code: str, reason: Reason | None, error: Exception | None) -> None:
        logs.rpc_outcome(
            self._method,
            status=code,
            duration_ms=(self._clock.monotonic() - self._started) * _MS,
            role=None if self.call is None else self.call.principal.role,
            reason=reason,
            exception=error,
        )


@contextlib.contextmanager
def _as_current(call: Call) -> Iterator[None]:
    token = calls.enter(call)
    try:
        yield
    finally:
        calls.leave(token)


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
                call = outcome.call = self._rules.admit(method, context)
                request = parse(method, _first(requests))
                with _as_current(call):
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
            outcome = Outcome(method.path, self._clock)
            responses: Any = None
            try:
                call = outcome.call = self._rules.admit(method, context)
                request = parse(method, raw)
                with _as_current(call):
                    responses = iter(behaviour(request, context))
                while True:
                    # Entered for each step: between steps this thread is gRPC's.
                    with _as_current(call):
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
                call = outcome.call = self._rules.admit(method, context)
                request = parse(method, raw)
                with _as_current(call):
                    response = await behaviour(request, context)
                _require_untouched(context)
                answer = serialize(response)
            except grpc.aio.AbortError:
                raise  # asyncio sent the handler's own status already
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
            outcome = Outcome(method.path, self._clock)
            finished = False
            try:
                call = outcome.call = self._rules.admit(method, context)
                request = parse(method, raw)
                # A task has a context of its own, which ends with the RPC.
                calls.enter(call)
                async with contextlib.aclosing(behaviour(request, context)) as responses:
                    async for response in responses:
                        yield serialize(response)
                _require_untouched(context)
                finished = True
                outcome.answered()
            except grpc.aio.AbortError:
                finished = True
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

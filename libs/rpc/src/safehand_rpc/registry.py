"""From servicers to wrapped handlers: what is served is collected, checked, then registered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_telemetry import metrics, names

from safehand_rpc.chain import Chain
from safehand_rpc.checks import Rules
from safehand_rpc.lanes import own_threads
from safehand_rpc.policy import EXEMPT, method_path, methods_of, require_total

Served = tuple[Callable[[Any, Any], None], Any, ServiceDescriptor]
"""``(add_XServicer_to_server, servicer, x_pb2.DESCRIPTOR.services_by_name["X"])``."""

Handlers = dict[str, dict[str, Any]]
"""Service's full name → method name → gRPC method handler."""


class _Recorder:
    """Stands in for a server while generated code registers a servicer with it."""

    def __init__(self) -> None:
        self.handlers: Handlers = {}

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Holds the same handlers again: ignored."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        self.handlers.setdefault(service, {}).update(handlers)


def record(add: Callable[[Any, Any], None], servicer: Any) -> Handlers:
    """What ``add`` would register with a server."""
    recorder = _Recorder()
    add(servicer, recorder)
    return recorder.handlers


def _paths(handlers: Handlers) -> frozenset[str]:
    return frozenset(method_path(s, m) for s, methods in handlers.items() for m in methods)


def wrap(
    services: Sequence[Served],
    rules: Rules,
    chain: Chain,
    *,
    aio: bool,
    lanes: Mapping[str, ThreadPoolExecutor] | None = None,
) -> Handlers:
    """Every method of every service inside the chain; ``lanes``: method path → its own threads.

    Raises CONFIG_INVALID where the policy table is not exactly the served methods, or a method
    takes a stream of requests: the chain has no rules for those.
    """
    require_total([descriptor for _, _, descriptor in services], rules.allowed)
    names.serve(rules.allowed)
    metrics.rpc_served(rules.allowed)
    _require_served(rules.method_max_bytes, rules.allowed)
    lanes = lanes or {}
    _require_served(lanes, rules.allowed)
    wrapped: Handlers = {}
    for add, servicer, descriptor in services:
        handlers = record(add, servicer)
        if _paths(handlers) != methods_of(descriptor):
            raise SafehandError(
                Reason.CONFIG_INVALID,
                "a servicer is registered with another service's descriptor",
                metadata={"service": descriptor.full_name},
            )
        wrapped[descriptor.full_name] = {
            method.name: _wrap_one(
                handlers[descriptor.full_name][method.name],
                rules.method(descriptor, method),
                chain,
                aio=aio,
                lane=lanes.get(method_path(descriptor.full_name, method.name)),
            )
            for method in descriptor.methods
        }
    return wrapped


def _require_served(named: Iterable[str], served: Mapping[str, Any]) -> None:
    unknown = sorted(set(named) - served.keys())
    if unknown:
        raise SafehandError(
            Reason.CONFIG_INVALID,
            "a size limit or a lane names a method that is not served",
            metadata={"unserved": ", ".join(unknown)},
        )


def _wrap_one(
    handler: Any, method: Any, chain: Chain, *, aio: bool, lane: ThreadPoolExecutor | None
) -> Any:
    if handler.request_streaming:
        raise SafehandError(
            Reason.CONFIG_INVALID,
            "a method that takes a stream of requests cannot be served",
            metadata={"method": method.path},
        )
    serialize = handler.response_serializer
    if handler.response_streaming:
        stream = chain.stream_aio if aio else chain.stream
        behaviour: Any = stream(method, handler.unary_stream, serialize)
        return grpc.unary_stream_rpc_method_handler(behaviour)
    if aio:
        behaviour = chain.unary_aio(method, handler.unary_unary, serialize)
        return grpc.unary_unary_rpc_method_handler(behaviour)
    behaviour = chain.unary(method, handler.unary_unary, serialize)
    if lane is not None:
        own_threads(behaviour, lane)
    return grpc.stream_unary_rpc_method_handler(behaviour)


def register(server: Any, handlers: Handlers) -> None:
    """Register wrapped handlers with a gRPC server, both ways that gRPC looks them up."""
    for service, methods in handlers.items():
        generic = grpc.method_handlers_generic_handler(service, methods)
        server.add_generic_rpc_handlers((generic,))
        server.add_registered_method_handlers(service, methods)


def register_exempt(server: Any, handlers: Handlers) -> None:
    """Register health or reflection, which have no policy; refuses anything else."""
    if not _paths(handlers) <= EXEMPT:
        raise SafehandError(Reason.CONFIG_INVALID, "only health and reflection have no policy")
    register(server, handlers)

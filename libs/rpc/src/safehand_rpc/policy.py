"""Who may call what: one table per server, denied by default, total or there is no server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.descriptor import ServiceDescriptor
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_rpc.identity import ROLES, Principal

Policy = Mapping[str, frozenset[str]]
"""``"/package.Service/Method"`` → the roles that may call it. An empty set: nobody."""

EXEMPT = frozenset(
    {
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/List",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    }
)
"""Methods outside every table. They still need a certificate that the server's CA issued."""


def method_path(service: str, method: str) -> str:
    """The path of a method as gRPC and policy tables write it."""
    return f"/{service}/{method}"


def methods_of(service: ServiceDescriptor) -> frozenset[str]:
    """The paths of all methods of one service."""
    return frozenset(method_path(service.full_name, m.name) for m in service.methods)


def require_total(services: Iterable[ServiceDescriptor], policy: Policy) -> None:
    """Refuse a table that is not exactly the set of served methods, or names an unknown role.

    Raises:
        SafehandError: CONFIG_INVALID; metadata ``missing``, ``unserved`` and ``unknown_roles`` list
            the offending names.
    """
    served = frozenset[str]().union(*(methods_of(service) for service in services))
    problems = {
        "missing": served - policy.keys(),
        "unserved": policy.keys() - served,
        "unknown_roles": frozenset[str]().union(*policy.values()) - ROLES,
    }
    found = {key: ", ".join(sorted(names)) for key, names in problems.items() if names}
    if found:
        raise SafehandError(
            Reason.CONFIG_INVALID,
            "the policy table is not exactly the served methods",
            metadata=found,
        )


def require_allowed(policy: Policy, method: str, principal: Principal) -> None:
    """Raise NOT_ALLOWED unless the table lets this principal's role call ``method``."""
    if principal.role not in policy.get(method, frozenset()):
        raise SafehandError(Reason.NOT_ALLOWED)

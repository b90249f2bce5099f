"""What a handler may know about the call that it serves."""

from __future__ import annotations

import contextvars
from dataclasses import dataclass
from typing import Any

from safehand_rpc.identity import Principal

SUBCALL_SHAVE_S = 0.020
"""Seconds kept back from a sub-call's deadline, so that its failure can still be answered."""
SUBCALL_MAX_S = 10.0
"""The longest a sub-call may take, in seconds, whatever deadline the caller set."""


@dataclass(frozen=True, slots=True)
class Call:
    """One RPC in progress.

    Attributes:
        method: ``/package.Service/Method``.
        principal: who calls; the policy table allowed it.
        context: gRPC's own context, for ``add_callback`` and ``is_active``. Handlers refuse by
            raising SafehandError; an ``abort`` of their own reaches the caller as INTERNAL.
    """

    method: str
    principal: Principal
    context: Any

    def remaining_s(self) -> float:
        """Seconds until the caller gives up; very many on a stream without a deadline."""
        left = self.context.time_remaining()
        return float("inf") if left is None else float(left)

    def subcall_timeout_s(self, longest_s: float = SUBCALL_MAX_S) -> float:
        """A deadline for a call made on behalf of this one, in seconds."""
        return max(0.0, min(self.remaining_s() - SUBCALL_SHAVE_S, longest_s))


_current: contextvars.ContextVar[Call] = contextvars.ContextVar("safehand_rpc_call")


def current() -> Call:
    """The call that this thread or task is serving; LookupError outside of a handler."""
    return _current.get()


def enter(call: Call) -> contextvars.Token[Call]:
    """Make ``call`` the current one (the chain does this)."""
    return _current.set(call)


def leave(token: contextvars.Token[Call]) -> None:
    """Undo ``enter``."""
    _current.reset(token)

"""The services behind the pages: stubs over mutual TLS, and the few ways in which a call fails.

The portal calls consent and referral under its own certificate and nobody else. A page knows only
the problems below; what a service wrote into an error never reaches her.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from safehand.consent.v1 import consent_pb2_grpc, portal_pb2_grpc
from safehand.referral.v1 import directory_pb2_grpc, referral_pb2_grpc
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_rpc.dial import Channel, connect
from safehand_rpc.tls import TlsFiles

from safehand_portal_service.settings import PortalSettings

TIMEOUT_S: Final = 5.0
"""Deadline of a call, in seconds: longer than any answer takes, short enough to say so instead."""
SIGN_IN_TIMEOUT_S: Final = 10.0
"""Deadline of what hashes a PIN, in seconds: many at once wait for each other."""
BESIDE_TIMEOUT_S: Final = 2.0
"""Deadline of a call whose answer only adds to a page, in seconds."""
THROTTLED_S: Final = 180
"""Seconds to name where a refusal for too many tries names none."""

Q = TypeVar("Q", contravariant=True)
R = TypeVar("R", covariant=True)
S = TypeVar("S")


class Method(Protocol[Q, R]):
    """A unary method of a generated stub."""

    def __call__(self, request: Q, timeout: float | None = None) -> R: ...


class Problem(Exception):
    """Why a call did not give what the page asked for."""


class SessionOver(Problem):
    """Nobody is signed in any more."""


class Covered(Problem):
    """The session waits for the PIN."""


class PinChange(Problem):
    """Somebody else has seen the PIN: she must choose one of her own first."""


class Throttled(Problem):
    """Too many tries for now."""

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.seconds = seconds


class NotFound(Problem):
    """There is no such thing for this session."""


class Refused(Problem):
    """The service understood, and said no; ``reason`` is the name of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Down(Problem):
    """No answer, or none that helps. Whether something was done is not known."""


_DOWN: Final = frozenset(
    {
        Reason.UNAVAILABLE,
        Reason.OVERLOADED,
        Reason.INTERNAL,
        Reason.NOT_BUILT,
        Reason.LEDGER_STARTING,
        Reason.LEDGER_ROLLED_BACK,
        Reason.LEDGER_CORRUPT,
        Reason.CLOCK_SUSPECT,
        Reason.CONFIG_INVALID,
        Reason.UNAUTHENTICATED,
        Reason.NOT_ALLOWED,
        Reason.DEADLINE_INVALID,
    }
)
"""What only those who run the system can mend. NOT_ALLOWED is one: it speaks of the portal's own
certificate, never of her."""


def problem(error: SafehandError) -> Problem:
    """The one of the problems that ``error`` is."""
    name = error.reason.value
    if name == "SESSION_INVALID":
        return SessionOver()
    if name == "SESSION_COVERED":
        return Covered()
    if name == "PIN_CHANGE_REQUIRED":
        return PinChange()
    if name == "NOT_FOUND":
        return NotFound()
    if name == "THROTTLED":
        seconds = error.retry_after_s
        return Throttled(max(1, round(THROTTLED_S if seconds is None else seconds)))
    return Down() if error.reason in _DOWN else Refused(name)


class _Service:
    """Stubs of one service, at an address that may change. Thread-safe."""

    def __init__(self, name: str, address: Callable[[], str], tls: TlsFiles) -> None:
        self._name = name
        self._address = address
        self._tls = tls
        self._lock = threading.Lock()
        self._channels: dict[bool, Channel] = {}
        self._stubs: dict[tuple[Callable[..., Any], bool], Any] = {}
        self._connected_to = ""

    def stub(self, make: Callable[[Any], S], *, retry: bool) -> S:
        """The stub of ``make`` on the channel to where the service is now."""
        try:
            address = self._address()
        except SafehandError as error:
            raise problem(error) from None
        with self._lock:
            if address != self._connected_to:
                self._forget()
                self._connected_to = address
            found: S | None = self._stubs.get((make, retry))
            if found is None:
                if retry not in self._channels:
                    self._channels[retry] = connect(
                        address, self._tls, self._name, timeout_s=TIMEOUT_S, retry=retry
                    )
                found = self._stubs[make, retry] = make(self._channels[retry])
            return found

    def close(self) -> None:
        with self._lock:
            channels = list(self._channels.values())
            self._forget()
        for channel in channels:
            channel.close()

    def _forget(self) -> None:
        # Let go, not closed: calls of other threads may be in flight on them.
        self._channels.clear()
        self._stubs.clear()


class Backend:
    """Stubs for the pages. Reading and what carries a request id is retried, the rest is not."""

    def __init__(self, settings: PortalSettings) -> None:
        self._consent = _Service("consent", settings.consent_now, settings.tls)
        self._referral = _Service("referral", settings.referral_now, settings.tls)

    @property
    def her(self) -> portal_pb2_grpc.PortalServiceStub:
        """Her pages at consent."""
        return self._consent.stub(portal_pb2_grpc.PortalServiceStub, retry=True)

    @property
    def her_once(self) -> portal_pb2_grpc.PortalServiceStub:
        """The same, for what takes a PIN: a repeat would count as a second try."""
        return self._consent.stub(portal_pb2_grpc.PortalServiceStub, retry=False)

    @property
    def door(self) -> consent_pb2_grpc.ConsentServiceStub:
        """Opening and closing a session."""
        return self._consent.stub(consent_pb2_grpc.ConsentServiceStub, retry=False)

    @property
    def steps(self) -> referral_pb2_grpc.ReferralServiceStub:
        """What is happening, by a ticket."""
        return self._referral.stub(referral_pb2_grpc.ReferralServiceStub, retry=True)

    @property
    def directory(self) -> directory_pb2_grpc.DirectoryServiceStub:
        """Services that anybody can find."""
        return self._referral.stub(directory_pb2_grpc.DirectoryServiceStub, retry=True)

    def close(self) -> None:
        self._consent.close()
        self._referral.close()


def call(method: Method[Q, R], request: Q, *, timeout_s: float = TIMEOUT_S) -> R:
    """The answer of one call. Raises a ``Problem`` and nothing else of the wire's."""
    try:
        return method(request, timeout=timeout_s)
    except SafehandError as error:
        raise problem(error) from None

"""Asking consent and referral for the events that the bus lost.

A message on the bus makes notify ask, or the bus's silence, rarely (``consumer.LOOK_EVERY_S``):
what was lost behind the last message shows in no message. With the bus down, nobody is polled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from safehand.consent.v1 import consent_pb2, consent_pb2_grpc
from safehand.events.v1.events_pb2 import Event
from safehand.referral.v1 import referral_pb2, referral_pb2_grpc
from safehand_core.errors import SafehandError
from safehand_rpc.dial import Channel, connect
from safehand_rpc.tls import TlsFiles

TIMEOUT_S: Final = 5.0
"""Deadline of one page, in seconds."""

_STUBS: Final[dict[str, tuple[Callable[[Any], Any], Callable[..., Any]]]] = {
    "consent": (consent_pb2_grpc.ConsentServiceStub, consent_pb2.ListEventsRequest),
    "referral": (referral_pb2_grpc.ReferralServiceStub, referral_pb2.ListEventsRequest),
}


class EventSource:
    """The event sequence of one service, at an address that may change. Thread-safe.

    Args:
        service: ``consent`` or ``referral``; nobody else's certificate is taken for it.
        address: where it is now, ``host:port``; asked before every call.
        tls: this service's certificate, and the CA of the source's.
    """

    def __init__(self, service: str, address: Callable[[], str], tls: TlsFiles) -> None:
        self._service = service
        self._address = address
        self._tls = tls
        self._lock = threading.Lock()
        self._channel: Channel | None = None
        self._connected_to = ""

    def fetch(self, after: int) -> Sequence[Event]:
        """The next events behind ``after``, one page. Blocking. Raises SafehandError."""
        stub, request = _STUBS[self._service]
        with self._lock:
            channel = self._open(self._address())
            try:
                answer = stub(channel).ListEvents(request(after=after), timeout=TIMEOUT_S)
            except SafehandError:
                # A fresh channel next time: gRPC's own back-off grows to two minutes.
                self._drop()
                raise
        return list(answer.events)

    def close(self) -> None:
        """Give the channel back."""
        with self._lock:
            self._drop()

    def _open(self, address: str) -> Channel:
        if self._channel is None or address != self._connected_to:
            self._drop()
            self._channel = connect(address, self._tls, self._service, retry=False)
            self._connected_to = address
        return self._channel

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

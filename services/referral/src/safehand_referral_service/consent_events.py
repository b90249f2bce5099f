"""Consent's events and token keys over gRPC, at an address that may change meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from safehand.consent.v1 import consent_pb2, consent_pb2_grpc, keys_pb2, keys_pb2_grpc
from safehand.events.v1.events_pb2 import Event
from safehand_core.errors import SafehandError
from safehand_rpc.dial import Channel, connect
from safehand_rpc.tls import TlsFiles

from safehand_referral_service.token_keys import TokenKey

TIMEOUT_S: Final = 5.0
"""Deadline of one page, in seconds: far above what a page takes, below what a stop may wait."""


T = TypeVar("T")


class ConsentEvents:
    """Asks consent, one question at a time. Safe to share between threads.

    Args:
        address: where consent is now, ``host:port``; asked before every call.
        tls: this service's certificate and the CA of consent's.
    """

    def __init__(self, address: Callable[[], str], tls: TlsFiles) -> None:
        self._address = address
        self._tls = tls
        self._lock = threading.Lock()
        self._channel: Channel | None = None
        self._connected_to = ""

    def fetch(self, after: int) -> list[Event]:
        """The next events behind ``after``, at most one page. Raises SafehandError."""
        request = consent_pb2.ListEventsRequest(after=after)
        return self._ask(
            lambda channel: list(
                consent_pb2_grpc.ConsentServiceStub(channel)
                .ListEvents(request, timeout=TIMEOUT_S)
                .events
            )
        )

    def token_keys(self) -> list[TokenKey]:
        """The keys under which a token or an acknowledgement verifies. Raises SafehandError."""
        request = keys_pb2.ListTokenKeysRequest()
        answer = self._ask(
            lambda channel: keys_pb2_grpc.KeyServiceStub(channel).ListTokenKeys(
                request, timeout=TIMEOUT_S
            )
        )
        return [
            TokenKey(key.public, key.ends_at.seconds if key.HasField("ends_at") else None)
            for key in answer.keys
        ]

    def _ask(self, question: Callable[[Channel], T]) -> T:
        with self._lock:
            channel = self._open(self._address())
            try:
                return question(channel)
            except SafehandError:
                # A fresh channel next time: gRPC's own back-off grows to two minutes.
                self._drop()
                raise

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _open(self, address: str) -> Channel:
        if self._channel is None or address != self._connected_to:
            self._drop()
            self._channel = connect(address, self._tls, "consent", retry=False)
            self._connected_to = address
        return self._channel

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

"""Channels to services: mTLS, the expected peer, deadlines, retries, and errors with reasons.

A service is recognised by the DNS SAN ``<service>.safehand.example`` in its certificate, so that
the certificate of one service cannot answer for another. A channel is rebuilt when its certificate
files are replaced (gRPC has no client-side reload).
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import grpc
from safehand_core import trace

from safehand_rpc import status
from safehand_rpc.ca import service_dns_name
from safehand_rpc.tls import TlsFiles, TlsMaterial, TlsWatch, channel_credentials

TIMEOUT_S = 10.0
"""Deadline of a unary call that names none, in seconds."""
MAX_RECEIVE_BYTES = 8 * 1024 * 1024
"""The largest answer in bytes: a referral with its sixteen parts, or a page of leaves."""
KEEPALIVE_MS = 30_000
"""Milliseconds between pings on a channel with open calls."""
RECONNECT_MAX_MS = 5_000
"""Milliseconds at most between two tries to connect: a restart is not waited out for minutes."""
RETRY_ATTEMPTS = 4
"""Tries in all, the first included. Mutating methods take a request_id: repeats are safe."""

_RETRY = {
    "maxAttempts": RETRY_ATTEMPTS,
    "initialBackoff": "0.05s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def _options(service: str, *, retry: bool, max_receive_bytes: int) -> list[tuple[str, Any]]:
    config: dict[str, Any] = {"methodConfig": [{"name": [{}]}]}
    if retry:
        config["methodConfig"][0]["retryPolicy"] = _RETRY
    return [
        ("grpc.ssl_target_name_override", service_dns_name(service)),
        ("grpc.service_config", json.dumps(config)),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.max_receive_message_length", max_receive_bytes),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_MAX_MS),
    ]


def _traced(options: dict[str, Any]) -> dict[str, Any]:
    """The call's options, with the trace that it belongs to where one is recorded."""
    header = trace.sampled_header()
    if header:
        options["metadata"] = (*(options.get("metadata") or ()), (trace.HEADER, header))
    return options


class _MappedStream(Iterator[Any]):
    """Answers of a stream; ``cancel`` ends it. Refusals are SafehandErrors."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __next__(self) -> Any:
        try:
            return next(self._call)
        except grpc.RpcError as error:
            raise status.from_rpc_error(error) from None

    def cancel(self) -> None:
        """Leave the stream; the next answer is then UNAVAILABLE."""
        self._call.cancel()


class Channel(grpc.Channel):
    """A channel for generated stubs: ``ConsentServiceStub(channel)``.

    Unary calls get ``TIMEOUT_S`` where they name no ``timeout``; streams get none. Both raise
    SafehandError and nothing else. Safe to share between threads.
    """

    def __init__(
        self,
        address: str,
        tls: TlsFiles,
        service: str,
        *,
        timeout_s: float = TIMEOUT_S,
        retry: bool = True,
        max_receive_bytes: int = MAX_RECEIVE_BYTES,
    ) -> None:
        self._address = address
        self._options = _options(service, retry=retry, max_receive_bytes=max_receive_bytes)
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._watch = TlsWatch(tls)
        self._generation = 0
        self._inner = self._open(self._watch.material)

    def _open(self, material: TlsMaterial) -> grpc.Channel:
        return grpc.secure_channel(
            self._address, channel_credentials(material), options=self._options
        )

    def _current(self) -> tuple[int, grpc.Channel]:
        """The channel of the newest files. The one before is let go, not closed: its calls end,
        and gRPC frees it with them."""
        fresh = self._watch.changed()
        with self._lock:
            if fresh is not None:
                self._inner = self._open(fresh)
                self._generation += 1
            return self._generation, self._inner

    def _callable(self, kind: str, *args: Any, **kwargs: Any) -> Callable[[], Any]:
        made: tuple[int, Any] | None = None

        def get() -> Any:
            nonlocal made
            generation, inner = self._current()
            held = made
            if held is None or held[0] != generation:
                held = made = (generation, getattr(inner, kind)(*args, **kwargs))
            return held[1]

        return get

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        get = self._callable("unary_unary", *args, **kwargs)

        def call(request: Any, timeout: float | None = None, **options: Any) -> Any:
            try:
                return get()(request, timeout=timeout or self._timeout_s, **_traced(options))
            except grpc.RpcError as error:
                raise status.from_rpc_error(error) from None

        return call

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        get = self._callable("unary_stream", *args, **kwargs)

        def call(request: Any, timeout: float | None = None, **options: Any) -> _MappedStream:
            return _MappedStream(get()(request, timeout=timeout, **_traced(options)))

        return call

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("no service of ours takes a stream of requests")

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("no service of ours takes a stream of requests")

    def subscribe(self, callback: Any, try_to_connect: bool = False) -> None:
        self._current()[1].subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Any) -> None:
        self._current()[1].unsubscribe(callback)

    def close(self) -> None:
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(
    address: str,
    tls: TlsFiles,
    service: str,
    *,
    timeout_s: float = TIMEOUT_S,
    retry: bool = True,
    max_receive_bytes: int = MAX_RECEIVE_BYTES,
) -> Channel:
    """A channel to ``service`` at ``address`` as the party whose certificate ``tls`` names.

    Connecting is lazy: a wrong peer, a wrong CA and a closed port all show at the first call, as
    UNAVAILABLE.

    Args:
        address: ``host:port``.
        tls: certificate, key, and the CA that issued the service's certificate.
        service: the service's name, e.g. ``consent``: nobody else may answer.
        timeout_s: default deadline of unary calls in seconds.
        retry: repeat on UNAVAILABLE.
        max_receive_bytes: the largest answer in bytes.
    """
    return Channel(
        address, tls, service, timeout_s=timeout_s, retry=retry, max_receive_bytes=max_receive_bytes
    )


class Dialer:
    """Connects one party to several services and closes all its channels together."""

    def __init__(self, tls: TlsFiles, *, timeout_s: float = TIMEOUT_S) -> None:
        self._tls = tls
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._channels: dict[tuple[str, str], Channel] = {}

    def channel(self, address: str, service: str) -> Channel:
        """The channel to ``service`` at ``address``, made at its first use."""
        with self._lock:
            found = self._channels.get((address, service))
            if found is None:
                found = connect(address, self._tls, service, timeout_s=self._timeout_s)
                self._channels[address, service] = found
            return found

    def close(self) -> None:
        """Close every channel."""
        with self._lock:
            for channel in self._channels.values():
                channel.close()
            self._channels.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def map_errors() -> Iterator[None]:
    """Turn grpc.RpcError into SafehandError around a stub on a channel that is not ours."""
    try:
        yield
    except grpc.RpcError as error:
        raise status.from_rpc_error(error) from None

"""Streams and durable consumers, made by the one user who may (DESIGN 4).

Idempotent: run it after every start of the server, also after it lost its store.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Final

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NotFoundError

from safehand_bus import topology
from safehand_bus.connection import Connection, Counters, NatsLink, connect
from safehand_bus.envelope import MAX_EVENT_BYTES

ACK_WAIT_S: Final = 2.0
"""A message whose reader died comes again after this; being handled twice is harmless."""
MAX_ACK_PENDING: Final = 1024
"""Messages that may be in a reader's hands at one time."""
MAX_MESSAGE_BYTES: Final = MAX_EVENT_BYTES + 2048
"""An event and its headers."""


def stream_config(stream: topology.Stream) -> StreamConfig:
    """Kept on file, nothing discarded, nothing deletable over the wire."""
    return StreamConfig(
        name=stream.name,
        subjects=[stream.subjects],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_msg_size=MAX_MESSAGE_BYTES,
        deny_delete=True,
        deny_purge=True,
        num_replicas=1,
    )


def consumer_config(durable: str) -> ConsumerConfig:
    """Pull, from the beginning, every message until it is acknowledged."""
    return ConsumerConfig(
        durable_name=durable,
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.ALL,
        ack_wait=ACK_WAIT_S,
        max_deliver=-1,
        max_ack_pending=MAX_ACK_PENDING,
    )


async def _ensure_stream(js: JetStreamContext, stream: topology.Stream) -> None:
    config = stream_config(stream)
    try:
        await js.stream_info(stream.name)
    except NotFoundError:
        await js.add_stream(config)
    else:
        await js.update_stream(config)
    for durable in stream.durables:
        await js.add_consumer(stream.name, consumer_config(durable))


async def ensure(link: NatsLink) -> None:
    """Make what is missing, and bring what is there up to date. ``link.user``: ``provision``."""
    async with connect(link, Counters()) as connection:
        await _ensure_all(connection)


async def _ensure_all(connection: Connection) -> None:
    for stream in topology.STREAMS:
        await _ensure_stream(connection.js, stream)


def ensure_blocking(link: NatsLink, *, timeout_s: float = 10.0) -> None:
    """``ensure`` for callers outside asyncio, or inside another loop; raises what it raises."""
    _run(asyncio.wait_for(ensure(link), timeout_s))


def _run(work: Coroutine[Any, Any, None]) -> None:
    failure: list[BaseException] = []

    def body() -> None:
        try:
            asyncio.run(work)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=body, name="bus-provision")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]

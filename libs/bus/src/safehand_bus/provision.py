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
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NotFoundError

from safehand_bus import topology
from safehand_bus.connection import Connection, Counters, connect
from safehand_bus.envelope import MAX_EVENT_BYTES
from safehand_bus.link import NatsLink

ACK_WAIT_S: Final = 2.0
"""A message whose reader died comes again after this; being handled twice is harmless."""
MAX_ACK_PENDING: Final = 1024
"""Messages that may be in a reader's hands at one time."""
MAX_AGE_S: Final = 7 * 86_400
"""The stream keeps a week, so that a service that was off over a long weekend reads it like any
other. Older events are harmless to lose: the database is the truth, and who misses some asks the
source by gRPC, for a gap at once and for what is missing at the end when the bus is quiet."""
MAX_BYTES: Final = 4 * 1024**3
"""Some ten million events: a flood ends here and not at the end of the disk, oldest first."""
DUPLICATE_WINDOW_S: Final = 120
"""How long the server knows a message id again; longer than a publish is tried."""
MAX_MESSAGE_BYTES: Final = MAX_EVENT_BYTES + 2048
"""An event and its headers."""


def stream_config(stream: topology.Stream, *, replicas: int = 1) -> StreamConfig:
    """On file for a week, nothing deletable over the wire; ``replicas``: nodes of a cluster."""
    return StreamConfig(
        name=stream.name,
        subjects=[stream.subjects],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_age=MAX_AGE_S,
        max_bytes=MAX_BYTES,
        discard=DiscardPolicy.OLD,
        duplicate_window=DUPLICATE_WINDOW_S,
        max_msg_size=MAX_MESSAGE_BYTES,
        deny_delete=True,
        deny_purge=True,
        num_replicas=replicas,
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

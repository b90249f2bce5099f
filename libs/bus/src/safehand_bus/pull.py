"""Reading a durable pull consumer: one standing request, every batch handed on as it arrives.

The library's ``fetch(n)`` waits for all of n or for its timeout; an event must leave at once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from nats.aio.msg import Msg

from safehand_bus.connection import Connection, LostError

BATCH: Final = 64
EXPIRES_S: Final = 30.0
"""A standing request is renewed this often."""
HEARTBEAT_S: Final = 2.0
"""The server says that the request still stands; two missed ones mean that it does not."""
RUSH: Final = 16
"""So many batches without a pause between them are a rush."""
PAUSE_S: Final = 0.003
"""A wait for the next message that ends a rush."""
GATHER_S: Final = 0.02
"""In a rush, messages are gathered for this long: one commit for many costs its reader, and the
machine that it shares, far less than one each. A single event never waits."""
_NANO: Final = 1_000_000_000
_ACKNOWLEDGED: Final = "$JS.ACK."
_HEARTBEAT: Final = "100"
_EXPIRED: Final = frozenset({"404", "408"})

Handler = Callable[[Sequence[Msg]], Awaitable[None]]
"""Handles a batch and acknowledges each message of it."""


class StalledError(Exception):
    """The consumer is gone, or the server forgot the request."""


async def pull(
    connection: Connection,
    stream: str,
    durable: str,
    handle: Handler,
    stopping: asyncio.Event,
    *,
    alive: Callable[[], None] = lambda: None,
    quiet: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Hand messages of one consumer to ``handle`` until ``stopping``; raises when it cannot.

    ``alive`` is called for whatever the server sends: the request stands. ``quiet`` is called
    where that was no message: the server has none to send now.
    """
    queue: asyncio.Queue[Msg] = asyncio.Queue()
    reply = connection.client.new_inbox()
    subscription = await connection.client.subscribe(reply, cb=queue.put)
    request = json.dumps(
        {
            "batch": BATCH,
            "expires": int(EXPIRES_S * _NANO),
            "idle_heartbeat": int(HEARTBEAT_S * _NANO),
        }
    ).encode()
    target = f"{connection.api}.CONSUMER.MSG.NEXT.{stream}.{durable}"
    ended = asyncio.ensure_future(_first(stopping, connection.lost))
    clock = asyncio.get_running_loop().time
    left = rush = 0
    try:
        while not ended.done():
            if rush >= RUSH:
                await asyncio.wait({ended}, timeout=GATHER_S)
            if left <= 0:
                await connection.client.publish(target, request, reply=reply)
                left = BATCH
            asked = clock()
            batch = await _next(queue, ended)
            rush = rush + 1 if clock() - asked < PAUSE_S else 0
            if batch:
                alive()
            messages = [message for message in batch if not _status(message)]
            left -= len(messages)
            for message in batch:
                if _status(message) not in ("", _HEARTBEAT):
                    if _status(message) not in _EXPIRED:
                        raise StalledError
                    left = 0
            if messages:
                await handle(messages)
            elif batch and quiet is not None:
                await quiet()
        if not stopping.is_set():
            raise LostError
    finally:
        ended.cancel()
        if connection.client.is_connected:
            await subscription.unsubscribe()


async def _first(*events: asyncio.Event) -> None:
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _next(queue: asyncio.Queue[Msg], ended: asyncio.Future[None]) -> list[Msg]:
    """What has arrived, at least one message, or nothing when it is over."""
    if queue.empty():
        getting = asyncio.ensure_future(queue.get())
        waited: set[asyncio.Future[Any]] = {getting, ended}
        await asyncio.wait(waited, timeout=2.5 * HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
        if not getting.done():
            getting.cancel()
            if ended.done():
                return []
            raise StalledError
        batch = [getting.result()]
    else:
        batch = []
    while not queue.empty():
        batch.append(queue.get_nowait())
    return batch


def _status(message: Msg) -> str:
    """The status code of a control message; "" for a message of the stream, whatever its headers
    say: only that one is to be acknowledged."""
    if message.reply.startswith(_ACKNOWLEDGED):
        return ""
    return (message.headers or {}).get("Status", "")

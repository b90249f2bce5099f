"""A connection that lives until it breaks, and a loop that makes the next one.

The client library's own reconnecting is switched off: what a dead connection had queued would be
sent late, and its subscriptions outlive what they waited for. Here a broken connection ends its
session, everything of it is dropped, and a session starts again from what the database and the
stream say.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nats.aio.client import Client
from nats.js import JetStreamContext
from safehand_core import logs

from safehand_bus import auth, topology

CONNECT_TIMEOUT_S: Final = 2
REQUEST_TIMEOUT_S: Final = 5.0
"""Longest wait for one answer of the server, a publish acknowledgement included."""
PING_INTERVAL_S: Final = 5
"""A peer that vanished without closing is noticed after two of these, in seconds."""
FIRST_DELAY_S: Final = 0.1
LAST_DELAY_S: Final = 2.0
"""Back-off between sessions doubles between these: an outage ends within two seconds of its end."""

Counters = Counter[str]
"""What happened, by name; only for one event loop."""


class LostError(Exception):
    """The connection is gone; the session is over."""


@dataclass(frozen=True, slots=True)
class NatsLink:
    """How a service reaches the bus.

    Attributes:
        url: ``nats://host:port``.
        user: one of ``topology.USERS``; names the reply subjects too.
        seed_file: the user's nkey seed; None for a server without authentication (tests).
    """

    url: str
    user: str
    seed_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """An open connection; ``lost`` is set when it breaks."""

    client: Client
    js: JetStreamContext
    lost: asyncio.Event


@contextlib.asynccontextmanager
async def connect(link: NatsLink, counters: Counters) -> AsyncIterator[Connection]:
    """Connect once, as ``link.user``; raises what the client raises where that fails."""
    lost = asyncio.Event()

    async def on_error(error: Exception) -> None:
        # A refused publish or subscription is only seen here: count it, or it is a mystery.
        counters["errors"] += 1
        logs.get().warning("bus.error", exception=type(error).__name__)

    async def on_closed() -> None:
        lost.set()

    client = Client()
    try:
        await client.connect(
            servers=[link.url],
            name=f"safehand-{link.user}",
            allow_reconnect=False,
            max_reconnect_attempts=0,
            connect_timeout=CONNECT_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            error_cb=on_error,
            closed_cb=on_closed,
            inbox_prefix=topology.inbox_prefix(link.user),
            nkeys_seed_str=auth.read_seed(link.seed_file) if link.seed_file else None,
        )
    except BaseException:
        await _release(client)
        raise
    try:
        yield Connection(client, client.jetstream(timeout=REQUEST_TIMEOUT_S), lost)
    finally:
        with contextlib.suppress(Exception):
            await client.close()


async def _release(client: Client) -> None:
    """Close the socket of a connection that did not come to be; the library leaves it open."""
    transport = getattr(client, "_transport", None)
    if transport:
        with contextlib.suppress(Exception):
            transport.close()
            await transport.wait_closed()


async def keep_running(
    link: NatsLink,
    session: Callable[[Connection], Awaitable[None]],
    stopping: asyncio.Event,
    counters: Counters,
) -> None:
    """Run ``session`` on one connection after another until ``stopping``. It never gives up.

    A session ends by returning (it was told to stop) or by raising; then the next one starts
    after a back-off.
    """
    delay = FIRST_DELAY_S
    while not stopping.is_set():
        begun = asyncio.get_running_loop().time()
        try:
            async with connect(link, counters) as connection:
                await session(connection)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            counters["sessions_failed"] += 1
            if asyncio.get_running_loop().time() - begun > LAST_DELAY_S:
                delay = FIRST_DELAY_S
            logs.get().warning("bus.session_failed", exception=type(error).__name__, delay_s=delay)
            await wait_any(stopping, timeout_s=delay)
            delay = min(delay * 2, LAST_DELAY_S)


async def wait_any(*events: asyncio.Event, timeout_s: float) -> None:
    """Return when one of ``events`` is set, or after ``timeout_s`` seconds."""
    if any(event.is_set() for event in events):
        return
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

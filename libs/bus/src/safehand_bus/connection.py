"""A connection that lives until it breaks, and a loop that makes the next one.

The client library's own reconnecting is switched off: what a dead connection had queued would be
sent late, and its subscriptions outlive what they waited for. Here a broken connection ends its
session, everything of it is dropped, and a session starts again from what the database and the
stream say.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from nats.aio.client import Client
from nats.js import JetStreamContext
from safehand_core import logs
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_bus import auth, topology
from safehand_bus.backoff import Backoff
from safehand_bus.link import NatsLink

CONNECT_TIMEOUT_S: Final = 2
REQUEST_TIMEOUT_S: Final = 5.0
"""Longest wait for one answer of the server, a publish acknowledgement included."""
PING_INTERVAL_S: Final = 5
"""A peer that vanished without closing is noticed after two of these, in seconds."""
STABLE_S: Final = 2.0
"""A session that lived for so many seconds was a good one: the next wait is a first one."""

Counters = Counter[str]
"""What happened, by name; only for one event loop."""


class _HalfClosed(logging.Filter):
    """Drops what asyncio says at the end of each of the library's TLS connections: that they
    cannot be half closed. Nobody wants that."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "eof_received" not in str(record.msg)


_HALF_CLOSED: Final = _HalfClosed()


class LostError(Exception):
    """The connection is gone; the session is over."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An open connection; ``lost`` is set when it breaks."""

    client: Client
    js: JetStreamContext
    lost: asyncio.Event
    api: str = topology.API
    """What the subjects of requests about streams begin with for this user."""


@contextlib.asynccontextmanager
async def connect(link: NatsLink, counters: Counters) -> AsyncIterator[Connection]:
    """Connect once, as ``link.user``; raises what the client raises where that fails."""
    lost, closing = asyncio.Event(), False

    async def on_error(error: Exception) -> None:
        if closing:
            return  # what TLS says of a connection that is being closed is nobody's trouble
        # A refused publish or subscription is only seen here: count it, or it is a mystery.
        counters["errors"] += 1
        logs.get().warning("bus.error", exception=type(error).__name__)

    async def on_closed() -> None:
        lost.set()

    logging.getLogger("asyncio").addFilter(_HALF_CLOSED)
    client = Client()
    try:
        await client.connect(
            servers=[link.url],
            name=f"safehand-{link.user}",
            allow_reconnect=False,
            # For the first connection too; 0 would try for ever, on waits of the library's own.
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=CONNECT_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            error_cb=on_error,
            closed_cb=on_closed,
            inbox_prefix=topology.inbox_prefix(link.user),
            nkeys_seed_str=auth.read_seed(link.seed_file) if link.seed_file else None,
            **_tls(link),
        )
    except BaseException:
        await _release(client)
        raise
    try:
        api = _api(link)
        js = client.jetstream(timeout=REQUEST_TIMEOUT_S, prefix=api)
        yield Connection(client, js, lost, api)
    finally:
        closing = True
        with contextlib.suppress(Exception):
            await client.close()


def _api(link: NatsLink) -> str:
    """Without keys there are no accounts: everybody shares the one of the streams."""
    shares = link.seed_file is None or link.user == topology.PROVISIONER
    return topology.API if shares else topology.IMPORTED_API


def _tls(link: NatsLink) -> dict[str, Any]:
    """The client's options for TLS; the files are read again for every connection."""
    if not link.secure:
        return {}
    if link.tls is None:
        raise SafehandError(Reason.CONFIG_INVALID, "the bus needs TLS, and there is no certificate")
    return {
        "tls": link.tls.context(),
        "tls_hostname": link.tls.server_name,
        "tls_handshake_first": True,
    }


async def _release(client: Client) -> None:
    """Close the socket of a connection that did not come to be; the library leaves it open.

    Aborted and not closed: after a handshake that failed, a close would be waited for without end.
    """
    transport = getattr(client, "_transport", None)
    for name in ("_io_writer", "_bare_io_writer"):
        writer = getattr(transport, name, None)
        if writer is not None:
            with contextlib.suppress(Exception):
                writer.transport.abort()
    await asyncio.sleep(0)  # the loop closes it on its next round


async def keep_running(
    link: NatsLink,
    session: Callable[[Connection], Awaitable[None]],
    stopping: asyncio.Event,
    counters: Counters,
    *,
    backoff: Backoff | None = None,
    failed: Callable[[], None] = lambda: None,
) -> None:
    """Run ``session`` on one connection after another until ``stopping``. It never gives up.

    A session ends by returning (it was told to stop) or by raising, whatever that is; then
    ``failed`` is told, and the next one starts after a wait.
    """
    backoff = backoff or Backoff()
    while not stopping.is_set():
        begun = asyncio.get_running_loop().time()
        try:
            async with connect(link, counters) as connection:
                await session(connection)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            counters["sessions_failed"] += 1
            failed()
            if asyncio.get_running_loop().time() - begun > STABLE_S:
                backoff.reset()
            delay = backoff.next()
            logs.get().warning(
                "bus.session_failed", exception=type(error).__name__, delay_s=round(delay, 3)
            )
            await wait_any(stopping, timeout_s=delay)


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

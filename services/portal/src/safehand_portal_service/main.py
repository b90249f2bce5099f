"""``python -m safehand_portal_service api``."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence

import uvloop
from safehand_core import logs, process
from safehand_core.clock import SystemClock
from safehand_core.entropy import SystemEntropy
from safehand_rpc.observe import observed

from safehand_portal_service import app
from safehand_portal_service.settings import PortalSettings


def api(settings: PortalSettings) -> None:
    """Serve until SIGTERM or SIGINT; one line on stdout says where."""
    clock = SystemClock()
    with observed(settings, "api", clock):
        made = app.build(settings, clock=clock, entropy=SystemEntropy())
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(made))


async def _serve(made: app.App) -> None:
    server = made.bound()

    def serving() -> None:
        print(json.dumps({"event": "serving", "port": made.port}), flush=True)
        logs.get().info("server.started", port=made.port)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    await made.run(serving, server)
    logs.get().info("server.stopped")


PROCESSES = {"api": api}


def main(arguments: Sequence[str] | None = None) -> int:
    """Be the process that the one argument names; returns the exit code."""
    return process.run(PortalSettings, PROCESSES, arguments)

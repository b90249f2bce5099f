"""``python -m safehand_notify_service api|migrate``."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence

from safehand_core import logs, process
from safehand_core.clock import SystemClock
from safehand_core.entropy import SystemEntropy
from safehand_core.keystore import make_private_dir

from safehand_notify_service import app
from safehand_notify_service.settings import NotifySettings


def api(settings: NotifySettings) -> None:
    """Serve until SIGTERM or SIGINT; one line on stdout says where."""
    made = app.build(settings, clock=SystemClock(), entropy=SystemEntropy())

    def serving() -> None:
        print(json.dumps({"event": "serving", "port": made.port}), flush=True)
        logs.get().info("server.started", port=made.port)

    async def serve() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        await made.run(stopping, serving)
        logs.get().info("server.stopped")

    asyncio.run(serve())


def migrate(settings: NotifySettings) -> None:
    """Bring the database to the newest schema, and end."""
    make_private_dir(settings.data_dir)
    app.open_database(settings).dispose()


PROCESSES = {"api": api, "migrate": migrate}


def main(arguments: Sequence[str] | None = None) -> int:
    """Be the process that the one argument names; returns the exit code."""
    return process.run(NotifySettings, PROCESSES, arguments)

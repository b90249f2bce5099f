"""``python -m safehand_notify_service api|migrate``."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Sequence

from safehand_core import logs
from safehand_core.clock import SystemClock
from safehand_core.entropy import SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.keystore import make_private_dir

from safehand_notify_service import app
from safehand_notify_service.settings import NotifySettings

EXIT_USAGE = 64
"""The command line names no process of this service (sysexits.h EX_USAGE)."""
EXIT_CONFIG = 78
"""A setting, a key or the database is not as it must be (sysexits.h EX_CONFIG)."""


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
    given = sys.argv[1:] if arguments is None else list(arguments)
    if len(given) != 1 or given[0] not in PROCESSES:
        print(f"usage: python -m safehand_notify_service {'|'.join(PROCESSES)}", file=sys.stderr)
        return EXIT_USAGE
    logs.configure(NotifySettings.service, process=given[0])
    try:
        PROCESSES[given[0]](NotifySettings.load())
    except SafehandError as error:
        named = error.metadata.get("settings", "")
        text = ": ".join(filter(None, (error.message, named)))
        print(f"{error.reason.value}: {text}; {error.fix}", file=sys.stderr)
        return EXIT_CONFIG
    return 0

"""``python -m safehand_notify_service api|migrate``."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from typing import ClassVar

from safehand_core import logs, process
from safehand_core.clock import SystemClock
from safehand_core.entropy import SystemEntropy
from safehand_core.keystore import make_private_dir
from safehand_rpc.observe import observed
from safehand_store import schema
from safehand_telemetry import tracing
from safehand_telemetry.gauges import watch
from sqlalchemy import event

from safehand_notify_service import app, measures
from safehand_notify_service.settings import NotifySettings
from safehand_notify_service.tables import METADATA


def api(settings: NotifySettings) -> None:
    """Serve until SIGTERM or SIGINT; one line on stdout says where."""
    clock = SystemClock()
    with observed(settings, "api", clock):
        made = app.build(settings, clock=clock, entropy=SystemEntropy())
        tracing.watch_database(made.engine, event.listen)
        counters = {name: consumer.counters for name, consumer in made.consumers.items()}
        watch("notify", clock, measures.gauges(made.engine, made.hub, clock, counters))
        asyncio.run(_serve(made))


async def _serve(made: app.App) -> None:
    def serving() -> None:
        print(json.dumps({"event": "serving", "port": made.port}), flush=True)
        logs.get().info("server.started", port=made.port)

    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await made.run(stopping, serving)
    logs.get().info("server.stopped")


def migrate(settings: NotifySettings) -> None:
    """Bring the database to the newest schema where the service does that itself, and end."""
    make_private_dir(settings.data_dir)
    app.open_database(settings).dispose()


class _Schema(schema.SchemaSettings):
    service: ClassVar[str] = "notify"


def _schema(settings: _Schema) -> None:
    schema.run(settings, app.MIGRATIONS, METADATA)


PROCESSES = {"api": api, "migrate": migrate}


def main(arguments: Sequence[str] | None = None) -> int:
    """Be the process that the one argument names; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given == [schema.PROCESS]:
        return process.run(_Schema, {schema.PROCESS: _schema}, given)
    return process.run(NotifySettings, PROCESSES, given)

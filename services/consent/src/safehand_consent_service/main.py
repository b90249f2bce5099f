"""``python -m safehand_consent_service api|worker|migrate``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import ClassVar

from safehand_core import memory, process
from safehand_core.clock import SystemClock
from safehand_core.entropy import SystemEntropy
from safehand_core.keystore import make_private_dir
from safehand_rpc.observe import observed
from safehand_rpc.server import serve_until_signal
from safehand_store import schema
from safehand_telemetry import tracing
from safehand_telemetry.gauges import watch
from sqlalchemy import event

from safehand_consent_service import app, measures, worker
from safehand_consent_service.settings import ConsentSettings
from safehand_consent_service.standby import Standby, elect_patiently
from safehand_consent_service.tables import METADATA


def api(settings: ConsentSettings) -> None:
    """Serve until SIGTERM or SIGINT; one line on stdout says where."""
    memory.give_back_large()
    clock = SystemClock()
    with observed(settings, "api", clock):
        made = app.build(settings, clock=clock, entropy=SystemEntropy())
        tracing.watch_database(made.context.engine, event.listen)

        def ready() -> None:
            port = made.prepare()
            watch("consent", clock, measures.gauges(made.context))
            print(json.dumps({"event": "serving", "port": port}), flush=True)

        if made.can_stand_by and not elect_patiently(made):
            _stand_by(made, ready)
        else:
            ready()
            serve_until_signal(made.server, on_drain=made.close)


def _stand_by(made: app.App, ready: Callable[[], None]) -> None:
    """Wait for the process that writes the ledger to end, and go on in its place."""

    def take_over() -> None:
        ready()
        made.server.serve()

    standby = Standby(made, take_over)
    print(json.dumps({"event": "standing_by", "port": made.server.port}), flush=True)
    standby.start()

    def close() -> None:
        standby.stop()
        made.close()

    serve_until_signal(made.server, on_drain=close, standing_by=True)
    if standby.error is not None:
        raise standby.error


def migrate(settings: ConsentSettings) -> None:
    """Bring the database to the newest schema where the service does that itself, and end."""
    make_private_dir(settings.data_dir)
    app.open_database(settings).dispose()


class _Schema(schema.SchemaSettings):
    service: ClassVar[str] = "consent"


def _schema(settings: _Schema) -> None:
    schema.run(settings, app.MIGRATIONS, METADATA)


PROCESSES = {"api": api, "worker": worker.run, "migrate": migrate}


def main(arguments: Sequence[str] | None = None) -> int:
    """Be the process that the one argument names; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given == [schema.PROCESS]:
        return process.run(_Schema, {schema.PROCESS: _schema}, given)
    return process.run(ConsentSettings, PROCESSES, given)

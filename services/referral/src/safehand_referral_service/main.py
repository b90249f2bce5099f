"""``python -m safehand_referral_service api|worker|migrate``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import ClassVar

from safehand_core import process
from safehand_core.clock import SystemClock
from safehand_core.entropy import SystemEntropy
from safehand_core.keystore import make_private_dir
from safehand_rpc.observe import observed
from safehand_rpc.server import serve_until_signal
from safehand_store import schema
from safehand_telemetry import tracing
from safehand_telemetry.gauges import watch
from sqlalchemy import event

from safehand_referral_service import app, measures, worker
from safehand_referral_service.settings import ReferralSettings
from safehand_referral_service.tables import METADATA


def api(settings: ReferralSettings) -> None:
    """Serve until SIGTERM or SIGINT; one line on stdout says where."""
    clock = SystemClock()
    with observed(settings, "api", clock):
        made = app.build(settings, clock=clock, entropy=SystemEntropy())
        port = made.prepare()
        tracing.watch_database(made.context.engine, event.listen)
        watch("referral", clock, measures.gauges(made.context, made.follower))
        print(json.dumps({"event": "serving", "port": port}), flush=True)
        serve_until_signal(made.server, on_drain=made.close)


def migrate(settings: ReferralSettings) -> None:
    """Bring the database to the newest schema where the service does that itself, and end."""
    make_private_dir(settings.data_dir)
    app.open_database(settings).dispose()


class _Schema(schema.SchemaSettings):
    service: ClassVar[str] = "referral"


def _schema(settings: _Schema) -> None:
    schema.run(settings, app.MIGRATIONS, METADATA)


PROCESSES = {"api": api, "worker": worker.run, "migrate": migrate}


def main(arguments: Sequence[str] | None = None) -> int:
    """Be the process that the one argument names; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given == [schema.PROCESS]:
        return process.run(_Schema, {schema.PROCESS: _schema}, given)
    return process.run(ReferralSettings, PROCESSES, given)

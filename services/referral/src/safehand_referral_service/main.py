"""``python -m safehand_referral_service api|worker|migrate``."""

from __future__ import annotations

import json
from collections.abc import Sequence

from safehand_core import process
from safehand_core.clock import SystemClock
from safehand_core.entropy import SystemEntropy
from safehand_core.keystore import make_private_dir
from safehand_rpc.server import serve_until_signal

from safehand_referral_service import app, worker
from safehand_referral_service.settings import ReferralSettings


def api(settings: ReferralSettings) -> None:
    """Serve until SIGTERM or SIGINT; one line on stdout says where."""
    made = app.build(settings, clock=SystemClock(), entropy=SystemEntropy())
    port = made.prepare()
    print(json.dumps({"event": "serving", "port": port}), flush=True)
    serve_until_signal(made.server, on_drain=made.close)


def migrate(settings: ReferralSettings) -> None:
    """Bring the database to the newest schema, and end."""
    make_private_dir(settings.data_dir)
    app.open_database(settings).dispose()


PROCESSES = {"api": api, "worker": worker.run, "migrate": migrate}


def main(arguments: Sequence[str] | None = None) -> int:
    """Be the process that the one argument names; returns the exit code."""
    return process.run(ReferralSettings, PROCESSES, arguments)

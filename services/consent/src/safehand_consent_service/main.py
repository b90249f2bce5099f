"""``python -m safehand_consent_service api|worker|migrate``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from safehand_core import logs
from safehand_core.clock import SystemClock
from safehand_core.entropy import SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.keystore import make_private_dir
from safehand_rpc.server import serve_until_signal

from safehand_consent_service import app, worker
from safehand_consent_service.settings import ConsentSettings

EXIT_USAGE = 64
"""The command line names no process of this service (sysexits.h EX_USAGE)."""
EXIT_CONFIG = 78
"""A setting, a key or the database is not as it must be (sysexits.h EX_CONFIG)."""


def api(settings: ConsentSettings) -> None:
    """Serve until SIGTERM or SIGINT; one line on stdout says where."""
    made = app.build(settings, clock=SystemClock(), entropy=SystemEntropy())
    port = made.prepare()
    print(json.dumps({"event": "serving", "port": port}), flush=True)
    serve_until_signal(made.server, on_drain=made.close)


def migrate(settings: ConsentSettings) -> None:
    """Bring the database to the newest schema, and end."""
    make_private_dir(settings.data_dir)
    app.open_database(settings).dispose()


PROCESSES = {"api": api, "worker": worker.run, "migrate": migrate}


def main(arguments: Sequence[str] | None = None) -> int:
    """Be the process that the one argument names; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if len(given) != 1 or given[0] not in PROCESSES:
        print(f"usage: python -m safehand_consent_service {'|'.join(PROCESSES)}", file=sys.stderr)
        return EXIT_USAGE
    logs.configure(ConsentSettings.service, process=given[0])
    try:
        PROCESSES[given[0]](ConsentSettings.load())
    except SafehandError as error:
        named = error.metadata.get("settings", "")
        text = ": ".join(filter(None, (error.message, named)))
        print(f"{error.reason.value}: {text}; {error.fix}", file=sys.stderr)
        return EXIT_CONFIG
    return 0

"""What ``python -m <service> <process>`` does before and after its one job."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from safehand_core import logs
from safehand_core.errors import SafehandError
from safehand_core.settings import ServiceSettings

S = TypeVar("S", bound=ServiceSettings)

EXIT_USAGE: Final = 64
"""The command line names no process of this service (sysexits.h EX_USAGE)."""
EXIT_CONFIG: Final = 78
"""A setting, a key or the database is not as it must be (sysexits.h EX_CONFIG)."""


def run(
    settings: type[S],
    processes: Mapping[str, Callable[[S], None]],
    arguments: Sequence[str] | None = None,
) -> int:
    """Be the process that the one argument names; returns the exit code.

    A refusal at the start goes to stderr as one line: reason, message, names of settings, fix.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    if len(given) != 1 or given[0] not in processes:
        package = f"safehand_{settings.service}_service"
        print(f"usage: python -m {package} {'|'.join(processes)}", file=sys.stderr)
        return EXIT_USAGE
    logs.configure(settings.service, process=given[0])
    try:
        processes[given[0]](settings.load())
    except SafehandError as error:
        named = error.metadata.get("settings", "")
        text = ": ".join(filter(None, (error.message, named)))
        print(f"{error.reason.value}: {text}; {error.fix}", file=sys.stderr)
        return EXIT_CONFIG
    return 0

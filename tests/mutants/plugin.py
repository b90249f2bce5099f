"""Inside the pytest of one mutant: what failed, where, and whose code was imported.

``MUTANTS_TREE`` is the copy, ``MUTANTS_REPORT`` the JSON file to write.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.mutants.tree import packages

_failures: list[dict[str, str]] = []

_LOCATE = """
import importlib.util, sys
for name in sys.argv[1:]:
    found = importlib.util.find_spec(name)
    print((found.origin or list(found.submodule_search_locations)[0]) if found else "")
"""


def _tree() -> Path:
    return Path(os.environ["MUTANTS_TREE"])


def _first_location(name: str) -> str:
    """Where ``name`` is imported from; of a package without __init__ the first portion wins."""
    found = importlib.util.find_spec(name)
    return next(iter(found.submodule_search_locations or ()), "") if found else ""


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to run anything unless the copy wins, here and in a process that a test starts."""
    names = packages(_tree())
    here = [_first_location(name) for name in names]
    child = subprocess.run(
        [sys.executable, "-c", _LOCATE, *names], check=True, capture_output=True, text=True
    )
    for name, *places in zip(names, here, child.stdout.splitlines(), strict=True):
        for place in places:
            if not Path(place).is_relative_to(_tree()):
                raise pytest.UsageError(f"{name} would be imported from {place}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Keep what went wrong, and in which phase."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and call.excinfo is not None:
        _failures.append(
            {
                "test": item.nodeid,
                "phase": report.when,
                "type": call.excinfo.type.__name__,
                "message": str(call.excinfo.value).split("\n", 1)[0][:200],
            }
        )


def pytest_sessionfinish() -> None:
    """Write the report."""
    imported = {
        str(getattr(module, "__file__", None) or "")
        for name, module in list(sys.modules.items())
        if name.split(".", 1)[0].startswith("safehand")
    }
    strangers = sorted(f for f in imported if f and not Path(f).is_relative_to(_tree()))
    Path(os.environ["MUTANTS_REPORT"]).write_text(
        json.dumps({"failures": _failures, "imported": sorted(imported), "strangers": strangers})
    )

"""One pytest run against one copy of the sources, and what it says about a guard."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from tests.mutants import tree
from tests.mutants.guard import ROOT, Guard, StaleError
from tests.mutants.tree import Mutated

TEST_TIMEOUT_S: Final = 90
"""For one test: far above what each of them takes on a busy machine."""
RUN_TIMEOUT_S: Final = 600
"""For one pytest process."""
OWN_FAULTS: Final = frozenset(
    {"NameError", "UnboundLocalError", "ImportError", "ModuleNotFoundError", "SyntaxError"}
)
"""A mutant that fails like this is no program: it says nothing about the guard."""


class Verdict(StrEnum):
    """What became of a mutant."""

    RED = "red"
    SURVIVED = "NOT PROTECTED"
    BROKEN = "BROKEN MUTANT"


@dataclass(frozen=True, slots=True)
class Run:
    """One pytest process. ``status`` is its exit code, or None when it took too long."""

    status: int | None
    seconds: float
    output: str
    failures: list[dict[str, str]] = field(default_factory=list)
    imported: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Result:
    """The verdict on one guard. ``evidence``: the failing test, or what went wrong."""

    guard: Guard
    verdict: Verdict
    evidence: str
    seconds: float
    output: str = ""


def pytest_run(nodes: Sequence[str], copy: Path, scratch: Path, *options: str) -> Run:
    """Run ``nodes`` of the repository's tests against the sources under ``copy``."""
    scratch.mkdir(parents=True, exist_ok=True)
    report = scratch / "report.json"
    report.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "tests.mutants.plugin",
        "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=short", f"--timeout={TEST_TIMEOUT_S}",
        f"--basetemp={scratch / 'tmp'}", *options, *nodes,
    ]  # fmt: skip
    environment = {
        **tree.environment(copy, scratch),
        "MUTANTS_TREE": str(copy),
        "MUTANTS_REPORT": str(report),
    }
    started = time.monotonic()
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return Run(None, time.monotonic() - started, "the run took too long")
    seconds = time.monotonic() - started
    output = done.stdout + done.stderr
    if not report.is_file():
        return Run(done.returncode, seconds, output)
    found = json.loads(report.read_text())
    return Run(
        done.returncode, seconds, output, found["failures"], found["imported"], found["strangers"]
    )


def unmutated(guards: Sequence[Guard], copy: Path, scratch: Path) -> str:
    """Run every killer once against an unchanged copy; empty, or why they prove nothing."""
    nodes = sorted({guard.test for guard in guards})
    run = pytest_run(nodes, copy, scratch)
    if run.strangers:
        return "code was imported from outside of the copy:\n" + "\n".join(run.strangers)
    return "" if run.status == 0 else run.output


def try_guard(guard: Guard, copy: Path, scratch: Path) -> Result:
    """Switch ``guard`` off in ``copy``, run its test, and put everything back."""
    try:
        with Mutated(copy, guard.edits):
            run = pytest_run([guard.test], copy, scratch, "-x")
    except StaleError as error:
        return Result(guard, Verdict.BROKEN, str(error), 0.0)
    verdict, evidence = judge(guard, run, copy)
    return Result(guard, verdict, evidence, run.seconds, run.output)


def judge(guard: Guard, run: Run, copy: Path) -> tuple[Verdict, str]:
    """Only a test that ran, on the mutated code, and failed in its own body proves a guard."""
    if run.status == 0:
        return Verdict.SURVIVED, guard.test
    if run.status != 1:
        return Verdict.BROKEN, f"pytest ended with {run.status}"
    if not run.imported:
        return Verdict.BROKEN, "pytest did not come as far as to report"
    if run.strangers:
        return Verdict.BROKEN, f"imported from elsewhere: {run.strangers[0]}"
    missing = [e.file for e in guard.edits if str(copy / e.file) not in run.imported]
    if missing:
        return Verdict.BROKEN, f"the test never imported {missing[0]}"
    if not run.failures:
        return Verdict.BROKEN, "no failing test was reported"
    first = run.failures[0]
    if first["phase"] == "setup" or first["type"] in OWN_FAULTS:
        return Verdict.BROKEN, f"{first['phase']}: {first['type']}: {first['message']}"
    if "Timeout" in first["message"]:
        return Verdict.BROKEN, "the test ran into its time limit"
    return Verdict.RED, first["test"]

"""How the story looks in a terminal: plain words, one step after another, its evidence below."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import typer

from safehand_cli.story import Step
from safehand_cli.system import System


def processes(system: System) -> str:
    """One line for each process: pid, executable and module, as the operating system tells them."""
    return "\n".join(
        f"  {name:<16} pid {pid:>7}  {_executable(pid)}"
        for name in system.supervisor.names()
        for pid in (system.supervisor.pid(name),)
    )


def _executable(pid: int) -> str:
    try:
        # The running file is gone from its place after an upgrade: the kernel says "(deleted)".
        path = Path(f"/proc/{pid}/exe").readlink()
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "not running"
    module = " ".join(words[1:4]) if len(words) > 2 and words[1] == "-m" else ""
    return f"{path} {module}".strip()


class StoryPrinter:
    """Prints as things happen. Colour only on a terminal, and never where NO_COLOR is set."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._number = 0
        self._began = time.monotonic()

    def progress(self, text: str) -> None:
        if not self._quiet:
            typer.secho(f"  · {text}", dim=True)

    def heading(self, title: str, body: str) -> None:
        if not self._quiet:
            typer.echo()
            typer.secho(title, bold=True)
            typer.echo(body)

    def begin(self, began: float) -> None:
        self._began = began
        self.heading("the story", "  every person, place and number in it is a TEST")

    def step(self, step: Step, evidence: str) -> None:
        if self._quiet:
            return
        self._number += 1
        refused = step.index < 0 and step.result not in ("DONE", "ACCEPTED")
        mark, colour = ("■", typer.colors.BLUE) if refused else ("✓", typer.colors.GREEN)
        where = f"ledger entry {step.index}: {step.result}" if step.index >= 0 else step.result
        if refused:
            where = f"refused, as it must be: {step.result}"
        typer.echo(f"\n{self._number:>3}. {step.tried}")
        typer.secho(f"     {mark} {where}", fg=colour)
        typer.secho(f"       {evidence}", dim=True)
        if step.name == "refer":
            took = time.monotonic() - self._began
            typer.secho(f"       first referral routed {took:.1f} s after the command", dim=True)

    def result(self, steps: Sequence[Step]) -> None:
        if self._quiet:
            import json
            from dataclasses import asdict

            typer.echo(json.dumps([asdict(step) for step in steps], sort_keys=True))
            return
        entries = sum(step.index >= 0 for step in steps)
        typer.echo()
        typer.secho(
            f"every step held: {len(steps)} steps, {entries} of them ledger entries", bold=True
        )

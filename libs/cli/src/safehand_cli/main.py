"""The ``safehand`` command line."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from safehand_cli.context import CURRENT, DEFAULT_DIR

COMMANDS: Final = {
    "up": "Start the sandbox; with --story play the guided story.",
    "directory": "Services and packages of them.",
    "agency": "Keys, fingerprints, sharing protocols.",
    "subject": "Paper cards.",
    "consent": "Grant, stop, resume, see, check (--as her).",
    "slip": "What she keeps: plain words and a check code.",
    "explain": "Why something is allowed or refused, rule by rule.",
    "referral": "Send, fetch, open, answer.",
    "listen": "Follow our events: ids and types only.",
    "stops": "Agencies that have not acknowledged a stop (--as notify).",
    "bus": "Dead letters and replay (--as notify, consent, referral).",
    "keys": "Consent's keys and clock (--as consent); our recipient keys (--as an agency).",
    "ledger": "Check everything, offline.",
    "database": "PostgreSQL: schema and roles.",
}
"""Each lives in the module ``commands_<name>``, imported when it is called: a check of files
should not wait for a network stack."""


class Lazy(TyperGroup):
    """Looks a command up by name and imports only its module."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"safehand_cli.commands_{cmd_name}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        command.short_help = COMMANDS[cmd_name]
        return command


app = typer.Typer(
    name="safehand",
    help="Refer a survivor from one agency to another, with her consent as the only key.",
    cls=Lazy,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def options(
    as_party: Annotated[
        str, typer.Option("--as", help="Whose keys to use: a folder under DIR/parties.")
    ] = "",
    directory: Annotated[
        Path | None,
        typer.Option("--dir", help="The sandbox folder; default $SAFEHAND_DIR or ./run."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Options that come before every command."""
    CURRENT.party = as_party
    CURRENT.root = directory or Path(os.environ.get("SAFEHAND_DIR", DEFAULT_DIR))
    CURRENT.json = as_json


if __name__ == "__main__":
    app()

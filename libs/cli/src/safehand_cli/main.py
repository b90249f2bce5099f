"""The ``safehand`` command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from safehand_cli import (
    commands_agency,
    commands_consent,
    commands_directory,
    commands_keys,
    commands_ledger,
    commands_referral,
    commands_subject,
    commands_up,
)
from safehand_cli.context import CURRENT, DEFAULT_DIR

app = typer.Typer(
    name="safehand",
    help="Refer a survivor from one agency to another, with her consent as the only key.",
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


app.add_typer(commands_agency.app, name="agency", help="Keys, fingerprints, sharing protocols.")
app.add_typer(commands_subject.app, name="subject", help="Paper cards.")
app.add_typer(commands_consent.app, name="consent", help="Grant, stop, resume, see, check.")
app.add_typer(commands_referral.app, name="referral", help="Send, fetch, open, answer.")
app.add_typer(commands_directory.app, name="directory", help="Services and packages of them.")
app.add_typer(commands_keys.app, name="keys", help="Release keys and the clock.")
app.add_typer(commands_ledger.app, name="ledger", help="Check everything, offline.")
app.command("up")(commands_up.up)
app.command("listen")(commands_referral.listen)


if __name__ == "__main__":
    app()

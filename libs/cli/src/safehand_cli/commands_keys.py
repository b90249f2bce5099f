"""``safehand --as consent keys``: the release key and the clock."""

from __future__ import annotations

import typer

from safehand_cli import context
from safehand_cli.context import command, emit

app = typer.Typer(no_args_is_help=True)


@app.command()
@command
def roll() -> None:
    """Replace the release KEK, wrap the live keys again, destroy the old one."""
    answer = context.operator().roll_keys()
    emit(
        {"epoch": answer.epoch, "rewrapped": answer.rewrapped},
        f"epoch {answer.epoch}: {answer.rewrapped} live keys wrapped again, the old KEK is gone",
    )


@app.command("confirm-clock")
@command
def confirm_clock() -> None:
    """Say that this machine's clock is right, after CLOCK_SUSPECT."""
    answer = context.operator().confirm_clock()
    emit(
        {"ledger_now": answer.ledger_now.seconds},
        f"the ledger's time is {answer.ledger_now.ToDatetime()} UTC",
    )

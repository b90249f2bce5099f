"""``safehand subject``: a paper card for her."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from safehand_core.entropy import SystemEntropy
from safehand_core.keystore import write_atomic
from safehand_core.words import PURPOSES

from safehand_cli import context
from safehand_cli.cards import new_card, spaced
from safehand_cli.context import (
    REFERENCE,
    command,
    each_of,
    emit,
    read_text,
    reference,
    words,
)

app = typer.Typer(no_args_is_help=True)


@app.callback()
def group() -> None:
    """Paper cards."""
    # A callback keeps ``subject register`` two words while there is one command.


@app.command()
@command
def register(
    ref: Annotated[str, typer.Option(help=f"Our own random reference for her: {REFERENCE}.")],
    card_file: Annotated[Path, typer.Option(help="Write the card number here (0600), to print.")],
    pin_file: Annotated[Path, typer.Option(help="Write the PIN here (0600), to print apart.")],
    cosign: Annotated[
        bool, typer.Option("--cosign", help="A guardian must sign what she grants.")
    ] = False,
    alone_for: Annotated[
        list[str] | None,
        typer.Option(help=f"With --cosign: she consents alone all the same; {words(PURPOSES)}."),
    ] = None,
) -> None:
    """Make a card and a PIN and file them with consent. They are printed nowhere else.

    Run it again with the same files to repeat a request whose answer was lost.
    """
    reference(ref, "--ref")
    if card_file.exists() and pin_file.exists():
        card = read_text(card_file).strip().replace(" ", "")
        pin = read_text(pin_file).strip()
    else:
        card, pin = new_card(SystemEntropy())
        write_atomic(card_file, (spaced(card) + "\n").encode())
        write_atomic(pin_file, (pin + "\n").encode())
    context.agency().register_subject(
        ref,
        card,
        pin,
        cosign=cosign,
        alone_purposes=each_of(alone_for or [], PURPOSES, "--alone-for"),
    )
    emit(
        {"card_file": str(card_file), "pin_file": str(pin_file)},
        f"card in {card_file}, PIN in {pin_file}: give her both, then delete the files",
    )

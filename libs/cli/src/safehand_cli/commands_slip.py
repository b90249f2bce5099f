"""``safehand slip``: what she keeps, in plain words, and the code that proves it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from safehand_client import slips
from safehand_client._internal.calls import dial
from safehand_client.trust import TrustStore
from safehand_formats.note import NoteVerifier
from safehand_formats.slips import Slip

from safehand_cli import context
from safehand_cli.commands_consent import CardFile, PinFile, signed_in
from safehand_cli.context import command, emit

app = typer.Typer(no_args_is_help=True)


def _pinned() -> NoteVerifier:
    return TrustStore(context.party().trust).verifier


def _data(slip: Slip) -> dict[str, object]:
    return {
        "index": slip.index,
        "kind": slip.kind.name,
        "at": slip.at,
        "code": slip.code,
        "words": [line.english for line in slip.lines],
    }


def _text(slip: Slip) -> str:
    words = "\n".join(f"  {line.english}" for line in slip.lines)
    return f"{slip.short}  (ledger entry {slip.index})\n{words}"


@app.command()
@command
def show(
    grant: Annotated[str, typer.Argument(help="The grant's id; see: consent list")],
    short: Annotated[
        bool, typer.Option("--short", help="Only days and codes: nothing of what it is.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Also leave each entry's proof and opening in this folder.")
    ] = None,
    card_file: CardFile = None,
    pin_file: PinFile = None,
) -> None:
    """Everything that was decided about one consent, each with its check code. (--as her)"""
    with signed_in(card_file, pin_file) as her:
        receipt = her.receipt(grant)
        names = {option.recipient_agency: option.recipient_name for option in her.options()}
    found = slips.of_receipts(receipt.receipts, _pinned(), names)
    if out is not None:
        kept = {slip.index for slip in found}
        for item in receipt.receipts:
            if item.index in kept:
                slips.write(out, item)
    lines = [slip.short if short else _text(slip) for slip in found]
    emit([_data(slip) for slip in found], "\n".join(lines))


@app.command()
@command
def check(
    code: Annotated[str, typer.Argument(help="Eight letters and digits, as on the slip.")],
) -> None:
    """Which entry does this code name? Its proof is checked. (--as her, an agency or oversight)"""
    party = context.party()
    stubs = dial(party.addresses, party.tls)
    try:
        found = slips.check(stubs, _pinned(), code)
    finally:
        stubs.close()
    emit(
        [{"index": one.index, "kind": one.kind} for one in found],
        "\n".join(f"the ledger has it: entry {one.index}, {one.kind}" for one in found),
    )

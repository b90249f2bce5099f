"""``safehand slip``: what she keeps, in plain words, and the code that proves it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from safehand.consent.v1 import asks_pb2, ledger_pb2
from safehand_client import SurvivorClient, slips
from safehand_client._internal.calls import dial
from safehand_client.survivor import read_receipt
from safehand_client.trust import TrustStore
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
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
    grant: Annotated[
        str, typer.Argument(help="The grant's id; see: consent list. Or name --ask.")
    ] = "",
    ask: Annotated[
        str, typer.Option(help="Instead of a grant: a question that she said no to.")
    ] = "",
    short: Annotated[
        bool, typer.Option("--short", help="Only days and codes: nothing of what it is.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Also leave each entry's proof and opening in this folder.")
    ] = None,
    card_file: CardFile = None,
    pin_file: PinFile = None,
) -> None:
    """Everything that was decided about one consent, or her no to one question, each with its
    check code. (--as her)"""
    if bool(grant) == bool(ask):
        raise SafehandError(Reason.MALFORMED, "name one of them: a grant, or --ask a question")
    with signed_in(card_file, pin_file) as her:
        found = _refusal(her, ask) if ask else _decisions(her, grant)
    if out is not None:
        for _, receipt in found:
            slips.write(out, receipt)
    _print([slip for slip, _ in found], short=short)


Kept = list[tuple[Slip, ledger_pb2.Receipt]]


def _decisions(her: SurvivorClient, grant: str) -> Kept:
    """Of a whole receipt: nothing of another grant is shown, and nothing is left out between."""
    answer, verifier = her.receipt(grant), _pinned()
    read_receipt(answer, grant, verifier)
    made = slips.of_receipts(answer.receipts, verifier, _names(her))
    by_index = {item.index: item for item in answer.receipts}
    return [(slip, by_index[slip.index]) for slip in made]


def _refusal(her: SurvivorClient, ask: str) -> Kept:
    answer = her.refusal_receipt(ask)
    names = _names(her)
    for item in her.questions(asks_pb2.QUESTION_STATE_REFUSED):
        if item.ask == ask:
            names[item.releasing_agency] = item.releasing_name or item.releasing_agency
            names[item.recipient_agency] = item.recipient_name or item.recipient_agency
    return [(slips.of_refusal(answer, ask, _pinned(), names), answer.receipt)]


def _names(her: SurvivorClient) -> dict[str, str]:
    """The agencies' names as she knows them, by id."""
    names: dict[str, str] = {}
    for option in her.options():
        names[option.releasing_agency] = option.releasing_name
        names[option.recipient_agency] = option.recipient_name
    return names


def _print(found: list[Slip], *, short: bool) -> None:
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

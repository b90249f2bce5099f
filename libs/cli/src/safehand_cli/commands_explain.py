"""``safehand explain``: for any yes or no, rule by rule, in words a worker understands."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from safehand.common.v1 import reason_pb2
from safehand_client import Outcome, Verdict
from safehand_core.errors import SafehandError
from safehand_core.reasons import TABLE
from safehand_core.reasons import Reason as Why
from safehand_core.words import CATEGORIES, PURPOSES

from safehand_cli import context
from safehand_cli.commands_consent import CardFile, PinFile, day, signed_in
from safehand_cli.context import EXIT_WRONG, command, each_of, emit, one_of

app = typer.Typer(no_args_is_help=True)

_MARKS: Final = {Outcome.HOLDS: "✓", Outcome.FAILS: "✗", Outcome.NOT_ASKED: "·"}
NOT_ASKED: Final = "not asked: the answer was clear before"


def _tell(verdict: Verdict, *, yes: str, no: str) -> None:
    """Print it; exit 1 where a rule fails. A yes that rests on less than everything says so."""
    lines = [
        f"  {_MARKS[line.outcome]} {line.words or f'{line.rule}: {NOT_ASKED}'}"
        for line in verdict.lines
    ]
    if not verdict.allowed:
        head = f"{no}{f': {verdict.reason}' if verdict.reason else ''}"
    else:
        head = f"as far as could be asked, {yes}" if verdict.beyond else yes
        lines += [f"  {_MARKS[Outcome.NOT_ASKED]} not asked: {what}" for what in verdict.beyond]
    emit(
        {
            "allowed": verdict.allowed,
            "reason": verdict.reason,
            "rules": [
                {"rule": line.rule, "outcome": line.outcome.value, "words": line.words}
                for line in verdict.lines
            ],
            "beyond": verdict.beyond,
        },
        "\n".join([head, *lines]),
    )
    if not verdict.allowed:
        raise typer.Exit(EXIT_WRONG)


@app.command("open")
@command
def open_part(
    referral: Annotated[str, typer.Argument(help="The referral's id.")],
    part: Annotated[int, typer.Option(help="The part; 0 is the card.", min=0, max=15)] = 0,
) -> None:
    """Could this part be opened now? (--as either agency of the referral)

    Asks consent, then as its recipient also whether the referral service hands the parts out.
    """
    client = context.agency()
    try:
        verdict = client.may_open(referral, part)
    finally:
        client.close()
    _tell(verdict, yes="it can be opened now", no="it cannot be opened now")


@app.command()
@command
def send(
    grant: Annotated[str, typer.Argument(help="The grant's id.")],
    purpose: Annotated[str, typer.Option(help=f"What for: {', '.join(PURPOSES)}.")],
    category: Annotated[list[str], typer.Option(help="What; repeat it.")],
    service: Annotated[
        str, typer.Option(help="The service's id: also ask what it may receive.")
    ] = "",
) -> None:
    """Could we send this now? (--as the agency that holds it)

    Asks consent, then what our own folder and the directory say of agreement, recipient's key and
    service.
    """
    one_of(purpose, PURPOSES, "--purpose")
    each_of(category, CATEGORIES, "--category")
    client = context.agency()
    try:
        verdict = client.may_send(grant, purpose, category, service=service)
    finally:
        client.close()
    _tell(verdict, yes="it can be sent now", no="it cannot be sent now")


@app.command()
@command
def sharing(
    grant: Annotated[str, typer.Argument(help="The grant's id.")],
    category: Annotated[str, typer.Option(help=f"What: {', '.join(CATEGORIES)}.")],
    card_file: CardFile = None,
    pin_file: PinFile = None,
) -> None:
    """Can they open this kind of information of hers now? (--as her)"""
    one_of(category, CATEGORIES, "--category")
    with signed_in(card_file, pin_file) as her:
        answer = her.explain_sharing(grant, category)
    verdict = Verdict.of_hers(answer)
    _tell(verdict, yes="your consent lets them open it now", no="they cannot open it now")


@app.command()
@command
def look(
    grant: Annotated[str, typer.Argument(help="The grant's id.")],
    entry: Annotated[int, typer.Argument(help="The look's ledger entry; see: consent looks.")],
    card_file: CardFile = None,
    pin_file: PinFile = None,
) -> None:
    """What allowed this look? From her own receipt, each line proven. (--as her)"""
    from safehand_client import why

    with signed_in(card_file, pin_file) as her:
        grounds = why.look(her.verified_receipt(grant), entry)
    allowed = all(ground.holds for ground in grounds)
    head = "it was allowed, because" if allowed else "it should not have been allowed"
    lines = [
        f"  {'✓' if ground.holds else '✗'} {ground.words} (ledger entry {ground.entry})"
        for ground in grounds
    ]
    emit(
        {
            "allowed": allowed,
            "rules": [
                {
                    "rule": ground.rule,
                    "outcome": "holds" if ground.holds else "fails",
                    "words": ground.words,
                    "entry": ground.entry,
                }
                for ground in grounds
            ],
        },
        "\n".join([head, *lines]),
    )
    if not allowed:
        raise typer.Exit(EXIT_WRONG)


@app.command()
@command
def tried(
    grant: Annotated[str, typer.Argument(help="The grant's id; see: consent list")],
    card_file: CardFile = None,
    pin_file: PinFile = None,
) -> None:
    """Why did they not open it? Each try that was refused, against her own receipt. (--as her)"""
    from safehand_client import why

    with signed_in(card_file, pin_file) as her:
        looks = [item for item in her.looks(grant) if item.refused]
        lines = her.verified_receipt(grant)
    rows: list[dict[str, object]] = []
    for item in looks:
        code = reason_pb2.Reason.Name(item.refused).removeprefix("REASON_")
        found = why.tried(lines, item.at.seconds, item.category, Why(code))
        rows.append(
            {
                "at": item.at.seconds,
                "agency": item.agency,
                "worker_ref": item.worker_ref,
                "category": item.category,
                "reason": code,
                "words": found.words,
                "entry": found.entry,
            }
        )
    text = [
        f"{day(item.at)}  {item.agency_name or item.agency} did not get {item.category}: "
        f"{row['words']}" + ("" if row["entry"] is None else f" (ledger entry {row['entry']})")
        for item, row in zip(looks, rows, strict=True)
    ]
    emit(rows, "\n".join(text) or "nobody tried and was refused")


@app.command()
@command
def reason(
    code: Annotated[str, typer.Argument(help="A reason as an error names it: CONSENT_ENDED.")],
) -> None:
    """What a reason means and what to do; needs no connection."""
    word = code.upper().removeprefix("REASON_")
    if word not in Why.__members__:
        raise SafehandError(
            Why.NOT_FOUND, "no such reason", metadata={"reasons": ", ".join(Why.__members__)}
        )
    found = TABLE[Why(word)]
    emit(
        {"reason": word, "status": found.status, "message": found.message, "fix": found.fix},
        f"{word}: {found.message}\n  → {found.fix}",
    )

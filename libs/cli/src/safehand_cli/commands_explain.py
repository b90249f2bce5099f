"""``safehand explain``: for any yes or no, rule by rule, in words a worker understands."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from safehand.common.v1 import reason_pb2
from safehand.consent.v1 import explain_pb2
from safehand_core.errors import SafehandError
from safehand_core.reasons import TABLE
from safehand_core.reasons import Reason as Why
from safehand_core.words import CATEGORIES, PURPOSES

from safehand_cli import context
from safehand_cli.commands_consent import CardFile, PinFile, signed_in
from safehand_cli.context import EXIT_WRONG, command, each_of, emit, one_of

app = typer.Typer(no_args_is_help=True)

_MARKS = {
    explain_pb2.RULE_OUTCOME_HOLDS: "✓",
    explain_pb2.RULE_OUTCOME_FAILS: "✗",
    explain_pb2.RULE_OUTCOME_NOT_ASKED: "·",
}
NOT_ASKED = "not asked: the answer was clear before"


def _lines(findings: Any) -> str:
    return "\n".join(
        f"  {_MARKS.get(item.outcome, '?')} {item.words or f'{item.rule}: {NOT_ASKED}'}"
        for item in findings
    )


def _rows(findings: Any) -> list[dict[str, str]]:
    return [
        {
            "rule": item.rule,
            "outcome": explain_pb2.RuleOutcome.Name(item.outcome)
            .removeprefix("RULE_OUTCOME_")
            .lower(),
            "words": item.words,
        }
        for item in findings
    ]


def _tell(allowed: bool, findings: Any, *, reason: str = "", yes: str, no: str) -> None:
    head = yes if allowed else f"{no}{f': {reason}' if reason else ''}"
    data = {"allowed": allowed, "reason": reason, "rules": _rows(findings)}
    emit(data, f"{head}\n{_lines(findings)}")
    if not allowed:
        raise typer.Exit(EXIT_WRONG)


def _verdict(answer: explain_pb2.ExplainResponse, yes: str, no: str) -> None:
    word = reason_pb2.Reason.Name(answer.reason).removeprefix("REASON_") if answer.reason else ""
    _tell(answer.allowed, answer.findings, reason=word, yes=yes, no=no)


@app.command("open")
@command
def open_part(
    referral: Annotated[str, typer.Argument(help="The referral's id.")],
    part: Annotated[int, typer.Option(help="The part; 0 is the card.", min=0, max=15)] = 0,
) -> None:
    """Could this part be opened now? (--as either agency of the referral)"""
    answer = context.agency().explain_open(referral, part)
    _verdict(answer, "it can be opened now", "it cannot be opened now")


@app.command()
@command
def send(
    grant: Annotated[str, typer.Argument(help="The grant's id.")],
    purpose: Annotated[str, typer.Option(help=f"What for: {', '.join(PURPOSES)}.")],
    category: Annotated[list[str], typer.Option(help="What; repeat it.")],
) -> None:
    """Could we send this now? (--as the agency that holds it)"""
    one_of(purpose, PURPOSES, "--purpose")
    each_of(category, CATEGORIES, "--category")
    answer = context.agency().explain_send(grant, purpose, category)
    _verdict(answer, "it can be sent now", "it cannot be sent now")


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
    _tell(answer.allowed, answer.findings, yes="they can open it now", no="they cannot open it now")


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

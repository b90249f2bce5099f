"""``safehand --as her consent``: what she does at the portal, until the portal is built."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from safehand.common.v1 import reason_pb2
from safehand.consent.v1 import consent_pb2
from safehand_client import SurvivorClient
from safehand_core.reasons import TABLE, Reason
from safehand_core.words import CATEGORIES, CONSENT_GIVEN_HOW, CONSENT_PRESENT, PURPOSES

from safehand_cli import commands_asks, commands_helpers, commands_recorded, context
from safehand_cli.context import command, each_of, emit, one_of, secret, words

app = typer.Typer(no_args_is_help=True)

CardFile = Annotated[Path | None, typer.Option("--card-file", help="Card number; else asked for.")]
PinFile = Annotated[Path | None, typer.Option("--pin-file", help="PIN; else asked for.")]
Grant = Annotated[str, typer.Argument(help="The grant's id; see: consent list")]


@contextmanager
def signed_in(card_file: Path | None, pin_file: Path | None) -> Iterator[SurvivorClient]:
    """Her session, ended on the server when the command ends."""
    client = context.survivor()
    client.sign_in(secret("card number", card_file), secret("PIN", pin_file))
    try:
        yield client
    finally:
        client.sign_out()
        client.close()


def day(stamp: Timestamp) -> str:
    return stamp.ToDatetime().strftime("%Y-%m-%d %H:%M UTC")


def state_word(state: consent_pb2.GrantState.ValueType) -> str:
    return consent_pb2.GrantState.Name(state).removeprefix("GRANT_STATE_").lower()


def _view(item: consent_pb2.GrantView) -> dict[str, object]:
    return {
        "grant": item.grant,
        "state": state_word(item.state),
        "releasing_agency": item.terms.releasing_agency,
        "recipient_agency": item.terms.recipient_agency,
        "purpose": item.terms.purpose,
        "categories": list(item.terms.categories),
        "expires_at": item.terms.expires_at.seconds,
        "erase_by": item.terms.erase_by.seconds,
        "final_at": item.final_at.seconds if item.HasField("final_at") else None,
        "end_cause": item.end_cause,
        "recorded_by": item.recorded_by,
        "confirm_by": item.confirm_by.seconds if item.HasField("confirm_by") else None,
        "cosign_by": item.cosign_by.seconds if item.HasField("cosign_by") else None,
    }


def _text(item: consent_pb2.GrantView) -> str:
    until = day(item.terms.expires_at)
    line = (
        f"{item.grant}  {state_word(item.state):<8} {item.terms.recipient_agency} may get "
        f"{', '.join(item.terms.categories)} for {item.terms.purpose}, until {until}"
    )
    if item.terms.HasField("erase_by"):
        line += f", to be erased by {day(item.terms.erase_by)}"
    if item.state == consent_pb2.GRANT_STATE_STOPPED and item.HasField("final_at"):
        line += f"\n  stopped; can be undone until {day(item.final_at)}"
    if item.recorded_by:
        line += (
            f"\n  {item.recorder_ref} of {item.recorded_by} wrote it for you ({item.medium}) on "
            f"{day(item.issued_at)}"
        )
    if item.state == consent_pb2.GRANT_STATE_ACTIVE and item.HasField("confirm_by"):
        line += (
            f"\n  Is it right? consent confirm {item.grant} --reply yes|no|not-sure; "
            f"it lapses on {day(item.confirm_by)}"
        )
    if item.state == consent_pb2.GRANT_STATE_ACTIVE and item.HasField("cosign_by"):
        line += f"\n  nothing is shared before your guardian signs, by {day(item.cosign_by)}"
    if item.end_cause == "invalidated":
        line += "\n  ended for good: it was no consent"
    return line


def _in_days(days: int | None) -> int | None:
    return None if days is None else int(time.time()) + days * 86_400


@app.command()
@command
def options(card_file: CardFile = None, pin_file: PinFile = None) -> None:
    """Who could receive something."""
    with signed_in(card_file, pin_file) as her:
        found = her.options()
    emit(
        [
            {
                "releasing_agency": item.releasing_agency,
                "recipient_agency": item.recipient_agency,
                "purposes": list(item.purposes),
                "categories": list(item.categories),
            }
            for item in found
        ],
        "\n".join(
            f"{item.releasing_name} could send to {item.recipient_name}: "
            f"{', '.join(item.categories)} (for {', '.join(item.purposes)})"
            for item in found
        )
        or "nobody yet",
    )


@app.command()
@command
def grant(
    releasing: Annotated[str, typer.Option("--from", help="The agency that holds it.")],
    recipient: Annotated[str, typer.Option("--to", help="The one agency that may receive it.")],
    purpose: Annotated[str, typer.Option(help=f"What for: {words(PURPOSES)}.")],
    category: Annotated[
        list[str],
        typer.Option(help=f"What; repeat it: {words(CATEGORIES)}. CARD is always in."),
    ],
    days: Annotated[int | None, typer.Option(help="Until when; default 90, at most 180.")] = None,
    erase_days: Annotated[
        int | None,
        typer.Option(help="Days until they must have erased it; not before it ends."),
    ] = None,
    language: Annotated[str, typer.Option(help="In which language she was told.")] = "en",
    given_how: Annotated[
        str, typer.Option(help=f"How she was told: {words(CONSENT_GIVEN_HOW)}.")
    ] = "read",
    present: Annotated[
        str, typer.Option(help=f"Who was there: {words(CONSENT_PRESENT)}.")
    ] = "alone",
    card_file: CardFile = None,
    pin_file: PinFile = None,
) -> None:
    """Say yes."""
    one_of(purpose, PURPOSES, "--purpose")
    each_of(category, CATEGORIES, "--category")
    one_of(given_how, CONSENT_GIVEN_HOW, "--given-how")
    one_of(present, CONSENT_PRESENT, "--present")
    with signed_in(card_file, pin_file) as her:
        answer = her.grant(
            releasing=releasing,
            recipient=recipient,
            purpose=purpose,
            categories=category,
            expires_at=_in_days(days),
            erase_by=_in_days(erase_days),
            language=language,
            given_how=given_how,
            present=present,
        )
    emit(
        {**_view(answer.grant), "index": answer.receipt.index},
        f"{_text(answer.grant)}\nledger entry {answer.receipt.index}",
    )


@app.command("list")
@command
def list_grants(card_file: CardFile = None, pin_file: PinFile = None) -> None:
    """Who may see what."""
    with signed_in(card_file, pin_file) as her:
        found = her.grants()
    emit([_view(item) for item in found], "\n".join(map(_text, found)) or "nobody may see anything")


@app.command()
@command
def stop(
    grant: Grant,
    destroy_now: Annotated[
        bool, typer.Option("--destroy-now", help="Delete the keys now; cannot be undone.")
    ] = False,
    card_file: CardFile = None,
    pin_file: PinFile = None,
) -> None:
    """Stop sharing, at once."""
    with signed_in(card_file, pin_file) as her:
        answer = her.stop(grant, destroy_now=destroy_now)
    data = {**_view(answer.grant), "index": answer.stop_receipt.index}
    lines = [
        "sharing has stopped",
        _text(answer.grant),
        f"ledger entry {answer.stop_receipt.index}: STOP",
    ]
    if answer.HasField("revoke_receipt"):
        data["revoke_index"] = answer.revoke_receipt.index
        lines += [
            f"ledger entry {answer.revoke_receipt.index}: REVOKE",
            "the keys are deleted: what was not opened can never be opened",
        ]
    lines.append("they are told that sharing stopped; they are not told why")
    emit(data, "\n".join(lines))


@app.command()
@command
def resume(grant: Grant, card_file: CardFile = None, pin_file: PinFile = None) -> None:
    """Undo a stop within its window."""
    with signed_in(card_file, pin_file) as her:
        answer = her.resume(grant)
    emit(
        {**_view(answer.grant), "index": answer.receipt.index},
        f"sharing is on again\n{_text(answer.grant)}",
    )


def _refusal(item: consent_pb2.Look) -> str:
    """Its reason's word; empty where it was not refused."""
    return reason_pb2.Reason.Name(item.refused).removeprefix("REASON_") if item.refused else ""


def _why(item: consent_pb2.Look) -> str:
    word = _refusal(item)
    return TABLE[Reason[word]].message if word in Reason.__members__ else word


@app.command()
@command
def looks(card_file: CardFile = None, pin_file: PinFile = None) -> None:
    """Who looked, and who tried and was refused."""
    with signed_in(card_file, pin_file) as her:
        found = her.looks()
    emit(
        [
            {
                "at": item.at.seconds,
                "agency": item.agency,
                "category": item.category,
                "worker_ref": item.worker_ref,
                "grant": item.grant,
                "index": item.ledger_index,
                "refused": _refusal(item),
            }
            for item in found
        ],
        "\n".join(
            f"{day(item.at)}  {item.agency_name or item.agency} ({item.worker_ref or 'unknown'}) "
            + (
                f"tried to open {item.category} and was refused: {_why(item)}"
                if item.refused
                else f"opened {item.category}, ledger entry {item.ledger_index}"
            )
            for item in found
        )
        or "nobody looked",
    )


@app.command()
@command
def receipt(grant: Grant, card_file: CardFile = None, pin_file: PinFile = None) -> None:
    """Her receipt, every line checked under the pinned ledger key."""
    with signed_in(card_file, pin_file) as her:
        lines = her.verified_receipt(grant)
    emit(
        [{"index": line.index, "kind": line.kind.name, "body": line.body} for line in lines],
        "\n".join(f"{line.index:>6}  {line.kind.name}" for line in lines)
        + "\nevery proof holds, every line opens, no gap, nothing behind a stop",
    )


commands_asks.add_to(app)
commands_recorded.add_to(app)
commands_helpers.add_to(app)

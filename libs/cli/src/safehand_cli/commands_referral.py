"""``safehand referral``: what an agency's system does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format
from safehand.intake.v1.intake_pb2 import IntakeForm
from safehand.referral.v1 import referral_pb2
from safehand_client import intake
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import (
    CATEGORIES,
    DECLINE_REASONS,
    OUTCOMES,
    PURPOSES,
    URGENCY_ANSWER_S,
)

from safehand_cli import context
from safehand_cli.context import (
    REFERENCE,
    command,
    each_of,
    emit,
    one_of,
    read_text,
    reference,
    words,
)

app = typer.Typer(no_args_is_help=True)

ReferralId = Annotated[str, typer.Argument(help="The referral's id.")]


def _state(item: referral_pb2.Referral) -> dict[str, object]:
    return {
        "referral": item.referral,
        "grant": item.grant,
        "sender": item.sender,
        "recipient": item.recipient,
        "service": item.service,
        "state": referral_pb2.ReferralState.Name(item.state).removeprefix("REFERRAL_STATE_"),
        "sharing_stopped": item.sharing_stopped,
        "disclosure": referral_pb2.DisclosureState.Name(item.disclosure).removeprefix(
            "DISCLOSURE_STATE_"
        ),
        "answer_by": item.answer_by.seconds,
        "outcome": item.outcome,
        "reason_code": item.reason_code,
        "resealed_at": item.resealed_at.seconds if item.HasField("resealed_at") else None,
        "reseal_asked_at": (
            item.reseal_asked_at.seconds if item.HasField("reseal_asked_at") else None
        ),
    }


def _line(item: referral_pb2.Referral) -> str:
    found = _state(item)
    stopped = "  sharing stopped" if item.sharing_stopped else ""
    if item.HasField("reseal_asked_at"):
        stopped += "  the recipient asks for a new seal"
    return (
        f"{item.referral}  {found['state']:<12} {item.sender} → {item.recipient}"
        f"  {item.service}{stopped}"
    )


def _show(item: referral_pb2.Referral) -> None:
    emit(_state(item), _line(item))


@app.command()
@command
def grants() -> None:
    """The consents under which we may send."""
    found = context.agency().grants()
    emit(
        [
            {
                "grant": item.grant,
                "subject_ref": item.subject_ref,
                "recipient": item.terms.recipient_agency,
                "purpose": item.terms.purpose,
                "categories": list(item.terms.categories),
                "live": item.live,
            }
            for item in found
        ],
        "\n".join(
            f"{item.grant}  {'live ' if item.live else 'ended'} {item.subject_ref} → "
            f"{item.terms.recipient_agency}: {', '.join(item.terms.categories)}"
            for item in found
        )
        or "none",
    )


@app.command()
@command
def send(
    grant: Annotated[str, typer.Option(help="The grant's id; see: referral grants")],
    to: Annotated[str, typer.Option(help="The recipient agency.")],
    service: Annotated[str, typer.Option(help="The service's id; see: directory search")],
    purpose: Annotated[str, typer.Option(help=f"The grant's purpose: {words(PURPOSES)}.")],
    form: Annotated[Path, typer.Option(help="The intake form as JSON (safehand.intake.v1).")],
    category: Annotated[
        list[str] | None,
        typer.Option(help=f"Repeat it; default what the form holds: {words(CATEGORIES)}."),
    ] = None,
    urgency: Annotated[str, typer.Option(help=f"One of {words(URGENCY_ANSWER_S)}.")] = "normal",
) -> None:
    """Seal and send a referral. Prints what is sent, by category, never its content."""
    filled = IntakeForm()
    try:
        json_format.Parse(read_text(form), filled)
    except json_format.ParseError:
        raise SafehandError(Reason.MALFORMED, "the form is not an intake form as JSON") from None
    wanted = each_of(category or intake.categories_in(filled), CATEGORIES, "--category")
    sent = context.agency().send(
        grant=grant,
        recipient=to,
        purpose=one_of(purpose, PURPOSES, "--purpose"),
        service=service,
        form=filled,
        categories=wanted,
        urgency=one_of(urgency, URGENCY_ANSWER_S, "--urgency"),
    )
    emit(
        {**_state(sent.state), "index": sent.refer_index, "categories": sorted({"CARD", *wanted})},
        f"{_line(sent.state)}\nsent: {', '.join(sorted({'CARD', *wanted}))}\n"
        f"ledger entry {sent.refer_index}",
    )


@app.command()
@command
def resend(referral: ReferralId) -> None:
    """Finish a send that was interrupted: the same manifest, the same ledger entry."""
    _show(context.agency().resend(referral).state)


@app.command("list")
@command
def list_referrals() -> None:
    """All of ours, newest first."""
    found = context.agency().referrals()
    emit([_state(item) for item in found], "\n".join(map(_line, found)) or "none")


@app.command()
@command
def status(referral: ReferralId) -> None:
    """Where a referral stands."""
    _show(context.agency().status(referral))


@app.command("open")
@command
def open_part(
    referral: ReferralId,
    category: Annotated[str, typer.Option(help=f"Which part: {words(CATEGORIES)}.")],
    worker: Annotated[
        str, typer.Option(help=f"Your opaque worker reference, which she sees: {REFERENCE}.")
    ],
) -> None:
    """Open one part. She will see that you looked.

    It fetches the sealed parts first. Once referral knows of a stop that is refused already, and
    her list then does not hold the try: consent was not asked.
    """
    one_of(category, CATEGORIES, "--category")
    reference(worker, "--worker")
    client = context.agency()
    opened = client.open(client.fetch(referral), category, worker_ref=worker)
    content = json_format.MessageToDict(opened.form, preserving_proto_field_name=True)
    emit(
        {"category": category, "index": opened.disclose_index, "content": content},
        "\n".join(f"{key}: {value}" for key, value in content.items())
        + f"\nledger entry {opened.disclose_index}",
    )


@app.command()
@command
def receive(referral: ReferralId) -> None:
    """Fetch and verify a referral, confirm its delivery, acknowledge it."""
    client = context.agency()
    fetched = client.fetch(referral)
    client.confirm_delivery(referral)
    state = client.acknowledge(referral)
    emit(
        {**_state(state), "categories": list(fetched.manifest.categories)},
        f"{_line(state)}\nparts: {', '.join(fetched.manifest.categories)}",
    )


@app.command()
@command
def accept(referral: ReferralId) -> None:
    """Say yes: identity parts can then be opened. Also while sharing is stopped."""
    _show(context.agency().accept(referral))


@app.command()
@command
def decline(
    referral: ReferralId,
    reason: Annotated[str, typer.Option(help=f"One of {words(DECLINE_REASONS)}.")],
) -> None:
    """Say no, with a coded reason. Also while sharing is stopped."""
    _show(context.agency().decline(referral, one_of(reason, DECLINE_REASONS, "--reason")))


@app.command()
@command
def withdraw(
    referral: ReferralId,
    reason: Annotated[str, typer.Option(help=f"One of {words(DECLINE_REASONS)}.")],
) -> None:
    """Take back a referral that we sent."""
    _show(context.agency().withdraw(referral, one_of(reason, DECLINE_REASONS, "--reason")))


@app.command()
@command
def complete(
    referral: ReferralId,
    outcome: Annotated[str, typer.Option(help=f"One of {words(OUTCOMES)}.")],
) -> None:
    """Close an accepted referral with its outcome."""
    _show(context.agency().complete(referral, one_of(outcome, OUTCOMES, "--outcome")))


@app.command()
@command
def reseal(
    referral: ReferralId,
    grant: Annotated[
        str, typer.Option(help="A new consent of hers; default the one it is under.")
    ] = "",
) -> None:
    """Seal a referral again: after her consent ended for good, or to the recipient's new key.

    It keeps its place and its dates. What is sealed is what we sent before, from our own draft.
    """
    sent = context.agency().reseal(referral, grant=grant)
    emit(
        {"referral": sent.referral, "index": sent.refer_index, **_state(sent.state)},
        f"sealed again, ledger entry {sent.refer_index}\n{_line(sent.state)}",
    )


@app.command("ask-reseal")
@command
def ask_reseal(referral: ReferralId) -> None:
    """As the recipient: say that we cannot open it any more, so that the sender seals it again."""
    _show(context.agency().ask_reseal(referral))

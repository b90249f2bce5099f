"""``safehand consent``: what a worker recorded, her answer to it, and guardians.

Added to the group of ``commands_consent``. ``record``, ``second`` and a part of ``guardian`` are an
agency's (``--as agency-a``); the rest is said at the portal (``--as her``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from safehand.consent.v1 import grant_pb2, recorded_pb2
from safehand_client import GuardianClient, SurvivorClient
from safehand_core.entropy import SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.keystore import write_atomic
from safehand_core.reasons import Reason
from safehand_core.words import (
    CATEGORIES,
    CONSENT_GIVEN_HOW,
    CONSENT_PRESENT,
    PURPOSES,
    RECORDED_MEDIA,
)

from safehand_cli import context
from safehand_cli.cards import new_card, spaced
from safehand_cli.context import (
    REFERENCE,
    command,
    each_of,
    emit,
    one_of,
    read_text,
    reference,
    secret,
    words,
)

REPLIES: Final = ("yes", "no", "not-sure")

guardian = typer.Typer(no_args_is_help=True, help="Who must sign too, who may, who never again.")

CardFile = Annotated[Path | None, typer.Option("--card-file", help="Card number; else asked for.")]
PinFile = Annotated[Path | None, typer.Option("--pin-file", help="PIN; else asked for.")]
Grant = Annotated[str, typer.Argument(help="The grant's id; see: consent list")]
Ref = Annotated[str, typer.Option("--ref", help=f"Our own reference for her: {REFERENCE}.")]
Worker = Annotated[str, typer.Option("--worker", help=f"The worker's reference: {REFERENCE}.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the group ``consent``."""
    for function in (record, second, confirm, invalidate, confirmations):
        app.command()(function)
    app.add_typer(guardian, name="guardian")


@contextmanager
def _signed_in(card_file: Path | None, pin_file: Path | None) -> Iterator[SurvivorClient]:
    client = context.survivor()
    client.sign_in(secret("card number", card_file), secret("PIN", pin_file))
    try:
        yield client
    finally:
        client.sign_out()
        client.close()


@contextmanager
def _guardian(card_file: Path | None, pin_file: Path | None) -> Iterator[GuardianClient]:
    client = GuardianClient(context.party())
    client.sign_in(secret("card number", card_file), secret("PIN", pin_file))
    try:
        yield client
    finally:
        client.sign_out()
        client.close()


def _day(stamp: Timestamp) -> str:
    return stamp.ToDatetime().strftime("%Y-%m-%d %H:%M UTC")


def _terms(terms: grant_pb2.Terms) -> str:
    return (
        f"{terms.recipient_agency} may get {', '.join(terms.categories)} for {terms.purpose}, "
        f"until {_day(terms.expires_at)}"
    )


def _state(view: grant_pb2.GrantView) -> str:
    return grant_pb2.GrantState.Name(view.state).removeprefix("GRANT_STATE_").lower()


# --- agencies ------------------------------------------------------------------------------------


@command
def record(
    ref: Ref,
    worker: Worker,
    medium: Annotated[str, typer.Option(help=f"How: {words(RECORDED_MEDIA)}.")],
    releasing: Annotated[str, typer.Option("--from", help="The agency that holds it.")],
    recipient: Annotated[str, typer.Option("--to", help="The one agency that may receive it.")],
    purpose: Annotated[str, typer.Option(help=f"What for: {words(PURPOSES)}.")],
    category: Annotated[
        list[str],
        typer.Option(help=f"What; repeat it: {words(CATEGORIES)}. CARD is always in."),
    ],
    days: Annotated[int, typer.Option(help="Until when; at most 180.")] = 90,
    language: Annotated[str, typer.Option(help="In which language she was told.")] = "en",
    given_how: Annotated[
        str, typer.Option(help=f"How she was told: {words(CONSENT_GIVEN_HOW)}.")
    ] = "heard",
    present: Annotated[
        str, typer.Option(help=f"Who was there: {words(CONSENT_PRESENT)}.")
    ] = "with_worker",
) -> None:
    """Write down what she told you. It lapses after 14 days unless she says that it is right."""
    one_of(medium, RECORDED_MEDIA, "--medium")
    one_of(purpose, PURPOSES, "--purpose")
    each_of(category, CATEGORIES, "--category")
    one_of(given_how, CONSENT_GIVEN_HOW, "--given-how")
    one_of(present, CONSENT_PRESENT, "--present")
    client = context.agency()
    try:
        done = client.record_consent(
            subject_ref=reference(ref, "--ref"),
            worker_ref=reference(worker, "--worker"),
            medium=medium,
            releasing=releasing,
            recipient=recipient,
            purpose=purpose,
            categories=category,
            days=days,
            language=language,
            given_how=given_how,
            present=present,
        )
    finally:
        client.close()
    lines = [f"recorded; record {done.record}"]
    if done.grant:
        lines.append(f"grant {done.grant}")
    until = _day(Timestamp(seconds=done.confirm_by))
    lines += [
        f"she is asked whether it is right; unless she says yes it lapses on {until}",
        "until she or a second person confirms it: not where she stays, what happened, her papers",
    ]
    emit(
        {"record": done.record, "grant": done.grant, "confirm_by": done.confirm_by},
        "\n".join(lines),
    )


@command
def second(
    record: Annotated[str, typer.Argument(help="The record, as consent record printed it.")],
    ref: Ref,
    worker: Worker,
) -> None:
    """Stand by what another worker recorded. It still lapses unless she says that it is right."""
    client = context.agency()
    try:
        client.second_consent(
            subject_ref=reference(ref, "--ref"),
            worker_ref=reference(worker, "--worker"),
            record=record,
        )
    finally:
        client.close()
    emit({"record": record, "seconded": True}, "taken: a second person stands by it")


# --- she -----------------------------------------------------------------------------------------


@command
def confirm(
    grant: Grant,
    reply: Annotated[str, typer.Option(help=f"Is it right? {words(REPLIES)}.")],
    card_file: CardFile = None,
    pin_file: PinFile = None,
) -> None:
    """Say whether what a worker recorded for you is right. No ends it at once, for good."""
    one_of(reply, REPLIES, "--reply")
    with _signed_in(card_file, pin_file) as her:
        answer = her.confirm(grant, reply)
    said = {
        "yes": "it is yours now, like any other consent",
        "no": "it ended at once, and its keys are deleted; they are not told why",
        "not-sure": "nothing changed; it lapses by itself unless you say yes",
    }
    receipts = {
        "confirm_index": answer.confirm_receipt if answer.HasField("confirm_receipt") else None,
        "stop_index": answer.stop_receipt if answer.HasField("stop_receipt") else None,
        "revoke_index": answer.revoke_receipt if answer.HasField("revoke_receipt") else None,
    }
    indexes = {name: made.index for name, made in receipts.items() if made is not None}
    emit({"grant": grant, "state": _state(answer.grant), **indexes}, said[reply])


@command
def invalidate(grant: Grant, card_file: CardFile = None, pin_file: PinFile = None) -> None:
    """Say that you were made to say yes. It ends at once, for good."""
    with _signed_in(card_file, pin_file) as her:
        answer = her.invalidate(grant)
    data: dict[str, object] = {
        "grant": grant,
        "state": _state(answer.grant),
        "stop_index": answer.stop_receipt.index,
    }
    if answer.HasField("revoke_receipt"):
        data["revoke_index"] = answer.revoke_receipt.index
    emit(
        data,
        "it ended at once, and its keys are deleted: what was not opened can never be opened\n"
        "they are told that sharing stopped; they are not told why",
    )


@command
def confirmations(card_file: CardFile = None, pin_file: PinFile = None) -> None:
    """What others wrote down for you, who stood by it, and what you are asked."""
    with _signed_in(card_file, pin_file) as her:
        found = her.confirmations()
    emit(
        [
            {
                "grant": item.grant.grant,
                "state": _state(item.grant) if item.HasField("grant") else "nothing came of it",
                "at": item.at.seconds,
                "recorded_by": item.recorded_by,
                "recorder_ref": item.recorder_ref,
                "medium": item.medium,
                "confirm_by": item.grant.confirm_by.seconds or None,
                "cosign_by": item.grant.cosign_by.seconds or None,
                "second_agency": item.second_agency,
                "second_ref": item.second_ref,
                "guardian": item.guardian,
                "asks_her": item.asks_her,
            }
            for item in found
        ],
        "\n".join(map(_confirmation, found)) or "nobody wrote anything down for you",
    )


def _confirmation(item: recorded_pb2.Confirmation) -> str:
    lines = [
        f"{item.grant.grant}  {_state(item.grant):<8} {_terms(item.grant.terms)}"
        if item.HasField("grant")
        else f"{_day(item.at)}  nothing came of it"
    ]
    if item.recorded_by:
        name = item.recorded_by_name or item.recorded_by
        lines.append(
            f"  {item.recorder_ref} of {name} wrote it for you on {_day(item.at)} ({item.medium})"
        )
    if item.second_agency:
        lines.append(
            f"  {item.second_ref} of {item.second_agency} stood by it on {_day(item.second_at)}"
        )
    if item.guardian:
        lines.append(f"  guardian {item.guardian} signed it on {_day(item.guardian_at)}")
    elif item.grant.HasField("cosign_by"):
        lines.append(f"  a guardian has to sign it by {_day(item.grant.cosign_by)}, or it lapses")
    if item.asks_her:
        lines.append(
            f"  Is it right? safehand --as her consent confirm {item.grant.grant} --reply "
            f"yes|no|not-sure (it lapses on {_day(item.grant.confirm_by)})"
        )
    return "\n".join(lines)


# --- guardians -----------------------------------------------------------------------------------


@guardian.command("rule")
@command
def rule(
    ref: Ref,
    cosign: Annotated[
        bool, typer.Option("--cosign/--alone", help="Whether a guardian must sign too.")
    ],
    alone_for: Annotated[
        list[str] | None,
        typer.Option(help=f"With --cosign: she consents alone all the same; {words(PURPOSES)}."),
    ] = None,
) -> None:
    """Say, as an agency, whether the law asks for a guardian's signature too."""
    purposes = each_of(alone_for or [], PURPOSES, "--alone-for")
    client = context.agency()
    try:
        client.set_cosign(reference(ref, "--ref"), cosign=cosign, alone_purposes=purposes)
    finally:
        client.close()
    emit(
        {"cosign": cosign, "alone_purposes": purposes},
        "a guardian must sign what she grants from now on"
        if cosign
        else "we no longer say so; where another agency does, its word holds",
    )


@guardian.command("register")
@command
def register(
    ref: Ref,
    card_file: Annotated[Path, typer.Option(help="Write the card number here (0600), to print.")],
    pin_file: Annotated[Path, typer.Option(help="Write the PIN here (0600), to print apart.")],
) -> None:
    """Make a card and a PIN for a guardian. Run it again with the same files to repeat it."""
    reference(ref, "--ref")
    if card_file.exists() and pin_file.exists():
        card = read_text(card_file).strip().replace(" ", "")
        pin = read_text(pin_file).strip()
    else:
        card, pin = new_card(SystemEntropy())
        write_atomic(card_file, (spaced(card) + "\n").encode())
        write_atomic(pin_file, (pin + "\n").encode())
    client = context.agency()
    try:
        made = client.register_guardian(ref, card, pin)
    finally:
        client.close()
    emit(
        {"guardian": made, "card_file": str(card_file), "pin_file": str(pin_file)},
        f"guardian {made}\n"
        f"card in {card_file}, PIN in {pin_file}: give both, then delete the files",
    )


@guardian.command("exclude")
@command
def exclude(
    ref: Ref,
    which: Annotated[str, typer.Option("--guardian", help="Which; all that she has: --all.")] = "",
    everyone: Annotated[bool, typer.Option("--all", help="Everyone who is one now.")] = False,
) -> None:
    """Bar a guardian, as an agency that knows her: at once and for ever."""
    if bool(which) == everyone:
        raise SafehandError(
            Reason.MALFORMED, "say which: --guardian ID or --all", metadata={"option": "--guardian"}
        )
    client = context.agency()
    try:
        client.exclude_guardian(reference(ref, "--ref"), which)
    finally:
        client.close()
    emit({"excluded": which or "all"}, "barred: neither signs nor sees anything from now on")


@guardian.command("dismiss")
@command
def dismiss(
    which: Annotated[str, typer.Argument(help="The guardian's id; see: consent guardian list")],
    card_file: CardFile = None,
    pin_file: PinFile = None,
) -> None:
    """Bar a guardian of yours (--as her): at once and for ever."""
    with _signed_in(card_file, pin_file) as her:
        her.dismiss_guardian(which)
    emit({"excluded": which}, "barred: neither signs nor sees anything from now on")


@guardian.command("list")
@command
def list_guardians(card_file: CardFile = None, pin_file: PinFile = None) -> None:
    """Who may sign beside you, who was barred, and who says that somebody must (--as her)."""
    with _signed_in(card_file, pin_file) as her:
        found = her.guardians()
    people = [
        {
            "guardian": one.guardian,
            "registered_by": one.registered_by,
            "registered_at": one.registered_at.seconds,
            "excluded_by": one.excluded_by,
        }
        for one in found.guardians
    ]
    rules = [
        {"agency": one.agency, "alone_purposes": list(one.alone_purposes)} for one in found.rules
    ]
    lines = [
        f"{one.guardian}  filed by {one.registered_by} on {_day(one.registered_at)}"
        + (f", barred by {one.excluded_by}" if one.excluded_by else "")
        for one in found.guardians
    ]
    lines += [
        f"{one.agency_name or one.agency} says that a guardian must sign too"
        + (f", but not for {', '.join(one.alone_purposes)}" if one.alone_purposes else "")
        for one in found.rules
    ]
    emit({"guardians": people, "rules": rules}, "\n".join(lines) or "you consent alone")


@guardian.command("waiting")
@command
def waiting(card_file: CardFile = None, pin_file: PinFile = None) -> None:
    """What waits for your signature, as a guardian with a card of your own (--as her)."""
    with _guardian(card_file, pin_file) as client:
        found = client.waiting()
    emit(
        [
            {
                "grant": one.grant,
                "recipient_agency": one.terms.recipient_agency,
                "purpose": one.terms.purpose,
                "categories": list(one.terms.categories),
                "expires_at": one.terms.expires_at.seconds,
                "cosign_by": one.cosign_by.seconds,
            }
            for one in found
        ],
        "\n".join(
            f"{one.grant}  {_terms(one.terms)}; it lapses on {_day(one.cosign_by)} unless you sign"
            for one in found
        )
        or "nothing waits",
    )


@guardian.command("sign")
@command
def sign(
    grant: Annotated[str, typer.Argument(help="The grant's id; see: consent guardian waiting")],
    card_file: CardFile = None,
    pin_file: PinFile = None,
) -> None:
    """Sign what she granted, as her guardian (--as her). Not to sign is to let it lapse."""
    with _guardian(card_file, pin_file) as client:
        client.sign(grant)
    emit({"grant": grant, "signed": True}, "signed")

"""``safehand consent``: stops by others, their undoing, and whom she lets do it.

Added to the group of ``commands_consent``. ``stop-for-her``, ``resume-for-her`` and ``lift-wait``
are an agency's (``--as agency-a``); the rest is said at the portal (``--as her``). Cards, codes and
words come from a file or a prompt, never from argv.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from safehand.consent.v1 import stops_pb2
from safehand_client import SurvivorClient
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import REPRESENTATIVES, STOP_CHANNELS

from safehand_cli import context
from safehand_cli.cards import spaced
from safehand_cli.context import (
    REFERENCE,
    command,
    emit,
    one_of,
    read_text,
    reference,
    secret,
    words,
)

people = typer.Typer(no_args_is_help=True, help="Who may stop for her with a code (--as her).")

CardFile = Annotated[Path | None, typer.Option("--card-file", help="Card number; else asked for.")]
PinFile = Annotated[Path | None, typer.Option("--pin-file", help="PIN; else asked for.")]
WordFile = Annotated[Path | None, typer.Option("--word-file", help="Code word; else asked for.")]
CodeFile = Annotated[
    Path | None, typer.Option("--code-file", help="A representative's code; else asked for.")
]
Worker = Annotated[str, typer.Option("--worker", help=f"The worker's reference: {REFERENCE}.")]

BY: dict[str, str] = {
    "self": "you",
    "worker": "a worker who said that you asked for it",
    "representative": "somebody who holds a code of yours",
    "staff": "two workers with your code word",
}
"""Who made a stop or a resume, as she reads it."""
DID: dict[str, str] = {"number": "a number to sign in with"}
"""What was done, where one word does not say it."""


def add_to(app: typer.Typer) -> None:
    """Add these commands to the group ``consent``."""
    theirs = (stop_for_her, resume_for_her, lift_wait)
    for function in (*theirs, code_word, stops, stop_as_representative):
        app.command()(function)
    app.add_typer(people, name="representatives")


def said(prompt: str, file: Path | None) -> str:
    """A code word with its spaces, from a file or a prompt."""
    if file is not None:
        return read_text(file).strip()
    if not sys.stdin.isatty():
        raise SafehandError(Reason.CONFIG_INVALID, "no terminal to ask: use the option for a file")
    answer: str = typer.prompt(prompt, hide_input=True)
    return answer.strip()


@contextmanager
def _signed_in(card_file: Path | None, pin_file: Path | None) -> Iterator[SurvivorClient]:
    client = context.survivor()
    client.sign_in(secret("card number", card_file), secret("PIN", pin_file))
    try:
        yield client
    finally:
        client.sign_out()
        client.close()


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


@command
def stop_for_her(
    worker: Worker,
    channel: Annotated[str, typer.Option(help=f"How she asked: {words(STOP_CHANNELS)}.")] = "phone",
    ref: Annotated[str, typer.Option("--ref", help=f"Our own reference: {REFERENCE}.")] = "",
    card: Annotated[bool, typer.Option("--card", help="By the number that she reads out.")] = False,
    card_file: Annotated[
        Path | None, typer.Option("--card-file", help="The same, from a file.")
    ] = None,
    grant: Annotated[str, typer.Option("--grant", help="One grant that we are an end of.")] = "",
    code: Annotated[
        bool, typer.Option("--code", help="By the code of somebody she trusts.")
    ] = False,
    code_file: Annotated[
        Path | None, typer.Option("--code-file", help="The same, from a file.")
    ] = None,
    coercion: Annotated[
        bool, typer.Option("--coercion", help="She says that she was made to agree.")
    ] = False,
) -> None:
    """Stop for her, because she asked one of us (--as agency-a); she can undo it for 72 hours."""
    one_of(channel, STOP_CHANNELS, "--channel")
    named = [bool(ref), card or card_file is not None, bool(grant), code or code_file is not None]
    if sum(named) != 1:
        raise SafehandError(
            Reason.MALFORMED,
            "name her in exactly one way",
            metadata={"options": "--ref, --card or --card-file, --grant, --code or --code-file"},
        )
    worker_ref = reference(worker, "--worker")
    client = context.agency()
    how = {"worker_ref": worker_ref, "channel": channel}
    if ref:
        own = reference(ref, "--ref")
        at = client.stop_for_her("subject_ref", own, coercion=coercion, **how)
    elif grant:
        at = client.stop_for_her("grant", grant, coercion=coercion, **how)
    elif named[1]:
        number = secret("card number", card_file)
        at = client.stop_for_her("card_number", number, coercion=coercion, **how)
    else:
        number = secret("code", code_file)
        at = client.stop_for_her("representative_code", number, coercion=coercion, **how)
    emit(
        {"recorded_at": at},
        f"her wish was recorded at {_day(at)}: whatever it is about is stopped\n"
        "nothing is destroyed for 72 hours; she sees who recorded it and when",
    )


@command
def resume_for_her(
    grant: Annotated[str, typer.Argument(help="The grant's id; see: referral grants")],
    worker: Worker,
    second: Annotated[str, typer.Option("--second", help="Another worker's reference.")],
    word_file: WordFile = None,
) -> None:
    """Undo a stop that somebody made for her: two of us and her code word (--as agency-a)."""
    client = context.agency()
    index = client.resume_for_her(
        grant,
        worker_ref=reference(worker, "--worker"),
        second_ref=reference(second, "--second"),
        code_word=said("her code word", word_file),
    )
    emit({"grant": grant, "index": index}, f"sharing is on again\nledger entry {index}: RESUME")


@command
def lift_wait(
    worker: Worker,
    ref: Annotated[str, typer.Option("--ref", help=f"Our own reference: {REFERENCE}.")],
    word_file: WordFile = None,
) -> None:
    """Get a number to read out to her, so that she need not wait to sign in (--as agency-a)."""
    own = reference(ref, "--ref")
    worker_ref = reference(worker, "--worker")
    client = context.agency()
    number, ends = client.lift_wait(
        own, worker_ref=worker_ref, code_word=said("her code word", word_file)
    )
    emit(
        {"number": number, "expires_at": ends},
        f"number: {spaced(number)}\n"
        f"read it out to her; she types it at the sign-in, with card and PIN, until {_day(ends)}\n"
        "it is good for one sign-in, and she sees who asked for it and when",
    )


@command
def code_word(
    word_file: WordFile = None, card_file: CardFile = None, pin_file: PinFile = None
) -> None:
    """Set the word without which no worker can resume for you, or get you a number to sign in with
    (--as her)."""
    word = said("code word", word_file)
    with _signed_in(card_file, pin_file) as her:
        her.set_code_word(word)
    emit({"set": True}, "your code word is set; it opens nothing, and is shown nowhere")


@command
def stops(card_file: CardFile = None, pin_file: PinFile = None) -> None:
    """Every stop and resume, yours and others', and every number that a worker asked for, with who
    and when (--as her)."""
    with _signed_in(card_file, pin_file) as her:
        found = her.stops()
    emit([_note(item) for item in found], "\n".join(map(_line, found)) or "nothing was stopped")


@command
def stop_as_representative(code_file: CodeFile = None) -> None:
    """Stop for somebody who gave you a code (at the portal: --as her)."""
    at = context.survivor().stop_as_representative(secret("code", code_file))
    emit(
        {"recorded_at": at},
        f"recorded at {_day(at)}: if the code is a live one, all sharing of hers has stopped\n"
        "nothing is destroyed for 72 hours; she can undo it with card and PIN",
    )


@people.command("list")
@command
def list_people(card_file: CardFile = None, pin_file: PinFile = None) -> None:
    """Who holds a code now."""
    with _signed_in(card_file, pin_file) as her:
        found = her.representatives()
    emit(
        [
            {
                "representative": one.representative,
                "relation": one.relation,
                "added_at": one.added_at.seconds,
            }
            for one in found
        ],
        "\n".join(
            f"{one.representative}  {one.relation}, since {_day(one.added_at.seconds)}"
            for one in found
        )
        or "nobody",
    )


@people.command("add")
@command
def add_person(
    relation: Annotated[str, typer.Option(help=f"Who it is to you: {words(REPRESENTATIVES)}.")],
    card_file: CardFile = None,
    pin_file: PinFile = None,
) -> None:
    """Let somebody stop for you. The code is shown once."""
    one_of(relation, REPRESENTATIVES, "--relation")
    with _signed_in(card_file, pin_file) as her:
        made = her.add_representative(relation)
    emit(
        {
            "representative": made.representative.representative,
            "relation": relation,
            "code": made.representative_code,
        },
        f"code: {spaced(made.representative_code)}\n"
        "whoever holds it can stop all your sharing, and do nothing else\n"
        f"to take it back: consent representatives remove {made.representative.representative}",
    )


@people.command("remove")
@command
def remove_person(
    representative: Annotated[str, typer.Argument(help="See: consent representatives list")],
    card_file: CardFile = None,
    pin_file: PinFile = None,
) -> None:
    """Take a code back: it stops nothing any more."""
    with _signed_in(card_file, pin_file) as her:
        her.remove_representative(representative)
    emit({"representative": representative, "removed": True}, "that code stops nothing any more")


def _note(item: stops_pb2.StopNote) -> dict[str, object]:
    return {
        "at": item.at.seconds,
        "action": item.action,
        "by": item.by,
        "agency": item.agency,
        "worker_ref": item.worker_ref,
        "second_ref": item.second_ref,
        "channel": item.channel,
        "why": item.why,
        "relation": item.relation,
        "refused": item.refused,
        "more": item.more,
        "grants": [{"grant": one.grant, "index": one.ledger_index} for one in item.grants],
    }


def _line(item: stops_pb2.StopNote) -> str:
    who = BY.get(item.by, item.by)
    if item.relation:
        who += f" ({item.relation})"
    if item.agency:
        refs = " and ".join(filter(None, (item.worker_ref, item.second_ref)))
        who += f": {refs} of {item.agency_name or item.agency}"
        who += f", by {item.channel}" if item.channel else ""
    did = DID.get(item.action, item.action) + (" refused" if item.refused else "")
    text = f"{_day(item.at.seconds)}  {did:<6} {who}"
    if item.why:
        text += " (you said that you were made to agree)"
    for one in item.grants:
        what = f"ledger entry {one.ledger_index}" if one.ledger_index >= 0 else "changed nothing"
        text += f"\n  {one.grant}  {what}"
    if item.more:
        text += f"\n  and {item.more} more like it within a day, which changed nothing"
    return text

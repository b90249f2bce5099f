"""``safehand consent``: an agency asks, she answers; and what she takes out of a consent again.

Added to the group of ``commands_consent``. ``ask`` and ``asks`` are an agency's (``--as
agency-a``); the rest is said at the portal (``--as her``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from safehand.consent.v1 import asks_pb2
from safehand_client import Circumstances, SurvivorClient, slips
from safehand_client.trust import TrustStore
from safehand_core.clock import SystemClock
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CARD, CATEGORIES, CONSENT_GIVEN_HOW, CONSENT_PRESENT, PURPOSES
from safehand_formats.bodies import decode_body
from safehand_formats.kinds import Kind

from safehand_cli import context
from safehand_cli.context import (
    REFERENCE,
    command,
    each_of,
    emit,
    one_of,
    reference,
    secret,
    words,
)

SAID: Final = ("yes", "no", "later")
DAY_S: Final = 86_400

CardFile = Annotated[Path | None, typer.Option("--card-file", help="Card number; else asked for.")]
PinFile = Annotated[Path | None, typer.Option("--pin-file", help="PIN; else asked for.")]
Question = Annotated[str, typer.Argument(help="The question's id; see: consent questions")]
Grant = Annotated[str, typer.Argument(help="The grant's id; see: consent list")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the group ``consent``."""
    for function in (ask, asks, questions, answer, refusals, narrow):
        app.command()(function)


@contextmanager
def _signed_in(card_file: Path | None, pin_file: Path | None) -> Iterator[SurvivorClient]:
    client = context.survivor()
    client.sign_in(secret("card number", card_file), secret("PIN", pin_file))
    try:
        yield client
    finally:
        client.sign_out()
        client.close()


def _day(stamp: Timestamp) -> str:
    return stamp.ToDatetime().strftime("%Y-%m-%d %H:%M UTC")


def _in_days(days: int | None) -> int | None:
    return None if days is None else SystemClock().wall() + days * DAY_S


# --- an agency -----------------------------------------------------------------------------------


def _ask_view(item: asks_pb2.AgencyAsk) -> dict[str, object]:
    return {
        "ask": item.ask,
        "subject_ref": item.subject_ref,
        "releasing_agency": item.releasing_agency,
        "recipient_agency": item.recipient_agency,
        "purpose": item.purpose,
        "categories": list(item.categories),
        "days": item.days,
        "state": asks_pb2.AskState.Name(item.state).removeprefix("ASK_STATE_").lower(),
        "asked_at": item.asked_at.seconds,
        "ends_at": item.ends_at.seconds,
        "grant": item.grant,
    }


def _ask_text(item: asks_pb2.AgencyAsk) -> str:
    view = _ask_view(item)
    line = (
        f"{item.ask}  {view['state']:<5} {item.subject_ref}: from {item.releasing_agency} to "
        f"{item.recipient_agency}, {', '.join(item.categories)} for {item.purpose}, "
        f"{item.days} days"
    )
    if item.state == asks_pb2.ASK_STATE_OPEN:
        line += f"\n  open until {_day(item.ends_at)}"
    if item.grant:
        line += f"\n  she said yes to all or part of it: grant {item.grant}"
    return line


@command
def ask(
    ref: Annotated[str, typer.Option(help=f"Our own reference for her: {REFERENCE}.")],
    worker: Annotated[str, typer.Option(help=f"The worker who asks; she sees it: {REFERENCE}.")],
    releasing: Annotated[str, typer.Option("--from", help="The agency that would send.")],
    recipient: Annotated[str, typer.Option("--to", help="The one agency that would receive.")],
    purpose: Annotated[str, typer.Option(help=f"What for: {words(PURPOSES)}.")],
    category: Annotated[
        list[str], typer.Option(help=f"What; repeat it: {words(CATEGORIES)}. CARD is always in.")
    ],
    days: Annotated[int, typer.Option(help="For how many days from her answer; at most 180.")] = 90,
    notice: Annotated[
        Path | None, typer.Option(help="The text that explains it; else the standard notice.")
    ] = None,
    language: Annotated[str, typer.Option(help="The language of that text.")] = "en",
) -> None:
    """Ask her for a consent. She may say yes to all or part, no, later, or nothing."""
    reference(ref, "--ref")
    reference(worker, "--worker")
    one_of(purpose, PURPOSES, "--purpose")
    each_of(category, CATEGORIES, "--category")
    text = {}
    if notice is not None:
        text["notice_sha256"] = hashlib.sha256(notice.read_bytes()).hexdigest()
    client = context.agency()
    try:
        filed = client.ask_consent(
            subject_ref=ref,
            worker_ref=worker,
            releasing=releasing,
            recipient=recipient,
            purpose=purpose,
            categories=category,
            days=days,
            language=language,
            **text,
        )
    finally:
        client.close()
    emit(
        _ask_view(filed),
        f"{_ask_text(filed)}\nonly a yes will show here, whatever she decides: see consent asks",
    )


@command
def asks(
    ref: Annotated[str, typer.Option(help="Only this reference of ours.")] = "",
) -> None:
    """What we asked in the last 90 days: open, given, or over."""
    if ref:
        reference(ref, "--ref")
    client = context.agency()
    try:
        found = client.asks(ref)
    finally:
        client.close()
    emit([_ask_view(item) for item in found], "\n".join(map(_ask_text, found)) or "nothing asked")


# --- she -----------------------------------------------------------------------------------------


def _question_view(item: asks_pb2.Question) -> dict[str, object]:
    return {
        "ask": item.ask,
        "asker": item.asker,
        "worker_ref": item.worker_ref,
        "releasing_agency": item.releasing_agency,
        "recipient_agency": item.recipient_agency,
        "purpose": item.purpose,
        "categories": list(item.categories),
        "days": item.days,
        "state": asks_pb2.QuestionState.Name(item.state).removeprefix("QUESTION_STATE_").lower(),
        "asked_at": item.asked_at.seconds,
        "ends_at": item.ends_at.seconds,
        "put_off": item.put_off,
        "later_at": item.later_at.seconds if item.HasField("later_at") else None,
        "grant": item.grant,
    }


def _question_text(item: asks_pb2.Question) -> str:
    lines = [
        f"{item.ask}  {item.asker_name or item.asker} ({item.worker_ref}) asks: may "
        f"{item.releasing_name or item.releasing_agency} send "
        f"{item.recipient_name or item.recipient_agency} {', '.join(item.categories)} for "
        f"{PURPOSES.get(item.purpose, item.purpose)}, for at most {item.days} days?"
    ]
    if item.state == asks_pb2.QUESTION_STATE_OPEN:
        lines.append(f"  you can answer until {_day(item.ends_at)}; doing nothing is no consent")
    if item.HasField("later_at"):
        lines.append(f"  you wanted to come back to it on {_day(item.later_at)}")
    elif item.put_off:
        lines.append("  you said later")
    return "\n".join(lines)


@command
def questions(card_file: CardFile = None, pin_file: PinFile = None) -> None:
    """Who asks for what, and until when she can answer."""
    with _signed_in(card_file, pin_file) as her:
        found = her.questions()
    emit(
        [_question_view(item) for item in found],
        "\n".join(map(_question_text, found)) or "nobody asks for anything",
    )


@command
def answer(
    question: Question,
    said: Annotated[str, typer.Argument(help=f"One of: {words(SAID)}.")],
    category: Annotated[
        list[str] | None,
        typer.Option(help="With yes: what; repeat it. CARD is always in. Nothing is preset."),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(help="With yes: until when, default 90 or less. With later: in how many."),
    ] = None,
    erase_days: Annotated[
        int | None, typer.Option(help="With yes: days until they must have erased it.")
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
    """Answer a question: yes to all or part of it, no, or later."""
    one_of(said, SAID, "SAID")
    one_of(given_how, CONSENT_GIVEN_HOW, "--given-how")
    one_of(present, CONSENT_PRESENT, "--present")
    chosen = each_of(category or [], CATEGORIES, "--category")
    if (said == "yes") != bool(chosen):
        raise SafehandError(Reason.MALFORMED, "a yes names what, and nothing else does: --category")
    shown = Circumstances(language=language, given_how=given_how, present=present)
    with _signed_in(card_file, pin_file) as her:
        if said == "yes":
            done = her.say_yes(
                question,
                chosen,
                expires_at=_in_days(days),
                erase_by=_in_days(erase_days),
                shown=shown,
            )
        elif said == "no":
            done = her.say_no(question, shown=shown)
        else:
            done = her.say_later(question, _in_days(days))
    data = _question_view(done.question)
    lines = ["they are told nothing until the question's time is over, and then not what you said"]
    if done.HasField("receipt"):
        data["index"] = done.receipt.index
        lines.append(f"ledger entry {done.receipt.index}")
    if said == "yes":
        lines[0] = (
            f"{done.grant.terms.recipient_agency} may get "
            f"{', '.join(done.grant.terms.categories)} for {done.grant.terms.purpose}, until "
            f"{_day(done.grant.terms.expires_at)}: grant {done.grant.grant}"
        )
    elif said == "no":
        lines.insert(0, "you said no; nothing else changes anywhere")
    else:
        lines.insert(0, f"it stays open until {_day(done.question.ends_at)}")
    emit(data, "\n".join(lines))


@command
def refusals(card_file: CardFile = None, pin_file: PinFile = None) -> None:
    """What she said no to, each proven under the pinned ledger key, with its check code."""
    verifier = TrustStore(context.party().trust).verifier
    with _signed_in(card_file, pin_file) as her:
        answers = [
            (item, her.refusal_receipt(item.ask))
            for item in her.questions(asks_pb2.QUESTION_STATE_REFUSED)
        ]
    found = [
        (
            item,
            slips.of_refusal(answer, item.ask, verifier),
            decode_body(Kind.REFUSE, answer.receipt.body),
        )
        for item, answer in answers
    ]
    emit(
        [
            {**_question_view(item), "index": slip.index, "code": slip.code, "body": body}
            for item, slip, body in found
        ],
        "\n".join(
            f"{_day(item.answered_at)}  you said no to {item.asker_name or item.asker}: "
            f"{', '.join(item.categories)} to {item.recipient_name or item.recipient_agency} for "
            f"{PURPOSES.get(item.purpose, item.purpose)}; ledger entry {slip.index}, proven\n"
            f"  check code {slip.code}; in plain words: safehand slip show --ask {item.ask}"
            for item, slip, _ in found
        )
        or "you said no to nothing",
    )


@command
def narrow(
    grant: Grant,
    take_out: Annotated[
        list[str] | None, typer.Option("--take-out", help="What; repeat it. CARD always stays.")
    ] = None,
    days: Annotated[int | None, typer.Option(help="End it so many days from now.")] = None,
    card_file: CardFile = None,
    pin_file: PinFile = None,
) -> None:
    """Take something out of a consent, or end it earlier. There is no undo; the rest goes on."""
    gone = set(each_of(take_out or [], CATEGORIES, "--take-out"))
    if CARD in gone or not (gone or days is not None):
        raise SafehandError(
            Reason.MALFORMED,
            "name what to take out, or an earlier end; to end everything: consent stop",
            metadata={"option": "--take-out, --days"},
        )
    with _signed_in(card_file, pin_file) as her:
        held = next((item for item in her.grants() if item.grant == grant), None)
        if held is None:
            raise SafehandError(Reason.NOT_FOUND)
        if not gone <= set(held.terms.categories):
            raise SafehandError(
                Reason.MALFORMED,
                "the consent does not have that",
                metadata={"option": "--take-out", "has": words(held.terms.categories)},
            )
        done = her.narrow(
            grant, sorted(set(held.terms.categories) - gone), expires_at=_in_days(days)
        )
    terms = done.grant.terms
    lines = [f"ledger entry {done.receipt.index}: NARROW"]
    if done.removed:
        lines.append(
            f"{', '.join(done.removed)}: taken out, for good. The keys are deleted: what was not "
            "opened cannot be opened any more"
        )
    lines.append(
        f"{terms.recipient_agency} may still get {', '.join(terms.categories)}, until "
        f"{_day(terms.expires_at)}"
    )
    emit(
        {
            "grant": grant,
            "removed": list(done.removed),
            "categories": list(terms.categories),
            "expires_at": terms.expires_at.seconds,
            "index": done.receipt.index,
        },
        "\n".join(lines),
    )

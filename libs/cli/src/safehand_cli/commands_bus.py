"""``safehand bus``: what an operator does about events that did not arrive."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from safehand.events.v1 import events_pb2
from safehand.notify.v1 import notify_pb2
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from safehand_cli import context
from safehand_cli.context import EXIT_WRONG, command, emit, one_of, words

SOURCES: Final = ("consent", "referral")
"""Services whose events are on the bus."""

app = typer.Typer(no_args_is_help=True)
dead = typer.Typer(no_args_is_help=True)
app.add_typer(dead, name="dead", help="What could not be applied (--as notify, or referral).")

Number = Annotated[int, typer.Argument(metavar="ID", min=1, help="Number of the dead letter.")]


def _keeper() -> str:
    """Whose dead letters: referral's own operator sees referral's, everybody else notify's."""
    return "referral" if context.CURRENT.party == "referral" else "notify"


def _word(letter: notify_pb2.DeadLetter) -> str:
    name = notify_pb2.DeadLetterState.Name(letter.state)
    return name.removeprefix("DEAD_LETTER_STATE_").lower()


def _json(letter: notify_pb2.DeadLetter) -> dict[str, Any]:
    event = None
    if letter.HasField("event"):
        event = {
            "id": letter.event.id,
            "type": _type(letter.event),
            "time": letter.event.time.seconds,
            "sequence": letter.event.sequence,
            "audience": letter.event.audience,
            "resource": letter.event.resource,
        }
    return {
        "letter": letter.letter,
        "state": _word(letter),
        "source": letter.source,
        "stream_sequence": letter.stream_sequence,
        "error": letter.error,
        "attempts": letter.attempts,
        "time": letter.time.seconds,
        "size": letter.size,
        "sha256": letter.sha256,
        "event": event,
    }


def _type(event: events_pb2.Event) -> str:
    if event.type not in events_pb2.EventType.values():
        return str(event.type)
    return events_pb2.EventType.Name(event.type).removeprefix("EVENT_TYPE_").lower()


def _line(letter: notify_pb2.DeadLetter) -> str:
    what = letter.event.id if letter.HasField("event") else f"{letter.source}, no event"
    return (
        f"{letter.letter:>6}  {_word(letter):<8} {what:<24} {letter.error}, "
        f"{letter.attempts} attempts"
    )


@dead.command("list")
@command
def list_() -> None:
    """List the open ones: where each is from, its error, its attempts."""
    found = context.operator().dead_letters(_keeper())
    emit(
        {"open": len(found), "letters": [_json(letter) for letter in found]},
        "\n".join(map(_line, found)) or "no dead letters",
    )


@dead.command()
@command
def show(letter: Number) -> None:
    """Show one: its event (ids and types only), and what went wrong."""
    found = _json(context.operator().dead_letter(letter, _keeper()))
    event = found.pop("event")
    when = datetime.fromtimestamp(found["time"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    lines = {**found, "time": when}
    if event is None:
        lines["event"] = "none: its bytes are no event, and are not kept"
    else:
        lines.update({f"event {key}": value for key, value in event.items()})
    emit(
        {**found, "event": event},
        "\n".join(f"{key:<16} {value}" for key, value in lines.items()),
    )


@dead.command()
@command
def replay(
    letter: Annotated[int, typer.Argument(metavar="ID", min=0, help="Its number.")] = 0,
    every: Annotated[bool, typer.Option("--all", help="Every open one.")] = False,
) -> None:
    """Try again. Each is applied once, however often it is replayed.

    Exits 1 where one failed again: its cause is still there.
    """
    if every == bool(letter):
        raise SafehandError(
            Reason.MALFORMED, "name one dead letter, or say --all", metadata={"option": "ID, --all"}
        )
    found = context.operator().replay_dead_letters([letter] if letter else [], _keeper())
    failed = [item for item in found if item.state == notify_pb2.DEAD_LETTER_STATE_OPEN]
    emit(
        {"failed": len(failed), "letters": [_json(item) for item in found]},
        "\n".join(map(_line, found)) or "no dead letters",
    )
    if failed:
        raise typer.Exit(EXIT_WRONG)


@app.command("replay")
@command
def replay_events(
    service: Annotated[str, typer.Option(help=f"Whose events: {words(SOURCES)}.")],
    start: Annotated[
        int, typer.Option("--from", min=1, help="Number of the first event to publish again.")
    ],
) -> None:
    """Publish a service's events on the bus again (--as the same service).

    Whoever applied them before does nothing. A stream that lost its store needs no replay.
    """
    one_of(service, SOURCES, "--service")
    number, last = context.operator().replay_events(service, start)
    emit(
        {"service": service, "round": number, "from": start, "last": last},
        f"replay {number} of {service}: events {start} to {last}, and what follows",
    )

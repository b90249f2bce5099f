"""``safehand listen``: an agency's events as they happen."""

from __future__ import annotations

from typing import Annotated

import typer
from safehand.events.v1 import events_pb2
from safehand_core.errors import SafehandError

from safehand_cli import context
from safehand_cli.context import command, emit

app = typer.Typer(add_completion=False)


def _say(error: SafehandError, seconds: float) -> None:
    typer.echo(f"{error.reason.value}: listening again in {seconds:.1f} s", err=True)


@app.command()
@command
def listen(
    after: Annotated[int, typer.Option(help="The last cursor that you dealt with.")] = 0,
    count: Annotated[int, typer.Option(help="Stop after this many; 0 means never.")] = 0,
    acknowledge: Annotated[
        bool,
        typer.Option(help="Say of each that it was dealt with, as soon as it is printed."),
    ] = False,
) -> None:
    """Follow our events: ids and types only, never content.

    Goes on after the service was away: it asks again behind the last event that it printed.
    """
    client = context.agency()
    seen = 0
    try:
        for delivery in client.follow(after, on_retry=_say):
            event = delivery.event
            word = events_pb2.EventType.Name(event.type).removeprefix("EVENT_TYPE_").lower()
            emit(
                {
                    "cursor": delivery.cursor,
                    "type": word,
                    "time": event.time.seconds,
                    "resource": event.resource,
                    "id": event.id,
                },
                f"{delivery.cursor:>6}  {word:<28} {event.resource}",
            )
            if acknowledge:
                client.acknowledge_deliveries(delivery.cursor)
            seen += 1
            if count and seen >= count:
                return
    except KeyboardInterrupt:
        return

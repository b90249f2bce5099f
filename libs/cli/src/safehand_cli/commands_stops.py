"""``safehand stops``: which agencies have not acknowledged a stop. For notify's operator."""

from __future__ import annotations

from typing import Annotated

import typer
from safehand_core.clock import SystemClock

from safehand_cli import context
from safehand_cli.context import EXIT_WRONG, command, emit

app = typer.Typer(no_args_is_help=True)

_MINUTE = 60
_HOUR = 60 * _MINUTE


@app.callback()
def stops() -> None:
    """Stops that an agency has not said to have dealt with."""


@app.command()
@command
def waiting(
    older_than: Annotated[
        int, typer.Option(help="Only stops that are at least so many seconds old.")
    ] = 0,
) -> None:
    """Name the agencies to phone, the one with the oldest stop first. Exit 1 where there are any.

    Which stop it is stays between her and the agency: it asks with safehand listen.
    """
    client = context.operator()
    try:
        now = SystemClock().wall()
        found = [
            (one.agency, one.stops, max(0, now - one.oldest.seconds))
            for one in client.waiting_stops()
            if now - one.oldest.seconds >= older_than
        ]
    finally:
        client.close()
    lines = [
        f"{agency:<40} {count:>5} stops, the oldest {_age(age)}" for agency, count, age in found
    ]
    emit(
        {
            "agencies": [
                {"agency": agency, "stops": count, "oldest_age_s": age}
                for agency, count, age in found
            ]
        },
        "\n".join(lines) or "every stop is acknowledged",
    )
    if found:
        raise typer.Exit(EXIT_WRONG)


def _age(seconds: int) -> str:
    if seconds >= _HOUR:
        return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE} min ago"
    if seconds >= _MINUTE:
        return f"{seconds // _MINUTE} min ago"
    return f"{seconds} s ago"

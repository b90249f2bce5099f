"""``safehand keys``: consent's keys and clock, and an agency's keys."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from safehand_cli import commands_identity, context
from safehand_cli.context import command, emit

if TYPE_CHECKING:
    from safehand_client._internal.key_life import OwnKey

app = typer.Typer(no_args_is_help=True)
app.add_typer(commands_identity.app, name="identity", help="An agency's identity key.")


@app.command()
@command
def roll() -> None:
    """Replace the release KEK now (--as consent); by itself it is replaced every 20 hours."""
    answer = context.operator().roll_keys()
    emit(
        {"epoch": answer.epoch, "rewrapped": answer.rewrapped},
        f"epoch {answer.epoch}: {answer.rewrapped} live keys wrapped again, the old KEK is gone",
    )


@app.command("confirm-clock")
@command
def confirm_clock() -> None:
    """Say that this machine's clock is right, after CLOCK_SUSPECT."""
    answer = context.operator().confirm_clock()
    emit(
        {"ledger_now": answer.ledger_now.seconds},
        f"the ledger's time is {answer.ledger_now.ToDatetime()} UTC",
    )


@app.command("rotate-token")
@command
def rotate_token(
    stolen: Annotated[
        bool, typer.Option("--stolen", help="The old one was stolen: nothing verifies under it.")
    ] = False,
) -> None:
    """Make consent's next token key now (--as consent); by itself it does so every 30 days."""
    key = context.operator().rotate_token_key(stolen=stolen)
    emit(
        {"kid": key.kid, "signs_from": key.signs_from.seconds},
        f"token key {key.kid} signs from {_when(key.signs_from.seconds)}",
    )


@app.command("list")
@command
def list_keys() -> None:
    """Our recipient keys, and what still needs each (--as an agency)."""
    found = context.agency().own_keys()
    emit({"keys": [_json(key) for key in found]}, "\n".join(map(_line, found)) or "none")


@app.command()
@command
def rotate(
    days: Annotated[int, typer.Option(help="Days that the key is meant to live.")] = 90,
) -> None:
    """Publish our next recipient key (--as an agency). The one before still opens what it must."""
    record = context.agency().rotate_key(days).record
    emit(
        {"kid": record.kid, "sequence": record.sequence, "not_after": record.not_after},
        f"key {record.sequence}: {record.kid}, until {_when(record.not_after)}",
    )


@app.command()
@command
def retire(
    key: Annotated[
        str, typer.Option(help="Only this one (64 hex), or be refused; default: all that may go.")
    ] = "",
) -> None:
    """Delete private recipient keys that nothing needs any more (--as an agency). For good."""
    client = context.agency()
    if key:
        client.retire_key(key)
        emit({"retired": [key], "kept": []}, f"{key} is deleted")
        return
    gone, kept = client.retire_keys()
    text = [f"{kid} is deleted" for kid in gone] + [f"kept: {_line(item)}" for item in kept]
    emit({"retired": gone, "kept": [_json(item) for item in kept]}, "\n".join(text) or "none")


@app.command()
@command
def lost(
    days: Annotated[int, typer.Option(help="Days that the new key is meant to live.")] = 90,
) -> None:
    """After a private recipient key was lost: publish a new one, and list what its senders must
    seal again (--as an agency)."""
    client = context.agency()
    record = client.rotate_key(days).record
    waiting = client.unopenable()
    lines = [f"key {record.sequence}: {record.kid}"]
    lines += [f"ask {item.sender} to seal again: {item.referral}" for item in waiting]
    emit(
        {
            "kid": record.kid,
            "unopenable": [
                {"referral": item.referral, "sender": item.sender, "kid": item.kid}
                for item in waiting
            ],
        },
        "\n".join(lines if waiting else [*lines, "nothing waits for a key that is lost"]),
    )


def _when(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _json(key: OwnKey) -> dict[str, object]:
    return {
        "kid": key.kid,
        "newest": key.newest,
        "open": key.open_manifests,
        "until": key.until,
        "sealed_until": key.sealed_until,
    }


def _line(key: OwnKey) -> str:
    if key.newest:
        return f"{key.kid}: the newest, everybody seals to it; {key.open_manifests} open"
    until = f", until {_when(key.until)}" if key.until else ""
    sealed = f"; sealed to until {_when(key.sealed_until)}" if key.sealed_until else ""
    return f"{key.kid}: {key.open_manifests} open{until}{sealed}"

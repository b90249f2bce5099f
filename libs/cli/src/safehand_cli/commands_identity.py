"""``safehand keys identity``: an agency's identity key, from the next one to the end of the old.

The agency says ``rotate`` (again and again, until it is done), consent's operator says ``admit``
once in between, peers need say nothing. Only where the old key is lost or stolen do operators and
peers have the new fingerprint typed.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from safehand_core.errors import SafehandError
from safehand_core.keystore import write_atomic
from safehand_core.reasons import Reason
from safehand_formats.signing import identity_key_id

from safehand_cli import context
from safehand_cli.context import command, emit, read_text

if TYPE_CHECKING:
    from safehand_client._internal.identity_life import Rotation
    from safehand_client._internal.known_keys import KnownKey

app = typer.Typer(no_args_is_help=True)

DAY_S = 24 * 3600


@app.command()
@command
def rotate(
    out: Annotated[Path, typer.Option(help="Write the file for the operators here.")],
    overlap_days: Annotated[
        float, typer.Option(help="Days for which the old key holds too, at most 90.", min=0, max=90)
    ] = 14,
    lost: Annotated[
        bool, typer.Option("--lost", help="The old key is lost: operators vouch for the new one.")
    ] = False,
    stolen: Annotated[
        bool, typer.Option("--stolen", help="The old key was stolen: it vouches for nothing.")
    ] = False,
) -> None:
    """Replace our identity key (--as an agency). Say it again until it is done: each time it goes
    on where it stands, also after a crash."""
    done = context.agency().rotate_identity(round(overlap_days * DAY_S), lost=lost, stolen=stolen)
    if done.waits_for:
        write_atomic(out, done.key.to_text().encode(), mode=0o644)
    fingerprint = identity_key_id(done.key.new)
    emit(
        {
            "fingerprint": fingerprint,
            "old": identity_key_id(done.key.old),
            "waits_for": done.waits_for,
            "file": str(out) if done.waits_for else "",
            "old_until": done.old_until,
        },
        _next(done, fingerprint, out),
    )


@app.command()
@command
def admit(
    file: Annotated[Path, typer.Argument(help="What the agency's rotate wrote.")],
    fingerprint: Annotated[
        str, typer.Option(help="The new fingerprint, typed from another channel.")
    ],
    vouch: Annotated[
        bool,
        typer.Option("--vouch", help="The old key is lost and signed nothing: your word alone."),
    ] = False,
    overlap_days: Annotated[
        int, typer.Option(help="With --vouch: days for which the old key holds too, at most 90.")
    ] = 0,
) -> None:
    """Take an agency's next identity key (--as consent; with --vouch also --as referral)."""
    from safehand_client._internal.identity_life import NewKey

    key = NewKey.from_text(read_text(file))
    if identity_key_id(key.new) != _typed(fingerprint):
        raise SafehandError(Reason.SIGNATURE_INVALID, "the fingerprint is of another key")
    if (key.signed is None) != vouch:
        raise SafehandError(
            Reason.MALFORMED,
            "the old key signed for it: leave --vouch out"
            if vouch
            else "the old key did not sign for it: --vouch, if you know that it is lost",
            metadata={"option": "--vouch"},
        )
    old, overlap_s = identity_key_id(key.old), overlap_days * DAY_S if vouch else None
    operator = context.operator()
    if context.CURRENT.party != "referral":
        operator.rotate_agency_key(key.agency, old, key.new, overlap_s, signed=key.signed)
    elif vouch:
        operator.relist_agency_key(key.agency, old, key.new, overlap_s)
    else:
        raise SafehandError(
            Reason.MALFORMED,
            "the agency lists it in the directory itself",
            metadata={"option": "--as"},
        )
    emit(
        {"agency": key.agency, "old": old, "fingerprint": identity_key_id(key.new)},
        f"{key.agency}: {identity_key_id(key.new)} is taken\nthe agency says rotate once more",
    )


@app.command()
@command
def retire() -> None:
    """Delete our old identity keys that hold no more (--as an agency). For good."""
    gone, kept = context.agency().retire_identity()
    text = [f"{item} is deleted" for item in gone] + [f"kept: {item} still holds" for item in kept]
    emit({"retired": gone, "kept": kept}, "\n".join(text) or "none")


@app.command()
@command
def revoke(
    agency: Annotated[str, typer.Argument(help="Agency id.")],
    fingerprint: Annotated[str, typer.Option(help="Fingerprint of the key that was stolen.")],
) -> None:
    """Refuse a stolen key from now on (--as consent and --as referral, one after the other)."""
    stolen, operator = _typed(fingerprint), context.operator()
    if context.CURRENT.party == "referral":
        operator.unlist_agency_key(agency, stolen)
    else:
        operator.revoke_agency_key(agency, stolen)
    emit({"agency": agency, "fingerprint": stolen}, f"{agency}: {stolen} is refused from now on")


@app.command()
@command
def pin(
    agency: Annotated[str, typer.Argument(help="The peer.")],
    fingerprint: Annotated[str, typer.Option(help="Its fingerprint, typed from another channel.")],
) -> None:
    """Pin a peer's key whose old one is lost or was stolen (--as an agency). Sign a new protocol
    after it: the old one no longer counts."""
    context.agency().pin_peer(agency, fingerprint)
    emit({"agency": agency, "fingerprint": _typed(fingerprint)}, f"{agency}: pinned")


@app.command("list")
@command
def list_keys(
    agency: Annotated[str, typer.Argument(help="A peer; default: ourselves.")] = "",
) -> None:
    """List the identity keys that we know, ours or a peer's, the newest first (--as an agency)."""
    client = context.agency()
    if agency:
        client.look_at_peer(agency)
    known = client.trust.known.of(agency) if agency else client.own_identity_keys()
    found = known[::-1]
    emit({"keys": [_json(key) for key in found]}, "\n".join(map(_line, found)))


def _next(done: Rotation, fingerprint: str, out: Path) -> str:
    if not done.waits_for:
        until = f"; the old one holds until {_when(done.old_until)}" if done.old_until else ""
        return f"done: we sign with {fingerprint}{until}"
    vouch = "" if done.key.signed is not None else " --vouch"
    return (
        f"carry {out} to the operator of {done.waits_for}, and read out the fingerprint\n"
        f"  {fingerprint}\nover another channel. There:\n"
        f"  safehand --as {done.waits_for} keys identity admit {out} --fingerprint …{vouch}\n"
        "then say rotate again, as before"
    )


def _json(key: KnownKey) -> dict[str, Any]:
    return {
        "fingerprint": key.fingerprint,
        "not_before": key.not_before,
        "retired_at": key.retired_at,
        "revoked_at": key.revoked_at,
        "disputed": key.disputed,
    }


def _line(key: KnownKey) -> str:
    words = [key.fingerprint]
    if key.retired_at is not None:
        words.append(f"until {_when(key.retired_at)}")
    if key.revoked_at is not None:
        words.append(f"revoked {_when(key.revoked_at)}")
    if key.disputed:
        words.append("it signed for two successors: phone the agency")
    return ", ".join(words)


def _when(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _typed(fingerprint: str) -> str:
    """A fingerprint as people write it: with spaces, colons, capitals."""
    return fingerprint.replace(" ", "").replace(":", "").lower()

"""``safehand agency``: who we are, whom we trust, our recipient keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from safehand_client import agreement
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CATEGORIES, PURPOSES
from safehand_formats.signing import identity_key_id

from safehand_cli import context
from safehand_cli.context import command, each_of, emit, read_hex, read_text, words

app = typer.Typer(no_args_is_help=True)


@app.command()
@command
def fingerprint() -> None:
    """Print our identity key's fingerprint, to be read to a peer over another channel."""
    client = context.agency()
    emit({"agency": client.agency, "fingerprint": client.fingerprint}, client.fingerprint)


@app.command()
@command
def identity(
    out: Annotated[Path, typer.Option(help="Write the public key (64 hex) to this file.")],
) -> None:
    """Write our public identity key to a file, to be carried to the operators who enrol us."""
    client = context.agency()
    out.write_text(client.identity_public.hex() + "\n")
    emit({"file": str(out), "fingerprint": client.fingerprint}, f"written to {out}")


@app.command()
@command
def enrol(
    agency: Annotated[str, typer.Argument(help="Agency id.")],
    key_file: Annotated[Path, typer.Option("--key", help="Its public identity key, 64 hex.")],
    name: Annotated[str, typer.Option(help="Its name, as she will read it.")],
    organization: Annotated[
        list[str] | None, typer.Option(help="HSDS organisation that it delivers for.")
    ] = None,
) -> None:
    """Enrol an agency: --as consent pins its key there, --as referral lists it."""
    key = read_hex(key_file)
    client = context.operator()
    if context.CURRENT.party == "referral":
        client.register(agency, key, name, organization or ())
        found = identity_key_id(key)
    else:
        found = client.enrol(agency, key, name)
    emit(
        {"agency": agency, "fingerprint": found},
        f"{agency}: key {found}\ncompare it with the agency over another channel",
    )


@app.command()
@command
def propose(
    to: Annotated[str, typer.Option(help="The peer agency.")],
    fingerprint: Annotated[str, typer.Option(help="Its fingerprint, typed from another channel.")],
    out: Annotated[Path, typer.Option(help="Write the half-signed protocol here.")],
    purpose: Annotated[
        list[str] | None,
        typer.Option(help=f"Repeat it; default all: {words(PURPOSES)}."),
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(help=f"Repeat it; default all: {words(CATEGORIES)}."),
    ] = None,
    days: Annotated[int, typer.Option(help="Days that it lives.")] = agreement.PROTOCOL_DAYS,
    focal_point: Annotated[str, typer.Option(help="Our role that answers.")] = "referral desk",
    peer_focal_point: Annotated[str, typer.Option(help="Theirs.")] = "intake desk",
) -> None:
    """Propose a sharing protocol, signed by us alone."""
    text = agreement.propose(
        context.agency(),
        peer=to,
        peer_fingerprint=fingerprint,
        purposes=each_of(purpose or tuple(PURPOSES), PURPOSES, "--purpose"),
        categories=each_of(category or tuple(CATEGORIES), CATEGORIES, "--category"),
        focal_point=focal_point,
        peer_focal_point=peer_focal_point,
        days=days,
    )
    out.write_text(text)
    emit({"file": str(out)}, f"written to {out}: hand it to {to}")


@app.command()
@command
def countersign(
    proposal: Annotated[Path, typer.Argument(help="The peer's proposal.")],
    fingerprint: Annotated[str, typer.Option(help="Its fingerprint, typed from another channel.")],
) -> None:
    """Check and sign a proposal, keep it, and file it with directory and consent."""
    protocol = agreement.countersign(
        context.agency(), read_text(proposal), peer_fingerprint=fingerprint
    )
    emit({"protocol": protocol.id}, f"protocol {protocol.id} is signed by both")


@app.command()
@command
def collect() -> None:
    """Fetch our protocols from the directory and keep those that both signed."""
    kept = agreement.collect(context.agency())
    emit(
        {"protocols": [item.id for item in kept]},
        "\n".join(f"{item.a.agency} – {item.b.agency}: {item.id}" for item in kept) or "none",
    )


@app.command("publish-key")
@command
def publish_key(
    days: Annotated[int, typer.Option(help="Days that the key is meant to live.")] = 90,
) -> None:
    """Make the next recipient key, log it in the ledger, publish both.

    Finishes a publication that was interrupted, where there is one.
    """
    record = context.agency().publish_key(days).record
    emit(
        {"kid": record.kid, "sequence": record.sequence, "not_after": record.not_after},
        f"key {record.sequence}: {record.kid}",
    )


@app.command("rotate-key")
@command
def rotate_key(
    agency: Annotated[str, typer.Argument(help="Agency id.")],
    old: Annotated[str, typer.Option(help="Fingerprint of the key that is pinned now.")],
    key_file: Annotated[Path, typer.Option("--key", help="Its new public identity key, 64 hex.")],
    fingerprint: Annotated[
        str, typer.Option(help="The new fingerprint, typed from another channel.")
    ],
    overlap_days: Annotated[
        int, typer.Option(help="Days for which the old key holds too, at most 90.")
    ] = 14,
) -> None:
    """Pin an agency's next identity key (--as consent)."""
    key = read_hex(key_file)
    if identity_key_id(key) != _typed(fingerprint):
        raise SafehandError(Reason.SIGNATURE_INVALID, "the fingerprint is of another key")
    answer = context.operator().rotate_agency_key(
        agency, _typed(old), key, overlap_days * 24 * 3600
    )
    emit(
        {
            "agency": agency,
            "old": _typed(old),
            "fingerprint": answer.fingerprint,
            "old_ends_at": answer.old_ends_at.seconds,
        },
        f"{agency}: old key {_typed(old)}\n  holds until {answer.old_ends_at.ToDatetime()} UTC\n"
        f"new key {answer.fingerprint}\n  holds from now on",
    )


@app.command("revoke-key")
@command
def revoke_key(
    agency: Annotated[str, typer.Argument(help="Agency id.")],
    fingerprint: Annotated[str, typer.Option(help="Fingerprint of the key that was stolen.")],
) -> None:
    """Refuse everything that is signed by an agency's key, at once (--as consent)."""
    left = context.operator().revoke_agency_key(agency, _typed(fingerprint))
    emit(
        {"agency": agency, "fingerprint": _typed(fingerprint), "keys_left": left},
        f"{agency}: refused from now on; it has {left} other keys",
    )


def _typed(fingerprint: str) -> str:
    """A fingerprint as people write it: with spaces, colons, capitals."""
    return fingerprint.replace(" ", "").replace(":", "").lower()

"""``safehand ledger``: everything here works offline, on files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer
from safehand_ledger import check
from safehand_ledger.audit import audit as audit_directory
from safehand_ledger.export import export as export_ledger
from safehand_ledger.fsck import fsck as fsck_ledger
from safehand_ledger.reanchor import reanchor as reanchor_ledger
from safehand_ledger.report import Report
from safehand_ledger.vectors import run_vectors
from safehand_store.engine import open_engine
from safehand_store.location import Location, locate

from safehand_cli import context, verdict
from safehand_cli.context import EXIT_WRONG, command, emit, read_text
from safehand_cli.sandbox import Sandbox

app = typer.Typer(no_args_is_help=True)

AUDITOR: Final = "oversight"
"""Whose pinned key counts where ``--as`` names nobody: never the checked party's own."""

VkeyFile = Annotated[
    Path | None,
    typer.Option(
        "--vkey", help=f"File with the pinned vkey; default that of --as, else of {AUDITOR}."
    ),
]


Database = Annotated[
    str | None,
    typer.Option(help="Consent's database: a file, or postgresql://…; default the sandbox's."),
]
PasswordFile = Annotated[
    Path | None, typer.Option(help="File with the password for a database URL.")
]


def _located(database: str | None, password_file: Path | None) -> Location:
    if database is None:
        return verdict.ledger_database(_sandbox())
    return locate(database, password_file)


def _sandbox() -> Sandbox:
    return Sandbox(context.CURRENT.root.absolute())


def _read_vkey(path: Path | None) -> str:
    if path is None:
        name = context.CURRENT.party or AUDITOR
        path = _sandbox().party_dir(name) / "trust" / "ledger.vkey"
    return read_text(path).strip()


def _finish(report: Report, what: str, *, pinned: bool = True) -> None:
    problems = "".join(f"\n  {p.code} {p.where}: {p.detail}" for p in report.problems)
    head = "holds" if report.ok else f"{report.problem_count} problems"
    if not pinned:
        head += ", key not pinned (checked under the directory's own vkey: name yours with --vkey)"
    emit(
        {**report.to_json(), "pinned": pinned},
        f"{what}: {head}; {report.size} entries, {report.opened} opened, root {report.root}"
        + (f", {report.steps} steps" if report.steps else "")
        + problems,
    )
    if not report.ok:
        raise typer.Exit(EXIT_WRONG)


@app.command()
@command
def verify(
    proof: Annotated[Path, typer.Argument(help="A tlog-proof file.")],
    leaf: Annotated[Path, typer.Option("--leaf", help="The 104 leaf bytes.")],
    vkey: VkeyFile = None,
) -> None:
    """Check that a leaf is in the ledger."""
    found = check.verify(proof.read_bytes(), leaf.read_bytes(), _read_vkey(vkey))
    emit(
        found.to_json(),
        f"holds: {found.kind.name} is entry {found.index} of {found.origin}, size {found.size}",
    )


@app.command()
@command
def fsck(
    database: Database = None,
    password_file: PasswordFile = None,
    vkey: VkeyFile = None,
    anchor: Annotated[Path | None, typer.Option(help="The anchor file.")] = None,
) -> None:
    """Rebuild the whole ledger from its leaves and compare everything, read-only."""
    path = _located(database, password_file)
    if anchor is None and database is None:
        anchor = verdict.anchor_file(_sandbox())
    _finish(fsck_ledger(path, _read_vkey(vkey), anchor), "fsck")


@app.command()
@command
def reanchor(
    database: Annotated[
        str, typer.Option(help="Consent's database, its newest copy: a file or a URL.")
    ],
    anchor: Annotated[Path, typer.Option(help="The anchor file that is lost for good.")],
    vkey: VkeyFile = None,
    password_file: PasswordFile = None,
) -> None:
    """Write a lost anchor file anew, after a whole fsck. It gives up what the old one knew.

    Refused while an anchor file is there. First make sure that the database is the newest.
    """
    size = reanchor_ledger(locate(database, password_file), anchor, _read_vkey(vkey))
    emit({"size": size, "anchor": str(anchor)}, f"{anchor} now says: {size} entries")


@app.command()
@command
def audit(
    openings: Annotated[Path, typer.Option(help="An export directory.")],
    vkey: Annotated[
        Path | None, typer.Option("--vkey", help="Pinned vkey; else the directory's own.")
    ] = None,
) -> None:
    """Check an export directory: every byte, proof, opening, rule and step."""
    key = read_text(vkey).strip() if vkey else None
    _finish(audit_directory(openings, vkey=key), "audit", pinned=key is not None)


@app.command()
@command
def export(
    openings: Annotated[Path, typer.Option(help="A new or empty directory.")],
    database: Database = None,
    password_file: PasswordFile = None,
    vkey: VkeyFile = None,
) -> None:
    """Write every leaf, proof and opening, all against one checkpoint. Reads only."""
    engine = open_engine(_located(database, password_file), read_only=True)
    try:
        count = export_ledger(engine, openings, vkey=_read_vkey(vkey))
    finally:
        engine.dispose()
    emit({"entries": count, "directory": str(openings)}, f"{count} entries written to {openings}")


@app.command()
@command
def vectors(file: Annotated[Path, typer.Argument(help="A JSON file of proof vectors.")]) -> None:
    """Run proof vectors (the format of transparency-dev/merkle's test data)."""
    report = run_vectors(file)
    emit(report.to_json(), f"{report.passed} passed, {report.failed} failed")
    if not report.ok:
        raise typer.Exit(EXIT_WRONG)

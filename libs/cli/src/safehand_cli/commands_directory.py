"""``safehand directory``: check a package without a server, import it, search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from safehand.referral.v1 import directory_pb2
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CATEGORIES
from safehand_hsds import package

from safehand_cli import context
from safehand_cli.context import EXIT_WRONG, command, each_of, emit, fail, words

app = typer.Typer(no_args_is_help=True)


@app.command()
@command
def check(directory: Annotated[Path, typer.Argument(help="An HSDS 3.0 tabular package.")]) -> None:
    """Check a package; prints counts and every problem with file, line and reason.

    Exits 1 where there is a problem.
    """
    report = package.check(directory)
    emit(report.to_json(), report.render_text())
    if not report.ok:
        raise typer.Exit(EXIT_WRONG)


@app.command("import")
@command
def import_package(
    directory: Annotated[Path, typer.Argument(help="An HSDS 3.0 tabular package.")],
    source: Annotated[str, typer.Option(help="Name of the source; the same replaces it.")] = "main",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Take the good rows and report the rest.")
    ] = False,
) -> None:
    """Import a package in one transaction (--as referral). Refused whole where it has problems."""
    report = package.check(directory)
    if not report.ok and not skip_bad:
        emit(report.to_json(), report.render_text())
        raise fail(
            SafehandError(Reason.PACKAGE_INVALID, metadata={"problems": str(len(report.problems))})
        )
    files = {path.name: path.read_bytes() for path in sorted(directory.glob("*.csv"))}
    answer = context.operator().import_package(source, files, skip_bad=skip_bad)
    emit(
        {
            "files": [
                {
                    "file": item.name,
                    "rows_in": item.rows_in,
                    "rows_stored": item.rows_stored,
                    "rows_reported": item.rows_reported,
                }
                for item in answer.counts
            ],
            "problems": [
                {"file": p.file, "line": p.line, "column": p.column, "reason": p.code}
                for p in answer.problems
            ],
        },
        "\n".join(
            [f"{'file':<24}{'in':>8}{'stored':>8}{'left out':>10}"]
            + [
                f"{c.name:<24}{c.rows_in:>8}{c.rows_stored:>8}{c.rows_reported:>10}"
                for c in answer.counts
            ]
            + [f"{p.file}:{p.line} {p.code} {p.message}" for p in answer.problems]
        ),
    )


@app.command()
@command
def search(
    need: Annotated[str, typer.Option(help="Words of the need.")] = "",
    area: Annotated[str, typer.Option(help="A county, for example.")] = "",
    eligibility: Annotated[str, typer.Option(help="Words of the situation.")] = "",
    age: Annotated[int | None, typer.Option(help="Age in years.")] = None,
    limit: Annotated[int, typer.Option(help="At most this many.")] = 20,
) -> None:
    """Find services; every condition must hold."""
    answer = context.agency().stubs.directory.SearchServices(
        directory_pb2.SearchServicesRequest(
            need=need, area=area, eligibility=eligibility, age=age, page_size=limit
        )
    )
    emit(
        {
            "total": answer.total,
            "services": [
                {
                    "service": item.service,
                    "name": item.name,
                    "organization": item.organization_name,
                    "agency": item.agency,
                    "categories": list(item.categories),
                    "areas": list(item.areas),
                }
                for item in answer.services
            ],
        },
        "\n".join(
            [f"{answer.total} services"]
            + [
                f"{item.service}  {item.name} – {item.organization_name}"
                + (f"  → {item.agency}" if item.agency else "  (takes no referrals here)")
                for item in answer.services
            ]
        ),
    )


@app.command()
@command
def needs(
    service: Annotated[str, typer.Argument(help="The service's id.")],
    category: Annotated[
        list[str], typer.Option(help=f"What it may receive; repeat it: {words(CATEGORIES)}.")
    ],
) -> None:
    """Say which categories a service may receive (--as referral). CARD is always in."""
    found = context.operator().set_service_needs(
        service, each_of(category, CATEGORIES, "--category")
    )
    emit({"service": service, "categories": found}, ", ".join(found))


@app.command()
@command
def confidential(
    service: Annotated[str, typer.Argument(help="The service's id.")],
    off: Annotated[bool, typer.Option("--off", help="Its places are no secret any more.")] = False,
    phone: Annotated[
        str, typer.Option(help="The one number to show; otherwise those that belong to no place.")
    ] = "",
) -> None:
    """Keep the places of a service secret, for every import to come (--as referral).

    Prints what agencies are shown of it then. Read its name and description: they are the
    package's own words. Her pages show everything but the description.
    """
    shown = context.operator().set_confidential(service, confidential=not off, phone=phone)
    if shown is None:
        text = "not listed any more; nothing of it is shown"
        emit({"service": service, "listed": False, "confidential": not off}, text)
        return
    rows = (
        ("shown as", "reached by phone alone" if shown.confidential else "a public place"),
        ("name", shown.name),
        ("description", shown.description),
        ("phones", ", ".join(shown.phones)),
        ("addresses", "; ".join(shown.addresses)),
        ("areas", ", ".join(shown.areas)),
    )
    emit(
        {
            "service": service,
            "listed": True,
            "confidential": shown.confidential,
            "name": shown.name,
            "description": shown.description,
            "phones": list(shown.phones),
            "addresses": list(shown.addresses),
            "areas": list(shown.areas),
        },
        "\n".join(f"{name:<13}{value or '-'}" for name, value in rows),
    )

"""``safehand database``: PostgreSQL databases of the services, for their operator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_store.location import is_url, locate

from safehand_cli.context import command, emit, one_of
from safehand_cli.sandbox import SERVICES

app = typer.Typer(no_args_is_help=True)


@app.callback()
def group() -> None:
    """PostgreSQL databases of the services."""


@app.command()
@command
def migrate(
    service: Annotated[str, typer.Option(help="consent, referral or notify.")],
    url: Annotated[str, typer.Option(help="postgresql://OWNER@HOST/DATABASE, without a password.")],
    app_role: Annotated[str, typer.Option(help="The role that the service itself uses.")],
    password_file: Annotated[
        Path | None, typer.Option(help="File with the owner's password.")
    ] = None,
    standby: Annotated[
        bool, typer.Option(help="Let the service's role see standbys (REQUIRE_STANDBY).")
    ] = False,
) -> None:
    """Bring a database to the newest schema, as its owner, and set the service role's rights."""
    one_of(service, SERVICES, "--service")
    if not is_url(url):
        raise SafehandError(
            Reason.CONFIG_INVALID, "SQLite needs no operator: the service migrates its own file"
        )
    locate(url, password_file)
    prefix = f"SAFEHAND_{service.upper()}_"
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SAFEHAND_")}
    done = subprocess.run(
        [sys.executable, "-m", f"safehand_{service}_service", "schema"],
        env={
            **clean,
            f"{prefix}DATABASE_URL": url,
            f"{prefix}DATABASE_PASSWORD_FILE": str(
                password_file.absolute() if password_file else ""
            ),
            f"{prefix}DATABASE_APP_ROLE": app_role,
            f"{prefix}SEES_STANDBYS": "true" if standby else "false",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        why = done.stderr.strip().splitlines()
        raise SafehandError(
            Reason.CONFIG_INVALID,
            "the database was not migrated",
            metadata={"service": service, "why": why[-1] if why else "no reason was given"},
        )
    revision = json.loads(done.stdout.strip().splitlines()[-1])["revision"]
    emit(
        {"service": service, "revision": revision},
        f"the database of {service} is at {revision}; its service may use it as {app_role}",
    )

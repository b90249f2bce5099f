"""A database for each service of a sandbox, on the engine of this run of the suite."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import safehand_consent_service.app
import safehand_consent_service.tables
import safehand_notify_service.app
import safehand_notify_service.tables
import safehand_referral_service.app
import safehand_referral_service.tables
from safehand_cli.sandbox import Sandbox
from safehand_store.location import Postgres
from sqlalchemy import MetaData

from tests.harness import database
from tests.harness.database import SQLITE, Database
from tests.harness.postgres import Cluster

SCHEMAS: Final[dict[str, tuple[Path, MetaData]]] = {
    "consent": (
        safehand_consent_service.app.MIGRATIONS,
        safehand_consent_service.tables.METADATA,
    ),
    "referral": (
        safehand_referral_service.app.MIGRATIONS,
        safehand_referral_service.tables.METADATA,
    ),
    "notify": (
        safehand_notify_service.app.MIGRATIONS,
        safehand_notify_service.tables.METADATA,
    ),
}
"""Each service's migrations and tables."""


def of_service(service: str, file: Path) -> Database:
    """A fresh database of ``service``, migrated: a copy of one that this run made before. On
    SQLite a file that is there already is left as it is."""
    return database.copied(file, lambda made: made.migrate(*SCHEMAS[service]), service)


def of_sandbox(sandbox: Sandbox, cluster: Cluster | None = None) -> dict[str, Database]:
    """A fresh database for each service, named in the sandbox where it is not a file there.

    On ``cluster`` where one is given, else on the engine of this run.
    """
    found = {}
    for service in SCHEMAS:
        file = sandbox.data(service) / f"{service}.sqlite3"
        if cluster is None:
            # A service that runs as it is run by others migrates its own file.
            made = (
                Database(file, file) if database.chosen() == SQLITE else of_service(service, file)
            )
        else:
            made = database.on(cluster)
            made.migrate(*SCHEMAS[service])
        if isinstance(made.location, Postgres):
            sandbox.name_database(service, made.location.url)
        found[service] = made
    return found

"""``python -m <service> schema``: migrate a PostgreSQL database as the role that owns it.

A process of its own with settings of its own, because the owner's password must not lie where the
service runs. ``safehand database migrate`` starts it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, Final

from pydantic import field_validator
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.settings import ServiceSettings
from sqlalchemy import MetaData

from safehand_store import migrate, roles
from safehand_store.engine import begin_write, open_engine, require_durable
from safehand_store.location import of_service

PROCESS: Final = "schema"


class SchemaSettings(ServiceSettings):
    """What the process ``schema`` is told; a service subclasses it with its own name."""

    service: ClassVar[str] = "schema"

    database_url: str
    """The database, as the role that owns its tables."""
    database_password_file: Path | None = None
    """Holds the owner's password; none where the server asks for none."""
    database_app_role: str
    """The role that the service itself uses; it exists already."""
    sees_standbys: bool = False
    """Also let that role see standbys, as REQUIRE_STANDBY needs."""

    @field_validator("database_password_file", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value


def run(settings: SchemaSettings, scripts: Path, metadata: MetaData) -> None:
    """Bring the database to the newest revision, set the rights of the service's role, say so.

    Raises CONFIG_INVALID, or UNAVAILABLE when the server does not answer.
    """
    owner = of_service(
        Path(),
        settings.database_url or "-",
        settings.database_password_file,
        prefix=settings.env_prefix(),
    )
    engine = open_engine(owner)
    try:
        require_durable(engine)
        migrate.upgrade(engine, scripts, metadata=metadata, app_role=settings.database_app_role)
        if settings.sees_standbys:
            with begin_write(engine) as connection:
                if not roles.grant_standby_view(connection, settings.database_app_role):
                    raise SafehandError(
                        Reason.CONFIG_INVALID,
                        f"only an administrator may grant {roles.SEES_STANDBYS} to the role",
                    )
        revision = migrate.current(engine)
    finally:
        engine.dispose()
    print(json.dumps({"event": "migrated", "revision": revision}), flush=True)

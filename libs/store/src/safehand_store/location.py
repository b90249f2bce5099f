"""Where a service's database is: a SQLite file, or a PostgreSQL database named by a URL.

A URL never holds a password: URLs end up in process lists, logs and shell histories. The password
is the content of a file, read again for every connection, so that it can be changed at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from safehand_core.errors import SafehandError
from safehand_core.keystore import read_mounted
from safehand_core.network import is_loopback
from safehand_core.reasons import Reason

SCHEMES: Final = ("postgresql://", "postgres://")
_SECRET: Final = frozenset({"password", "passfile", "sslpassword"})
_OURS: Final = frozenset(
    {
        *("options", "service", "servicefile", "client_encoding", "target_session_attrs"),
        *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
        "tcp_user_timeout",
    }
)
"""What this package sets itself, or what would hide where the database is."""
PRODUCTION: Final = "production"
"""The profile in which nothing crosses a network in clear."""
_CHECKED: Final = "verify-full"


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL database.

    Attributes:
        url: ``postgresql://role@host:port/database?sslmode=verify-full&…`` as libpq reads it
            (several hosts, separated by commas, are tried in order). No password in it.
        password_file: holds the role's password; None where the server asks for none.
        remote_apply: every commit waits until a synchronous standby has applied it.
    """

    url: str
    password_file: Path | None = None
    remote_apply: bool = False

    def parameters(self) -> dict[str, str]:
        """libpq's connection parameters, the password among them.

        Raises CONFIG_INVALID for a URL that libpq cannot read, that names no database, or that
        says what it may not say; and for a password file that cannot be read, or that everyone can.
        """
        found = _parsed(self.url)
        if self.password_file is not None:
            try:
                found["password"] = read_mounted(self.password_file).decode().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise SafehandError(
                    Reason.CONFIG_INVALID, "the database's password file cannot be read"
                ) from error
        return found


Location: TypeAlias = Path | Postgres
"""What ``engine.open_engine`` opens."""


def is_url(text: str) -> bool:
    return text.startswith(SCHEMES)


def locate(text: str, password_file: Path | None = None) -> Location:
    """The database that ``text`` names: a PostgreSQL URL, else the path of a SQLite file.

    Raises CONFIG_INVALID as ``Postgres.parameters`` does.
    """
    if not is_url(text):
        if "://" in text:
            raise SafehandError(
                Reason.CONFIG_INVALID, "a database is a file, or a URL that begins postgresql://"
            )
        return Path(text)
    _parsed(text)
    return Postgres(text, password_file)


def of_service(
    file: Path,
    url: str,
    password_file: Path | None,
    *,
    prefix: str,
    remote_apply: bool = False,
    profile: str = PRODUCTION,
) -> Location:
    """A service's database: ``file``, unless its settings name a URL.

    Raises CONFIG_INVALID that names the setting; ``prefix`` is what the service's settings begin
    with. In the production profile also for a server on a network whose certificate and name are
    not checked.
    """
    if not url and not remote_apply:
        return file
    try:
        if not is_url(url):
            raise SafehandError(Reason.CONFIG_INVALID, "a database URL begins with postgresql://")
        parameters = _parsed(url)
        checked = parameters.get("sslmode") == _CHECKED
        if profile == PRODUCTION and _is_remote(parameters) and not checked:
            raise SafehandError(
                Reason.CONFIG_INVALID,
                "the database is on a network: its URL must say sslmode=verify-full",
            )
    except SafehandError as error:
        raise SafehandError(
            error.reason, error.detail, metadata={"settings": prefix + "DATABASE_URL"}
        ) from None
    return Postgres(url, password_file, remote_apply)


def _is_remote(parameters: Mapping[str, str]) -> bool:
    """Whether any server that libpq would try is reached over a network."""
    named = f"{parameters.get('host', '')},{parameters.get('hostaddr', '')}".split(",")
    return any(host and not host.startswith(("/", "@")) and not is_loopback(host) for host in named)


def _parsed(url: str) -> dict[str, str]:
    # Imported here: a process on SQLite never needs the driver (half a second, 10 MB).
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        given: Mapping[str, object] = conninfo_to_dict(url)
    except psycopg.Error:
        # Its text repeats the URL, and with it a password that should not be there.
        raise SafehandError(Reason.CONFIG_INVALID, "the database URL cannot be read") from None
    if _SECRET & given.keys():
        raise SafehandError(
            Reason.CONFIG_INVALID, "a database URL holds no password: put it in a file"
        )
    if _OURS & given.keys():
        raise SafehandError(
            Reason.CONFIG_INVALID, "the database URL sets what the service sets itself"
        )
    if not given.get("dbname"):
        raise SafehandError(Reason.CONFIG_INVALID, "the database URL names no database")
    return {name: str(value) for name, value in given.items() if value is not None}

"""Settings of the consent service: ``SAFEHAND_CONSENT_*`` (see ``safehand_core.settings``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AliasChoices, Field, field_validator
from safehand_bus.link import SERVER_NAME, BusTls
from safehand_core.settings import ServiceSettings
from safehand_ledger.writer import START_DELAY_S
from safehand_rpc.tls import TlsFiles
from safehand_store.location import Location, of_service


class ConsentSettings(ServiceSettings):
    """Every field is a setting; paths of secrets, never secrets."""

    service: ClassVar[str] = "consent"

    data_dir: Path
    """Holds the database, the wake-up socket and ``consent.port``."""
    keys_dir: Path
    """This service's own keystore. What others need to pin is written to ``public/vkey`` and
    ``public/token.hex`` in it."""
    kek_dir: Path | None = None
    """The release KEKs: in no backup and no snapshot, on another volume where there is one.
    Default: ``release`` in ``keys_dir``."""
    anchor: Path
    """The anchor file, on another volume than ``data_dir`` where there is one."""
    database_url: str = ""
    """``postgresql://role@host/database`` without a password; empty: SQLite in ``data_dir``."""
    database_password_file: Path | None = None
    """Holds the password of the role in ``database_url``; none where the server asks for none."""
    require_standby: bool = False
    """Refuse to write unless a synchronous standby applies every commit (PostgreSQL alone)."""
    listen: str = "127.0.0.1:0"
    """``host:port``; port 0 picks one and writes it to ``consent.port``."""
    tls_cert_file: Annotated[
        Path, Field(validation_alias=AliasChoices("tls_cert", "tls_cert_file"))
    ]
    tls_key_file: Annotated[Path, Field(validation_alias=AliasChoices("tls_key", "tls_key_file"))]
    tls_ca_file: Annotated[Path, Field(validation_alias=AliasChoices("tls_ca", "tls_ca_file"))]
    origin: str = "consent.safehand.example/ledger"
    """The ledger's name, in every checkpoint. It never changes."""
    issuer: str = "https://consent.safehand.example"
    audience: str = "https://referral.safehand.example"
    nats_url: str = ""
    """Where the worker finds the bus, ``tls://host:port``; the api process does not use it."""
    nats_seed_file: Path | None = None
    """The nkey seed with which the worker signs in to the bus; none on a bus that asks for none."""
    nats_server_name: str = SERVER_NAME
    """The DNS name that the bus's certificate must have."""

    @field_validator("database_password_file", "nats_seed_file", "kek_dir", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def database(self) -> Location:
        """Where it is; raises CONFIG_INVALID for a URL that names none."""
        return of_service(
            self.data_dir / "consent.sqlite3",
            self.database_url,
            self.database_password_file,
            prefix=self.env_prefix(),
            profile=self.profile,
            remote_apply=self.require_standby,
        )

    @property
    def relay_wake(self) -> Path:
        """On this socket the api process wakes the worker's relay."""
        return self.data_dir / "consent.wake"

    @property
    def port_file(self) -> Path:
        return self.data_dir / "consent.port"

    @property
    def release_dir(self) -> Path:
        """Where the KEKs lie."""
        return self.kek_dir or self.keys_dir / "release"

    @property
    def public_dir(self) -> Path:
        """Public keys, for others to copy."""
        return self.keys_dir / "public"

    @property
    def tls(self) -> TlsFiles:
        return TlsFiles(self.tls_cert_file, self.tls_key_file, self.tls_ca_file)

    @property
    def bus_tls(self) -> BusTls:
        """The service's own certificate, towards the bus."""
        return BusTls(
            self.tls_cert_file, self.tls_key_file, self.tls_ca_file, self.nats_server_name
        )

    @property
    def start_delay_s(self) -> float:
        """Seconds after a start in which only stops are taken (PROTOCOL rule 6)."""
        return 0.0 if self.profile == "test" else START_DELAY_S

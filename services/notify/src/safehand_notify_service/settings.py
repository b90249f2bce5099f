"""Settings of the notify service: ``SAFEHAND_NOTIFY_*`` (see ``safehand_core.settings``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AliasChoices, Field, field_validator
from safehand_bus.link import SERVER_NAME, BusTls
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.settings import ServiceSettings
from safehand_rpc.tls import TlsFiles
from safehand_store.location import Location, of_service


class NotifySettings(ServiceSettings):
    """Every field is a setting; paths of secrets, never secrets."""

    service: ClassVar[str] = "notify"

    data_dir: Path
    """Holds the database and ``notify.port``."""
    keys_dir: Path
    """This service's own keystore: the key of page tokens."""
    database_url: str = ""
    """``postgresql://role@host/database`` without a password; empty: SQLite in ``data_dir``."""
    database_password_file: Path | None = None
    """Holds the password of the role in ``database_url``; none where the server asks for none."""
    require_standby: bool = False
    """Refuse to write unless a synchronous standby applies every commit (PostgreSQL alone)."""
    listen: str = "127.0.0.1:0"
    """``host:port``; port 0 picks one and writes it to ``notify.port``."""
    tls_cert_file: Annotated[
        Path, Field(validation_alias=AliasChoices("tls_cert", "tls_cert_file"))
    ]
    tls_key_file: Annotated[Path, Field(validation_alias=AliasChoices("tls_key", "tls_key_file"))]
    tls_ca_file: Annotated[Path, Field(validation_alias=AliasChoices("tls_ca", "tls_ca_file"))]
    consent_address: str = ""
    """``host:port`` of the consent service; empty where ``consent_address_file`` says it."""
    consent_address_file: Path | None = None
    """A file that holds ``host:port``, read again for every call."""
    referral_address: str = ""
    """``host:port`` of the referral service; empty where ``referral_address_file`` says it."""
    referral_address_file: Path | None = None
    """A file that holds ``host:port``, read again for every call."""
    nats_url: str
    """Where the bus is, ``tls://host:port``."""
    nats_seed_file: Path | None = None
    """The nkey seed with which to sign in to the bus; none on a bus that asks for none."""
    nats_server_name: str = SERVER_NAME
    """The DNS name that the bus's certificate must have."""

    @field_validator(
        "database_password_file",
        "consent_address_file",
        "referral_address_file",
        "nats_seed_file",
        mode="before",
    )
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def database(self) -> Location:
        """Where it is; raises CONFIG_INVALID for a URL that names none."""
        return of_service(
            self.data_dir / "notify.sqlite3",
            self.database_url,
            self.database_password_file,
            prefix=self.env_prefix(),
            profile=self.profile,
            remote_apply=self.require_standby,
        )

    @property
    def port_file(self) -> Path:
        return self.data_dir / "notify.port"

    @property
    def tls(self) -> TlsFiles:
        return TlsFiles(self.tls_cert_file, self.tls_key_file, self.tls_ca_file)

    @property
    def bus_tls(self) -> BusTls:
        """The service's own certificate, towards the bus."""
        return BusTls(
            self.tls_cert_file, self.tls_key_file, self.tls_ca_file, self.nats_server_name
        )

    def consent_now(self) -> str:
        """Where consent is now; raises CONFIG_INVALID where nothing says it."""
        return _address(self.consent_address, self.consent_address_file)

    def referral_now(self) -> str:
        """Where referral is now; raises CONFIG_INVALID where nothing says it."""
        return _address(self.referral_address, self.referral_address_file)


def _address(fixed: str, file: Path | None) -> str:
    address = fixed
    if file is not None:
        try:
            address = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            address = ""
    if not address:
        raise SafehandError(Reason.CONFIG_INVALID, "no setting says where a source is")
    return address

"""Settings of the referral service: ``SAFEHAND_REFERRAL_*`` (see ``safehand_core.settings``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AliasChoices, Field, field_validator
from safehand_bus.link import SERVER_NAME, BusTls
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.settings import ServiceSettings
from safehand_formats.note import NoteVerifier
from safehand_formats.token import token_key_id
from safehand_rpc.tls import TlsFiles
from safehand_store.location import Location, of_service


class ReferralSettings(ServiceSettings):
    """Every field is a setting; paths of secrets, never secrets."""

    service: ClassVar[str] = "referral"

    data_dir: Path
    """Holds the database, the wake-up sockets and ``referral.port``."""
    keys_dir: Path
    """This service's own keystore: the key of page tokens."""
    database_url: str = ""
    """``postgresql://role@host/database`` without a password; empty: SQLite in ``data_dir``."""
    database_password_file: Path | None = None
    """Holds the password of the role in ``database_url``; none where the server asks for none."""
    require_standby: bool = False
    """Refuse to write unless a synchronous standby applies every commit (PostgreSQL alone)."""
    listen: str = "127.0.0.1:0"
    """``host:port``; port 0 picks one and writes it to ``referral.port``."""
    tls_cert_file: Annotated[
        Path, Field(validation_alias=AliasChoices("tls_cert", "tls_cert_file"))
    ]
    tls_key_file: Annotated[Path, Field(validation_alias=AliasChoices("tls_key", "tls_key_file"))]
    tls_ca_file: Annotated[Path, Field(validation_alias=AliasChoices("tls_ca", "tls_ca_file"))]
    consent_address: str = ""
    """``host:port`` of the consent service; empty where ``consent_address_file`` says it."""
    consent_address_file: Path | None = None
    """A file that holds ``host:port``, read again for every call."""
    consent_vkey_file: Path
    """The ledger's verifier key (C2SP vkey), pinned."""
    token_key_file: Path | None = None
    """A token key of consent's, 32 bytes as 64 hex digits: counts until consent, asked over mutual
    TLS, has listed its keys once. None: nothing is created before that."""
    issuer: str = "https://consent.safehand.example"
    audience: str = "https://referral.safehand.example"
    nats_url: str = ""
    """Where the worker finds the bus, ``tls://host:port``; the api process does not use it."""
    nats_seed_file: Path | None = None
    """The nkey seed with which the worker signs in to the bus; none on a bus that asks for none."""
    nats_server_name: str = SERVER_NAME
    """The DNS name that the bus's certificate must have."""
    first_follow_s: float = Field(default=5.0, ge=0, le=60)
    """How long the start waits for consent before it serves without create and fetch, seconds."""

    @field_validator(
        "database_password_file",
        "consent_address_file",
        "nats_seed_file",
        "token_key_file",
        mode="before",
    )
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def database(self) -> Location:
        """Where it is; raises CONFIG_INVALID for a URL that names none."""
        return of_service(
            self.data_dir / "referral.sqlite3",
            self.database_url,
            self.database_password_file,
            prefix=self.env_prefix(),
            profile=self.profile,
            remote_apply=self.require_standby,
        )

    @property
    def relay_wake(self) -> Path:
        """On this socket the api process wakes the worker's relay."""
        return self.data_dir / "referral.wake"

    @property
    def follow_wake(self) -> Path:
        """On this socket the worker wakes the api process's follower."""
        return self.data_dir / "referral-follow.wake"

    @property
    def port_file(self) -> Path:
        return self.data_dir / "referral.port"

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
        if self.consent_address_file is not None:
            address = _read(self.consent_address_file)
        else:
            address = self.consent_address
        if not address:
            raise SafehandError(Reason.CONFIG_INVALID, "no setting says where consent is")
        return address

    def ledger(self) -> NoteVerifier:
        """The pinned ledger key; raises CONFIG_INVALID."""
        try:
            return NoteVerifier.from_vkey(_read(self.consent_vkey_file))
        except SafehandError:
            raise SafehandError(
                Reason.CONFIG_INVALID, "the ledger's vkey file is missing or holds no vkey"
            ) from None

    def token_keys(self) -> dict[str, bytes]:
        """The pinned token keys by ``kid``; raises CONFIG_INVALID."""
        if self.token_key_file is None:
            return {}
        try:
            public = bytes.fromhex(_read(self.token_key_file))
            return {token_key_id(public): public}
        except (ValueError, SafehandError):
            raise SafehandError(
                Reason.CONFIG_INVALID, "the token key file is missing or holds no key"
            ) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise SafehandError(
            Reason.CONFIG_INVALID, "a file that a setting names cannot be read"
        ) from None

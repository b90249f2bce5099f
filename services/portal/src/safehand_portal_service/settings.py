"""Settings of the portal: ``SAFEHAND_PORTAL_*`` (see ``safehand_core.settings``)."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, ClassVar, Final, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, ValidationInfo, field_validator, model_validator
from safehand_core.errors import SafehandError
from safehand_core.network import is_loopback
from safehand_core.reasons import Reason
from safehand_core.settings import ServiceSettings
from safehand_rpc.tls import TlsFiles

LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
"""Names under which this machine reaches itself."""

_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\]")
_OWN: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_PHONE: Final = re.compile(r"\+?[0-9][0-9 ()-]{1,23}")
_HOURS: Final = re.compile(
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]-(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)"
)
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f<>&\"']{1,24}")


class PortalSettings(ServiceSettings):
    """Every field is a setting; paths of secrets, never secrets."""

    service: ClassVar[str] = "portal"

    data_dir: Path
    """Holds ``portal.port`` and nothing else: the portal has no data."""
    listen: str = "127.0.0.1:0"
    """``host:port``; port 0 picks one and writes it to ``portal.port``."""
    tls_cert_file: Annotated[
        Path, Field(validation_alias=AliasChoices("tls_cert", "tls_cert_file"))
    ]
    """The portal's own certificate, with which it calls the services."""
    tls_key_file: Annotated[Path, Field(validation_alias=AliasChoices("tls_key", "tls_key_file"))]
    tls_ca_file: Annotated[Path, Field(validation_alias=AliasChoices("tls_ca", "tls_ca_file"))]
    web_cert_file: Path | None = None
    """The certificate that browsers see; its name must be neutral too. None: plain HTTP, which is
    served on loopback alone, as behind a TLS proxy on the same machine."""
    web_key_file: Path | None = None
    """The key of ``web_cert_file``."""
    consent_address: str = ""
    """``host:port`` of the consent service; empty where ``consent_address_file`` says it."""
    consent_address_file: Path | None = None
    """A file that holds ``host:port``, read again for every call."""
    referral_address: str = ""
    """``host:port`` of the referral service; empty where ``referral_address_file`` says it."""
    referral_address_file: Path | None = None
    """A file that holds ``host:port``, read again for every call."""
    hosts: tuple[str, ...] = ()
    """Host names, without a port, under which the portal is reached. Empty: this machine's own."""
    proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies whose ``X-Forwarded-For`` is believed. Empty: nobody's. In
    production without ``web_cert_file`` it must hold the proxy on this machine: else everybody who
    signs in counts as one network."""
    name: str = "Home"
    """What every page calls itself: a neutral word."""
    exit_url: str = ""
    """Where Leave goes: a plain page of somebody else that says nothing about who came and offers
    nothing recent, no search engine. Required in production. Empty: the portal's own clock, which
    then stays in the browser's history."""
    phone: str = ""
    """Whom she can call. Required in production: every page that says that something did not work
    says to call."""
    hours: str = ""
    """When somebody answers there, ``HH:MM-HH:MM`` in ``zone``; empty: not said."""
    emergency: str = ""
    """The local emergency number; empty: not said."""
    zone: str = "UTC"
    """IANA name of the time zone in which dates and times are told."""
    allow_unreviewed: bool = False
    """Show text that no person has reviewed on sensitive pages too, marked. Never in production."""

    @field_validator(
        "web_cert_file",
        "web_key_file",
        "consent_address_file",
        "referral_address_file",
        mode="before",
    )
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("hosts", "proxies", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("hosts")
    @classmethod
    def _host_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_HOST.fullmatch(host) for host in value):
            raise ValueError
        return value

    @field_validator("proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ipaddress.ip_network(network)
        return value

    @field_validator("proxies")
    @classmethod
    def _own_proxy(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        # Without a certificate it is reached over loopback alone (``_safe``).
        near = any(_loopback(ipaddress.ip_network(network)) for network in value)
        if not near and _production(info) and info.data.get("web_cert_file") is None:
            raise ValueError
        return value

    @field_validator("phone")
    @classmethod
    def _somebody(cls, value: str, info: ValidationInfo) -> str:
        if not value and _production(info):
            raise ValueError
        return value

    @field_validator("exit_url")
    @classmethod
    def _elsewhere(cls, value: str, info: ValidationInfo) -> str:
        # A page under one of our own names is what Leave must not leave behind.
        own = (urlsplit(value).hostname or "") in info.data.get("hosts", ())
        if (own or not value) and _production(info):
            raise ValueError
        return value

    @field_validator("exit_url")
    @classmethod
    def _plain_url(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        near = parts.scheme == "http" and is_loopback(parts.hostname or "")
        if not re.fullmatch(r"[!-~]+", value) or not parts.hostname:
            raise ValueError
        if not near and parts.scheme != "https":
            raise ValueError
        return value

    @field_validator("phone", "emergency")
    @classmethod
    def _phone_number(cls, value: str) -> str:
        if value and not _PHONE.fullmatch(value):
            raise ValueError
        return value

    @field_validator("hours")
    @classmethod
    def _opening_hours(cls, value: str) -> str:
        if value and not _HOURS.fullmatch(value):
            raise ValueError
        return value

    @field_validator("name")
    @classmethod
    def _short_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError
        return value

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if (self.web_cert_file is None) != (self.web_key_file is None):
            raise ValueError
        if self.web_cert_file is None and not is_loopback(self.listen_address[0].strip("[]")):
            raise ValueError
        if self.allow_unreviewed and self.profile == "production":
            raise ValueError
        return self

    @property
    def listen_address(self) -> tuple[str, int]:
        """Host and port of ``listen``."""
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError
        return host, int(port)

    @property
    def host_names(self) -> frozenset[str]:
        """Names that the ``Host`` header may have."""
        return frozenset(self.hosts or LOOPBACK_HOSTS)

    @property
    def port_file(self) -> Path:
        return self.data_dir / "portal.port"

    @property
    def tls(self) -> TlsFiles:
        return TlsFiles(self.tls_cert_file, self.tls_key_file, self.tls_ca_file)

    def consent_now(self) -> str:
        """Where consent is now; raises CONFIG_INVALID where nothing says it."""
        return _address(self.consent_address, self.consent_address_file)

    def referral_now(self) -> str:
        """Where referral is now; raises CONFIG_INVALID where nothing says it."""
        return _address(self.referral_address, self.referral_address_file)


def _production(info: ValidationInfo) -> bool:
    return info.data.get("profile") == "production"


def _loopback(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Whether an address of this machine's own is in it."""
    return any(network.overlaps(own) for own in _OWN if own.version == network.version)


def _address(fixed: str, file: Path | None) -> str:
    address = fixed
    if file is not None:
        try:
            address = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            address = ""
    if not address:
        raise SafehandError(Reason.CONFIG_INVALID, "no setting says where a service is")
    return address

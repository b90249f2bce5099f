"""How a service reaches the bus: where it is, who connects, and whom it believes to be there.

TLS is mutual, and the handshake comes before the first byte of NATS: a server that says "no TLS
here" in clear text, or somebody between who says it for the server, is never listened to. Source:
NATS documentation, "TLS", "TLS-first handshake" (nats-server 2.10.4 and later).
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from safehand_core.errors import SafehandError
from safehand_core.network import is_loopback
from safehand_core.reasons import Reason

SERVER_NAME: Final = "nats.safehand.example"
"""The DNS name in the bus's certificate. A service's certificate comes from the same authority and
is good for 127.0.0.1, so an address says nothing: only this name makes a server the bus."""
PLAIN_SCHEME: Final = "nats"
TLS_SCHEME: Final = "tls"
PRODUCTION: Final = "production"


@dataclass(frozen=True, slots=True)
class BusTls:
    """Paths of a party's certificate chain, its private key, and the CA it trusts (all PEM).

    Attributes:
        server_name: the DNS name that the bus's certificate must have.
    """

    cert: Path
    key: Path
    ca: Path
    server_name: str = SERVER_NAME

    @classmethod
    def in_dir(cls, directory: Path) -> BusTls:
        """``cert.pem``, ``key.pem`` and ``ca.pem`` of one directory."""
        return cls(directory / "cert.pem", directory / "key.pem", directory / "ca.pem")

    def context(self) -> ssl.SSLContext:
        """A client's context, from the files as they are now; raises CONFIG_INVALID."""
        return _context(self, ssl.Purpose.SERVER_AUTH)

    def server_context(self) -> ssl.SSLContext:
        """A server's context that asks for a client certificate: for a proxy in front of the
        bus. Raises CONFIG_INVALID."""
        made = _context(self, ssl.Purpose.CLIENT_AUTH)
        made.verify_mode = ssl.CERT_REQUIRED
        return made


@dataclass(frozen=True, slots=True)
class NatsLink:
    """How a service reaches the bus.

    Attributes:
        url: ``tls://host:port``, or ``nats://host:port`` without TLS.
        user: one of ``topology.USERS``; names the reply subjects too.
        seed_file: the user's nkey seed; None for a server without authentication (tests).
        tls: the user's certificate and the CA of the server's; unused without TLS.
    """

    url: str
    user: str
    seed_file: Path | None = None
    tls: BusTls | None = None

    @property
    def secure(self) -> bool:
        """Whether the connection is TLS."""
        return urlsplit(self.url).scheme == TLS_SCHEME


def service_link(
    url: str, user: str, *, seed_file: Path | None, tls: BusTls, profile: str
) -> NatsLink:
    """The link of a service's settings.

    Raises CONFIG_INVALID for a URL that is none, that holds a password, or that would go over a
    network without TLS in the production profile; and there also without an nkey.
    """
    parts = _split(url)
    if parts.username is not None or parts.password is not None:
        raise _invalid(user, "the bus's address must not hold a name or a password")
    if profile == PRODUCTION:
        if parts.scheme != TLS_SCHEME and not is_loopback(parts.hostname or ""):
            raise _invalid(user, "the bus is on a network, and its address says no TLS")
        if seed_file is None:
            raise _invalid(user, "the bus needs an nkey seed file")
    return NatsLink(url, user, seed_file, tls)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        known = parts.scheme in (PLAIN_SCHEME, TLS_SCHEME) and bool(parts.hostname)
        known = known and parts.port is not None
    except ValueError:
        known = False
    if not known:
        raise SafehandError(
            Reason.CONFIG_INVALID, "the bus's address is not tls://host:port or nats://host:port"
        )
    return parts


def _invalid(user: str, detail: str) -> SafehandError:
    prefix = f"SAFEHAND_{user.upper()}_NATS_"
    return SafehandError(
        Reason.CONFIG_INVALID, detail, metadata={"settings": f"{prefix}URL, {prefix}SEED_FILE"}
    )


def _context(files: BusTls, purpose: ssl.Purpose) -> ssl.SSLContext:
    try:
        made = ssl.create_default_context(purpose, cafile=str(files.ca))
        made.load_cert_chain(str(files.cert), str(files.key))
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        raise SafehandError(Reason.CONFIG_INVALID, "a TLS file is missing or is not PEM") from None
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    return made

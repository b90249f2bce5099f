"""Who is calling: the SPIFFE id in the client certificate, and nothing else.

A certificate names a party by exactly one URI SAN, as an X.509-SVID must
(https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md, section 2). Common names, DNS
names and request metadata are never read.
"""

from __future__ import annotations

import functools
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

TRUST_DOMAIN = "safehand.example"
"""The only trust domain whose names mean anything here."""

Kind = Literal["agency", "service", "operator", "oversight"]

SERVICES = ("consent", "referral", "notify", "portal")
"""Names under ``/service/``."""
OPERATED = ("consent", "referral", "notify", "portal")
"""Names under ``/operator/``: each service is administered by certificates of its own."""

ROLES = frozenset(
    {"agency", "oversight"}
    | {f"service:{name}" for name in SERVICES}
    | {f"operator:{name}" for name in OPERATED}
)
"""Every role that a policy table may name."""

SPIFFE_CACHE_SIZE = 1024
"""Certificates whose identity is remembered: one per live connection is plenty."""

_PATH = re.compile(r"/(agency|service|operator|oversight)/([a-z][a-z0-9-]{1,39})")
_PREFIX = f"spiffe://{TRUST_DOMAIN}"


@dataclass(frozen=True, slots=True)
class Principal:
    """A party, as its certificate names it.

    Attributes:
        kind: what it is.
        name: agency id, service name, operated service, or oversight body's name.
        spiffe_id: the whole URI.
        cert_der: the leaf certificate, DER; ``cnf.x5t#S256`` is its SHA-256 (RFC 8705, 3.1).
    """

    kind: Kind
    name: str
    spiffe_id: str
    cert_der: bytes

    @property
    def role(self) -> str:
        """``agency``, ``oversight``, ``service:<name>`` or ``operator:<name>``: never an agency's
        name, so that it may be logged."""
        if self.kind in ("service", "operator"):
            return f"{self.kind}:{self.name}"
        return self.kind


def spiffe_id(kind: Kind, name: str) -> str:
    """The URI of a party; raises UNAUTHENTICATED where no such party can exist."""
    uri = f"{_PREFIX}/{kind}/{name}"
    parse_spiffe_id(uri)
    return uri


def parse_spiffe_id(uri: str) -> tuple[Kind, str]:
    """``(kind, name)`` of a SPIFFE id of ours; raises UNAUTHENTICATED for anything else."""
    if not uri.startswith(_PREFIX + "/"):
        raise SafehandError(Reason.UNAUTHENTICATED, "the certificate is of another trust domain")
    match = _PATH.fullmatch(uri[len(_PREFIX) :])
    if match is None:
        raise SafehandError(Reason.UNAUTHENTICATED, "the SPIFFE id has no known shape")
    kind, name = cast(Kind, match[1]), match[2]
    known = {"service": SERVICES, "operator": OPERATED}.get(kind)
    if known is not None and name not in known:
        raise SafehandError(Reason.UNAUTHENTICATED, "the SPIFFE id names no known service")
    return kind, name


@functools.lru_cache(maxsize=SPIFFE_CACHE_SIZE)
def _principal(uris: tuple[bytes, ...], pem: bytes) -> Principal:
    if len(uris) != 1:
        raise SafehandError(Reason.UNAUTHENTICATED, "the certificate has not exactly one URI SAN")
    try:
        uri = uris[0].decode("ascii")
        der = ssl.PEM_cert_to_DER_cert(pem.decode("ascii"))
    except ValueError:
        raise SafehandError(Reason.UNAUTHENTICATED, "the certificate could not be read") from None
    kind, name = parse_spiffe_id(uri)
    return Principal(kind, name, uri, der)


def principal_from_auth(auth: Mapping[str, Iterable[bytes]]) -> Principal:
    """The principal of a gRPC auth context; raises UNAUTHENTICATED without a certificate of ours.

    ``peer_uri`` holds one entry for each URI SAN, ``x509_pem_cert`` the leaf certificate; gRPC
    fills both only from a certificate that it verified.
    """
    pems = tuple(auth.get("x509_pem_cert", ()))
    if len(pems) != 1:
        raise SafehandError(Reason.UNAUTHENTICATED, "there is no client certificate")
    return _principal(tuple(auth.get("peer_uri", ())), pems[0])


def principal_of(context: Any) -> Principal:
    """The principal behind a servicer context (sync or aio)."""
    return principal_from_auth(context.auth_context())

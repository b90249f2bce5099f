"""A small certificate authority for the sandbox and for tests. Not for production.

ECDSA P-256: BoringSSL, which gRPC uses, verifies no Ed25519 certificates by default.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from safehand_core.clock import Clock, SystemClock
from safehand_core.errors import SafehandError
from safehand_core.keystore import make_private_dir, write_atomic
from safehand_core.reasons import Reason

from safehand_rpc.identity import TRUST_DOMAIN, parse_spiffe_id
from safehand_rpc.tls import TlsFiles

LEAF_DAYS = 7
"""Days that a certificate lives: a sandbox may stay up for a week, a stolen key should not."""
CA_DAYS = 365
"""Days that the authority itself lives."""
BACKDATE_S = 300
"""Seconds that a certificate starts before now: machines' clocks differ a little."""

_DAY_S = 86_400


def service_dns_name(service: str) -> str:
    """The DNS SAN by which clients recognise a service, whatever address it answers on."""
    return f"{service}.{TRUST_DOMAIN}"


class DevCa:
    """A root key and certificate in one directory (``ca.pem``, ``ca-key.pem``, 0600)."""

    def __init__(
        self,
        key: ec.EllipticCurvePrivateKey,
        certificate: x509.Certificate,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._key = key
        self._certificate = certificate
        self._clock = clock or SystemClock()

    @property
    def certificate_pem(self) -> bytes:
        """What parties trust."""
        return self._certificate.public_bytes(Encoding.PEM)

    @classmethod
    def create(cls, directory: Path, *, days: int = CA_DAYS, clock: Clock | None = None) -> DevCa:
        """Make a new authority in ``directory``, replacing any that is there."""
        clock = clock or SystemClock()
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "safehand development CA")])
        certificate = (
            _builder(name, name, key.public_key(), clock, days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        make_private_dir(directory)
        write_atomic(directory / "ca-key.pem", _key_pem(key))
        write_atomic(directory / "ca.pem", certificate.public_bytes(Encoding.PEM))
        return cls(key, certificate, clock=clock)

    @classmethod
    def load(cls, directory: Path, *, clock: Clock | None = None) -> DevCa:
        """The authority of ``directory``; raises CONFIG_INVALID where there is none."""
        try:
            key = load_pem_private_key((directory / "ca-key.pem").read_bytes(), None)
            certificate = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
        except (OSError, ValueError):
            raise SafehandError(
                Reason.CONFIG_INVALID, "there is no development CA in the directory"
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise SafehandError(Reason.CONFIG_INVALID, "the development CA's key is not P-256")
        return cls(key, certificate, clock=clock)

    def issue(
        self,
        directory: Path,
        spiffe_id: str,
        *,
        dns: Sequence[str] = (),
        days: int = LEAF_DAYS,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> TlsFiles:
        """Issue a certificate for a party; writes ``cert.pem``, ``key.pem`` and ``ca.pem``.

        Good for client and server. A service's certificate also gets its service name,
        ``localhost`` and 127.0.0.1; others get only the names in ``dns``.
        Raises UNAUTHENTICATED where ``spiffe_id`` is not one of ours.
        """
        kind, name = parse_spiffe_id(spiffe_id)
        sans: list[x509.GeneralName] = [x509.UniformResourceIdentifier(spiffe_id)]
        names = [*dns]
        if kind == "service":
            names = [service_dns_name(name), "localhost", *names]
            sans.append(x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")))
        sans += [x509.DNSName(value) for value in dict.fromkeys(names)]
        return self.issue_raw(directory, sans, days=days, key=key)

    def issue_raw(
        self,
        directory: Path,
        sans: Sequence[x509.GeneralName],
        *,
        days: int = LEAF_DAYS,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> TlsFiles:
        """Issue with any names at all, also ones that no server accepts: tests need those."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([])
        builder = (
            _builder(subject, self._certificate.subject, key.public_key(), self._clock, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
                ),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if sans:
            # The subject is empty, so the SAN must be critical (RFC 5280, 4.2.1.6).
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=True)
        certificate = builder.sign(self._key, hashes.SHA256())
        make_private_dir(directory)
        files = TlsFiles.in_dir(directory)
        # The key first: until its certificate follows, a watching server keeps the old pair.
        write_atomic(files.ca, self.certificate_pem)
        write_atomic(files.key, _key_pem(key))
        write_atomic(files.cert, certificate.public_bytes(Encoding.PEM))
        return files


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    clock: Clock,
    days: int,
) -> x509.CertificateBuilder:
    now = clock.wall()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(int.from_bytes(os.urandom(19), "big") | 1)
        .not_valid_before(_utc(now - BACKDATE_S))
        .not_valid_after(_utc(now + days * _DAY_S))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _utc(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)

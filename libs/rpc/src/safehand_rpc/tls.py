"""Certificate files, and credentials that follow them when they are replaced."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of a party's certificate chain, its private key, and the CA it trusts (all PEM)."""

    cert: Path
    key: Path
    ca: Path

    @classmethod
    def in_dir(cls, directory: Path) -> TlsFiles:
        """``cert.pem``, ``key.pem`` and ``ca.pem`` of one directory."""
        return cls(directory / "cert.pem", directory / "key.pem", directory / "ca.pem")


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """The bytes of ``TlsFiles`` at one moment; certificate and key belong together."""

    cert: bytes
    key: bytes
    ca: bytes


def read_material(files: TlsFiles) -> TlsMaterial:
    """Read the three files; raises CONFIG_INVALID where one is missing or they do not match."""
    try:
        material = TlsMaterial(
            files.cert.read_bytes(), files.key.read_bytes(), files.ca.read_bytes()
        )
        leaf = x509.load_pem_x509_certificates(material.cert)[0]
        x509.load_pem_x509_certificates(material.ca)
        key = load_pem_private_key(material.key, None)
    except (OSError, ValueError, TypeError):
        raise SafehandError(Reason.CONFIG_INVALID, "a TLS file is missing or is not PEM") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if leaf.public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        raise SafehandError(Reason.CONFIG_INVALID, "the TLS key is not the certificate's")
    return material


class TlsWatch:
    """Notices replaced files. Safe to share between threads.

    A half-replaced set (the key is new, the certificate is not yet) is not a change: the last good
    set stays in force until the files agree.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._stamp = self._stat()
        self.material = read_material(files)
        """The set that was read last."""

    def _stat(self) -> tuple[tuple[int, int, int], ...] | None:
        try:
            return tuple(
                (s.st_mtime_ns, s.st_size, s.st_ino)
                for s in (p.stat() for p in (self._files.cert, self._files.key, self._files.ca))
            )
        except OSError:
            return None

    def changed(self) -> TlsMaterial | None:
        """The new set where the files changed since the last call, else None. Never raises."""
        with self._lock:
            stamp = self._stat()
            if stamp is None or stamp == self._stamp:
                return None
            try:
                fresh = read_material(self._files)
            except SafehandError:
                return None
            self._stamp = stamp
            if fresh == self.material:
                return None
            self.material = fresh
            return fresh


def _configuration(material: TlsMaterial) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(material.key, material.cert)], root_certificates=material.ca
    )


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """mTLS for a server: a client certificate is required, and files are re-read on a handshake.

    The fetcher answers None when nothing changed and never raises: gRPC then keeps what it has.
    """
    watch = TlsWatch(files)

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        fresh = watch.changed()
        return None if fresh is None else _configuration(fresh)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(watch.material),
        fetch,  # type: ignore[arg-type]  # the stub forgets that None means no change
        require_client_authentication=True,
    )


def channel_credentials(material: TlsMaterial) -> grpc.ChannelCredentials:
    """mTLS for a client."""
    return grpc.ssl_channel_credentials(material.ca, material.key, material.cert)

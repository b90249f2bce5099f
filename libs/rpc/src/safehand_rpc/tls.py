"""Certificate files, and credentials that follow them when they are replaced."""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from safehand_core import logs
from safehand_core.clock import SystemClock
from safehand_core.errors import SafehandError
from safehand_core.keystore import read_mounted
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
    ends_at: int
    """When the certificate ends, seconds since the epoch."""


def read_material(files: TlsFiles) -> TlsMaterial:
    """Read the three files; raises CONFIG_INVALID where one is missing, they do not match, or
    everyone may read the key."""
    try:
        cert, ca = files.cert.read_bytes(), files.ca.read_bytes()
        secret = read_mounted(files.key)
        leaf = x509.load_pem_x509_certificates(cert)[0]
        x509.load_pem_x509_certificates(ca)
        key = load_pem_private_key(secret, None)
        _require_whole(cert, secret, ca)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        raise SafehandError(Reason.CONFIG_INVALID, "a TLS file is missing or is not PEM") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if leaf.public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        raise SafehandError(Reason.CONFIG_INVALID, "the TLS key is not the certificate's")
    return TlsMaterial(cert, secret, ca, int(leaf.not_valid_after_utc.timestamp()))


def _require_whole(*pem: bytes) -> None:
    """A bundle that was cut off after a whole certificate still parses: the rest would be lost."""
    for data in pem:
        if data.count(b"-----BEGIN ") != data.count(b"-----END "):
            raise ValueError


def _require_valid(material: TlsMaterial) -> None:
    """An ended certificate is no reason to drop one that still works."""
    if material.ends_at <= SystemClock().wall():
        raise SafehandError(Reason.CONFIG_INVALID, "the TLS certificate has ended")


class TlsWatch:
    """Notices replaced files. Safe to share between threads.

    A half-replaced set (the key is new, the certificate is not yet; a file that is half written)
    is not a change: the last good set stays in force until the files agree, and the log says so
    once for each state of the files.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._stamp = self._stat()
        self._complained = self._stamp
        self.material = read_material(files)
        """The set that was read last."""
        _WATCHES.add(self)

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
                _require_valid(fresh)
            except SafehandError:
                if stamp != self._complained:
                    self._complained = stamp
                    logs.get().warning("tls.not_reloaded")
                return None
            self._stamp = stamp
            if fresh == self.material:
                return None
            self.material = fresh
            logs.get().info("tls.reloaded")
            return fresh

    @property
    def ends_at(self) -> int:
        """When the certificate in force ends, seconds since the epoch."""
        return self.material.ends_at


_WATCHES: weakref.WeakSet[TlsWatch] = weakref.WeakSet()


def soonest_end() -> int | None:
    """When the first certificate that this process uses ends (seconds since the epoch), for a
    metric; None where it uses none."""
    return min((watch.ends_at for watch in list(_WATCHES)), default=None)


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

"""Metrics page and spans of one process, from its settings; everything ends with the block."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final, Protocol

from cryptography import x509
from safehand_core.clock import Clock, SystemClock
from safehand_core.keystore import make_private_dir, write_atomic
from safehand_telemetry import page, tracing
from safehand_telemetry.gauges import Gauge, watch
from safehand_telemetry.page import Page, Peer

from safehand_rpc.identity import spiffe_id
from safehand_rpc.tls import TlsFiles

UNKNOWN_S: Final = 0.0
"""Shown as the life of a certificate that cannot be read: that is as bad as an expired one."""


class Settings(Protocol):
    """What every service's settings have."""

    service: ClassVar[str]

    @property
    def data_dir(self) -> Path: ...
    @property
    def tls(self) -> TlsFiles: ...
    @property
    def metrics_listen(self) -> str: ...
    @property
    def otlp_endpoint(self) -> str: ...
    @property
    def otlp_ca_file(self) -> Path | None: ...
    @property
    def trace_ratio(self) -> float: ...


def port_file(data_dir: Path, service: str, process: str) -> Path:
    """Where a process says on which port its page is."""
    return data_dir / f"{service}-{process}.metrics"


@contextlib.contextmanager
def observed(settings: Settings, process: str, clock: Clock | None = None) -> Iterator[None]:
    """Serve this process's metrics page and record its spans, where its settings say so.

    Raises CONFIG_INVALID for settings with which neither is safe.
    """
    with contextlib.ExitStack() as undo:
        if settings.otlp_endpoint:
            _record(settings, process, undo)
        if settings.metrics_listen:
            make_private_dir(settings.data_dir)
            watch("certificate", clock or SystemClock(), [_certificate(settings.tls)])
            served = _serve(settings)
            undo.callback(served.close)
            file = port_file(settings.data_dir, settings.service, process)
            write_atomic(file, f"{served.port}\n".encode())
            undo.callback(file.unlink, missing_ok=True)
        yield


def _record(settings: Settings, process: str, undo: contextlib.ExitStack) -> None:
    # Imported here: who records nothing does not pay for OpenTelemetry, 15 MB and 0.2 s.
    from safehand_telemetry.export import Collector, Tracer

    collector = Collector.of(settings.otlp_endpoint, settings.otlp_ca_file)
    tracer = Tracer(collector, settings.service, process, settings.trace_ratio)
    tracing.install(tracer)
    undo.callback(tracer.close)
    undo.callback(tracing.install, None)


def _serve(settings: Settings) -> Page:
    operator = spiffe_id("operator", settings.service)

    def fresh() -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_3
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_cert_chain(settings.tls.cert, settings.tls.key)
        made.load_verify_locations(settings.tls.ca)
        return made

    last: list[ssl.SSLContext] = []

    def context() -> ssl.SSLContext:
        """Of the files as they are; while they do not fit together, of those before."""
        try:
            last[:] = [fresh()]
        except OSError:  # ssl.SSLError is one
            if not last:
                raise
        return last[0]

    def allowed(peer: Peer) -> bool:
        uris = [value for kind, value in peer.get("subjectAltName", ()) if kind == "URI"]
        return uris == [operator]

    return page.serve(settings.metrics_listen, context, allowed)


def _certificate(tls: TlsFiles) -> Gauge:
    def read() -> float:
        try:
            leaf = x509.load_pem_x509_certificates(tls.cert.read_bytes())[0]
        except (OSError, ValueError):
            return UNKNOWN_S
        return leaf.not_valid_after_utc.timestamp() - time.time()

    return Gauge(
        "safehand_certificate_expires_seconds",
        "Seconds until this process's certificate on the disk is no longer valid",
        read,
    )

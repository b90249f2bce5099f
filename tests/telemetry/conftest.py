"""A collector, a tracer of this process that sends to it, and the echo server of tests/rpc."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from safehand_telemetry import tracing
from safehand_telemetry.export import Collector as Address
from safehand_telemetry.export import Tracer

from tests.rpc.conftest import (  # noqa: F401  fixtures
    ca,
    ca_dir,
    echo,
    harness,
    log_lines,
    parties,
    serve,
)
from tests.telemetry.collector import Collector, collecting


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture
def recording(collector: Collector) -> Iterator[Collector]:
    """This process records every trace, and sends it to ``collector``."""
    tracer = Tracer(Address.of(collector.endpoint, None), "consent", "api", 1.0)
    tracing.install(tracer)
    try:
        yield collector
    finally:
        tracing.install(None)
        tracer.close()

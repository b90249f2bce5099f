"""What a test's own process logs, whatever configured logging before it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

from safehand_core import logs


@contextmanager
def captured(service: str) -> Iterator[io.StringIO]:
    """Everything that is logged in the block."""
    stream = io.StringIO()
    logs.configure(service, stream=stream)
    try:
        yield stream
    finally:
        logs.configure(service)

"""An idle stream stays open: the clients' pings are fewer than the server's limit allows."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
from safehand_rpc.checks import Rules
from safehand_rpc.dial import KEEPALIVE_MS
from safehand_rpc.server import MIN_PING_INTERVAL_MS, server_options


def test_pings_are_rarer_than_the_limit() -> None:
    assert MIN_PING_INTERVAL_MS < KEEPALIVE_MS


def test_every_option_is_one_that_grpc_knows() -> None:
    """gRPC ignores a channel argument that it does not know: a typo would show after minutes."""
    (library,) = (Path(grpc.__file__).parent / "_cython").glob("cygrpc*.so")
    binary = library.read_bytes()
    options = server_options(Rules({}, 1, {}), connection_age_s=1.0, connection_grace_s=1.0)
    unknown = [name for name, _ in options if not re.search(name.encode() + rb"\x00", binary)]
    assert unknown == []

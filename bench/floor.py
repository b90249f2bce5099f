"""The two floors by themselves, for commands whose figures are not calls: an echo and an fsync."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from safehand_rpc.ca import DevCa
from safehand_rpc.dial import connect
from safehand_rpc.identity import spiffe_id

from bench import echo, stats
from bench.disk import Disk
from bench.stand import echo_request

CALLS: Final = 200
WARM_UP: Final = 20


def measured(folder: Path, disk: Path, *, calls: int = CALLS) -> str:
    """p50 of an echo by one client and of an fsync on ``disk``; certificates go to ``folder``."""
    authority = DevCa.create(folder / "floor-ca")
    server = authority.issue(folder / "floor-server", spiffe_id("service", "consent"))
    portal = authority.issue(folder / "floor-client", spiffe_id("service", "portal"))
    process = echo.EchoProcess(server.cert.parent, folder / "floor.log")
    files = Disk(disk)
    took: list[float] = []
    try:
        with connect(process.address, portal, "consent", retry=False) as channel:
            call = channel.unary_unary(echo.PATH)
            for number in range(WARM_UP + calls):
                request = echo_request()
                began = time.perf_counter()
                call(request)
                if number >= WARM_UP:
                    took.append(time.perf_counter() - began)
        fsync = files.sample(calls)
    finally:
        files.close()
        process.close()
    return (
        f"echo p50 {stats.milliseconds(stats.p50(took))} (same chain, same TLS, 1 client), "
        f"fsync p50 {stats.milliseconds(stats.p50(fsync))}"
    )

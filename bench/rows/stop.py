"""Row: her stop, durable and provable when it is answered."""

from __future__ import annotations

from typing import Final

from safehand.consent.v1 import consent_pb2
from safehand_core import ids

from bench.load import Target
from bench.rows import grant
from bench.stand import ENTROPY, Stand
from bench.stats import Figure

ROW: Final = "stop over gRPC, durable and provable"
P50_GOAL: Final = 2.5
RATE_GOAL: Final = 0.5


def measure(stand: Stand) -> list[Figure]:
    """Stops the grants that the row ``grant`` left, each once."""
    missing = stand.effort.calls - len(stand.granted)
    if missing > 0:
        stand.granted += grant.more(stand, missing)
    stopped, stand.granted = stand.granted[: stand.effort.calls], []
    done = stand.measure(target(stand), [request(*one) for one in stopped])
    return [
        done.latency(ROW, P50_GOAL),
        *done.throughput(ROW, RATE_GOAL, all_levels=False),
        *done.details(ROW),
    ]


def target(stand: Stand) -> Target:
    return stand.target("her", "consent", "/safehand.consent.v1.ConsentService/StopGrant")


def request(session: bytes, grant: str) -> bytes:
    return consent_pb2.StopGrantRequest(
        request_id=ids.new_request_id(ENTROPY),
        session=session,
        grant=grant,
        mode=consent_pb2.STOP_MODE_STOP,
    ).SerializeToString()

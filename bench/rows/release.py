"""Row: the release of one part's key, with its DISCLOSE."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from safehand.consent.v1 import consent_pb2
from safehand_client import Fetched

from bench.load import Target
from bench.stand import Stand
from bench.stats import Figure
from tests.harness.world import CATEGORIES, WORKER

ROW: Final = "release of a key (DISCLOSE)"
RATE_GOAL: Final = 0.4
LOOKS: Final = 56
"""Looks at one referral: consent allows a recipient 60 in an hour."""
REFERRALS_PER_GRANT: Final = 4


def measure(stand: Stand) -> list[Figure]:
    """The recipient asks for parts of accepted referrals; each request is signed beforehand."""
    # As a list: nothing is made while the clock runs.
    done = stand.measure(target(stand), list(requests(stand, stand.effort.calls)))
    return [
        done.latency(ROW, None),
        *done.throughput(ROW, RATE_GOAL, all_levels=True),
        *done.details(ROW),
    ]


def target(stand: Stand) -> Target:
    return stand.target("agency-b", "consent", "/safehand.consent.v1.ConsentService/ReleaseKey")


def requests(stand: Stand, count: int) -> Iterator[bytes]:
    """``count`` signed requests, spread over as few referrals as the quota allows."""
    world = stand.world
    referrals: list[Fetched] = []
    grant = ""
    for number in range(-(-count // LOOKS)):
        if number % REFERRALS_PER_GRANT == 0:
            grant = world.grant(world.person())
        referrals.append(world.accepted(grant))
    for number in range(count):
        fetched = referrals[number % len(referrals)]
        category = CATEGORIES[number % len(CATEGORIES)]
        look = world.agency_b.prepare_look(fetched, category, worker_ref=WORKER)
        yield consent_pb2.ReleaseKeyRequest(
            request=look.signed.request_bytes,
            signature=look.signed.signature,
            outer_wrap=fetched.parts[look.request.part].outer_wrap,
        ).SerializeToString()

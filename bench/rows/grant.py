"""Row: a grant with four categories."""

from __future__ import annotations

from typing import Final

from safehand.consent.v1 import consent_pb2
from safehand_cli.story import PURPOSE
from safehand_client._internal.notice import NOTICE_SHA256
from safehand_core import ids

from bench.stand import ENTROPY, Stand
from bench.stats import Figure

ROW: Final = "grant, four categories"
CATEGORIES: Final = ("CARD", "CONTACT", "EVENTS", "NAME")
P50_GOAL: Final = 3.0
RATE_GOAL: Final = 0.4


def measure(stand: Stand) -> list[Figure]:
    """Each client grants in a session of its own. Leaves the grants to ``stand.granted``."""
    stand.granted = [(_session(stand), []) for _ in range(len(stand.clients))]

    def answered(client: int, answers: list[bytes]) -> None:
        stand.granted[client][1].extend(
            consent_pb2.GrantResponse.FromString(answer).grant.grant for answer in answers
        )

    requests = [
        [_request(session) for _ in range(stand.effort.calls)] for session, _ in stand.granted
    ]
    target = stand.target("her", "consent", "/safehand.consent.v1.ConsentService/Grant")
    done = stand.measure(target, requests, answered=answered)
    return [done.latency(ROW, P50_GOAL), done.throughput(ROW, RATE_GOAL), *done.details(ROW)]


def _session(stand: Stand) -> bytes:
    person = stand.world.person()
    with stand.world.session(person) as her:
        return her.session


def _request(session: bytes) -> bytes:
    terms = consent_pb2.Terms(
        releasing_agency="agency-a",
        recipient_agency="agency-b",
        purpose=PURPOSE,
        categories=CATEGORIES,
        notice_sha256=NOTICE_SHA256,
        language="en",
        given_how="read",
        present="alone",
    )
    return consent_pb2.GrantRequest(
        request_id=ids.new_request_id(ENTROPY), session=session, terms=terms
    ).SerializeToString()

"""Row: a grant with four categories."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Final

from safehand.consent.v1 import consent_pb2
from safehand_cli.story import PURPOSE
from safehand_client._internal.notice import NOTICE_SHA256
from safehand_core import ids

from bench.load import Target
from bench.stand import ENTROPY, Stand
from bench.stats import Figure

ROW: Final = "grant, four categories"
CATEGORIES: Final = ("CARD", "CONTACT", "EVENTS", "NAME")
P50_GOAL: Final = 3.0
RATE_GOAL: Final = 0.4


def measure(stand: Stand) -> list[Figure]:
    """As many people as clients, each in a session of hers. Leaves ``stand.granted``."""
    sessions = [session(stand) for _ in range(stand.effort.clients)]
    requests = [request(one) for one in islice(cycle(sessions), stand.effort.calls)]
    done = stand.measure(
        target(stand), requests, answered=lambda sent, got: stand.granted.append(given(sent, got))
    )
    return [
        done.latency(ROW, P50_GOAL),
        *done.throughput(ROW, RATE_GOAL, all_levels=True),
        *done.details(ROW),
    ]


def target(stand: Stand) -> Target:
    return stand.target("her", "consent", "/safehand.consent.v1.ConsentService/Grant")


def session(stand: Stand) -> bytes:
    """The session of somebody new."""
    person = stand.world.person()
    with stand.world.session(person) as her:
        return her.session


def request(session: bytes) -> bytes:
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


def given(request: bytes, answer: bytes) -> tuple[bytes, str]:
    """Her session and the grant that she made in it."""
    sent = consent_pb2.GrantRequest.FromString(request)
    return sent.session, consent_pb2.GrantResponse.FromString(answer).grant.grant


def more(stand: Stand, count: int) -> list[tuple[bytes, str]]:
    """So many more live grants, made quickly by all clients together."""
    people = [session(stand) for _ in range(min(count, stand.effort.clients))]
    each = -(-count // len(people))
    batches = [[request(one) for _ in range(each)] for one in people]
    run = stand.clients.run(target(stand), batches, keep=True)
    return [
        given(sent, call.answer)
        for batch, calls in zip(batches, run.calls, strict=True)
        for sent, call in zip(batch, calls, strict=True)
    ][:count]

"""One act of hers through all processes: in one trace, and with nothing in it but what may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from safehand_consent_service.policy import POLICY as CONSENT
from safehand_core.trace import Place, entered
from safehand_notify_service.policy import POLICY as NOTIFY
from safehand_referral_service.policy import POLICY as REFERRAL
from safehand_telemetry import allow, names

from tests.harness.world import WORKER, World, running
from tests.telemetry.collector import Collector, Seen, collecting
from tests.telemetry.scrape import soon, tracing

HERS = Place(0x5AFE5AFE5AFE5AFE5AFE5AFE5AFE5AFE, 0x5AFE5AFE5AFE5AFE, True)
AGENCYS = Place(0xA6E9C7A6E9C7A6E9C7A6E9C7A6E9C7A6, 0xA6E9C7A6E9C7A6E9, True)
STOP = "/safehand.consent.v1.ConsentService/StopGrant"
ENDED = "safehand.v1.consent.ended"
STOPPED = "safehand.v1.referral.sharing_stopped"

EXPECTED = {
    ("consent", "api", STOP),
    ("consent", "api", "ledger append"),
    ("consent", "worker", f"publish {ENDED}"),
    ("notify", "api", f"apply {ENDED}"),
    ("referral", "api", f"apply {ENDED}"),
    ("referral", "worker", f"publish {STOPPED}"),
    ("notify", "api", f"apply {STOPPED}"),
}
"""What her one press does, by process."""


@dataclass
class Told:
    """The story was told; ``collector`` heard of it."""

    world: World
    collector: Collector
    grant: str
    referral: str


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    root = tmp_path_factory.mktemp("traced") / "sandbox"
    with (
        collecting() as collector,
        running(root, extra_environment=tracing(collector.endpoint)) as world,
    ):
        person = world.person()
        grant = world.grant(person)
        with entered(AGENCYS):
            fetched = world.accepted(grant)
            world.agency_b.open(fetched, "NAME", worker_ref=WORKER)
        with world.session(person) as her, entered(HERS):
            her.stop(grant)
        told = Told(world, collector, grant, fetched.referral)
        soon(lambda: hers(told) >= EXPECTED, "every span of her stop arrived")
        yield told


def hers(told: Told) -> set[tuple[str, str, str]]:
    trace = told.collector.trace(HERS.trace.to_bytes(16, "big"))
    return {(seen.service, seen.process, seen.name) for seen in trace}


def named(told: Told, service: str, name: str) -> list[Seen]:
    trace = told.collector.trace(HERS.trace.to_bytes(16, "big"))
    return [seen for seen in trace if (seen.service, seen.name) == (service, name)]


def ids(spans: list[Seen]) -> set[bytes]:
    return {seen.span.span_id for seen in spans}


def parents(spans: list[Seen]) -> set[bytes]:
    return {seen.span.parent_span_id for seen in spans}


def test_her_stop_is_one_trace_from_the_portal_to_notify(told: Told) -> None:
    [stop] = named(told, "consent", STOP)
    assert stop.span.parent_span_id == HERS.span.to_bytes(8, "big")
    [entry] = named(told, "consent", "ledger append")
    assert entry.span.parent_span_id == stop.span.span_id
    assert entry.attributes == {"ledger.lane": "stop"}
    published = named(told, "consent", f"publish {ENDED}")
    assert parents(published) == {entry.span.span_id}
    assert len(published) == 3, "one event for each agency, one for referral"
    # What notify asked consent for, because the bus was quiet, came past the bus.
    assert parents(named(told, "notify", f"apply {ENDED}")) <= {
        *ids(published),
        entry.span.span_id,
    }
    [followed] = named(told, "referral", f"apply {ENDED}")
    assert followed.span.parent_span_id == entry.span.span_id
    onward = named(told, "referral", f"publish {STOPPED}")
    assert parents(onward) == {followed.span.span_id}
    assert parents(named(told, "notify", f"apply {STOPPED}")) <= {
        *ids(onward),
        followed.span.span_id,
    }


def test_transactions_say_read_or_write_and_nothing_else(told: Told) -> None:
    found = [seen for seen in told.collector.spans() if seen.name.startswith("sql ")]
    assert {seen.name for seen in found} == {"sql read", "sql write"}
    for seen in found:
        assert seen.attributes == {"db.operation": seen.name.removeprefix("sql ")}
        assert seen.span.parent_span_id


def test_an_agencys_trace_is_in_no_process(told: Told) -> None:
    seen = {seen.span.trace_id for seen in told.collector.spans()}
    assert HERS.trace.to_bytes(16, "big") in seen
    assert AGENCYS.trace.to_bytes(16, "big") not in seen
    assert AGENCYS.trace_hex.encode() not in told.collector.raw()


def test_every_name_and_every_value_is_on_the_list(told: Told) -> None:
    names.serve([*CONSENT, *REFERRAL, *NOTIFY])
    found = told.collector.spans()
    assert len(found) > 30
    for seen in found:
        assert allow.name_allowed(seen.name), seen.name
        for key, value in seen.attributes.items():
            assert allow.ATTRIBUTES[key](value), (key, value)
        span = seen.span
        assert not span.events
        assert not span.trace_state
        assert not span.status.message
        assert not any(link.attributes or link.trace_state for link in span.links)


def test_nothing_names_a_party_a_grant_or_a_referral(told: Told) -> None:
    raw = told.collector.raw() + repr(told.collector.metadata).encode()
    for text in ("agency-", told.grant, told.referral, WORKER, "test-ref", "127.0.0.1", "sandbox"):
        assert text.encode() not in raw
        assert bytes.fromhex(text) not in raw if len(text) == 32 else True


def test_a_poll_begins_no_trace(told: Told) -> None:
    """Referral asks consent for events every second: that is of nobody's trace."""
    roots = [seen for seen in told.collector.spans() if not seen.span.parent_span_id]
    assert {seen.span.kind for seen in roots} == {2}, "only calls begin traces"


def test_agencies_are_given_no_trace(told: Told) -> None:
    for agency in (told.world.agency_a, told.world.agency_b):
        deliveries = agency.deliveries()
        assert deliveries
        assert all(not delivery.event.trace for delivery in deliveries)

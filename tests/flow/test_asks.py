"""Asked, answered, narrowed: through the real processes, from a question to a refused look."""

from __future__ import annotations

import hashlib

import pytest
from safehand.consent.v1 import asks_pb2
from safehand.events.v1 import events_pb2
from safehand_cli.story import PURPOSE
from safehand_client import AgencyClient
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind

from tests.flow.following import everything
from tests.flow.test_lies import refuses
from tests.harness.world import WORKER, Person, World, eventually


def ask(world: World, person: Person, purpose: str = PURPOSE) -> asks_pb2.AgencyAsk:
    return world.agency_a.ask_consent(
        subject_ref=person.subject_ref,
        worker_ref=WORKER,
        releasing="agency-a",
        recipient="agency-b",
        purpose=purpose,
        categories=["CONTACT", "NAME"],
        days=60,
        notice_sha256=hashlib.sha256(b"TEST notice").hexdigest(),
    )


def heard(agency: AgencyClient, grant: str) -> int:
    """How often the agency was told that the grant was narrowed."""
    told = (events_pb2.EVENT_TYPE_CONSENT_NARROWED, f"grants/{grant}")
    return sum((one.event.type, one.event.resource) == told for one in everything(agency))


def test_from_an_ask_to_a_narrowed_consent(world: World) -> None:
    person = world.person()
    filed = ask(world, person)
    with world.session(person) as her:
        (question,) = her.questions()
        assert (question.ask, question.asker) == (filed.ask, "agency-a")
        her.say_later(filed.ask)
        grant = her.say_yes(filed.ask, ["CONTACT", "NAME"]).grant.grant
        assert her.questions() == []
    (mine,) = world.agency_a.asks(person.subject_ref)
    assert (mine.state, mine.grant) == (asks_pb2.ASK_STATE_GIVEN, grant)

    fetched = world.accepted(grant)
    world.agency_b.open(fetched, "NAME", worker_ref=WORKER)
    with world.session(person) as her:
        done = her.narrow(grant, ["CONTACT"])
        assert list(done.removed) == ["NAME"]
        lines = her.verified_receipt(grant)
    assert lines[0].body["ask"] == filed.ask
    assert lines[-1].kind is Kind.NARROW
    reason = refuses(lambda: world.agency_b.open(fetched, "NAME", worker_ref=WORKER))
    assert reason is Reason.CONSENT_ENDED
    world.agency_b.open(fetched, "CARD", worker_ref=WORKER)
    with world.session(person) as her:
        assert [line.kind for line in her.verified_receipt(grant)][-2:] == [
            Kind.NARROW,
            Kind.DISCLOSE,
        ]


def test_a_no_is_proven_and_the_asker_sees_an_open_question(world: World) -> None:
    person = world.person()
    filed = ask(world, person)
    with world.session(person) as her:
        her.say_no(filed.ask)
        index, body = her.verified_refusal(filed.ask)
        assert (body["ask"], body["recipient"]) == (filed.ask, "agency-b")
        assert index >= 0
        with pytest.raises(SafehandError) as caught:
            her.say_yes(filed.ask, ["NAME"])
        assert caught.value.reason is Reason.STATE_CONFLICT
    assert world.agency_a.asks(person.subject_ref) == [filed]
    reason = refuses(lambda: ask(world, person))
    assert reason is Reason.QUOTA_EXCEEDED


def test_an_ask_about_nobody_is_answered_alike(world: World) -> None:
    filed = ask(world, Person("test-ref-nobody-at-all", "", ""))
    assert filed.state == asks_pb2.ASK_STATE_OPEN
    assert world.agency_a.asks("test-ref-nobody-at-all") == [filed]


def test_both_agencies_hear_of_a_narrowing(world: World) -> None:
    person = world.person()
    grant = world.grant(person)
    world.send(grant)
    with world.session(person) as her:
        her.narrow(grant, ["CARD"])
    for agency in (world.agency_a, world.agency_b):
        eventually(lambda of=agency: heard(of, grant) == 1, "it is told once")  # type: ignore[misc]

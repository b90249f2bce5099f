"""Who hears that sharing ended, went on or became less: a recipient only of a grant it knows of."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import consent_pb2_grpc, stops_pb2
from safehand.events.v1 import events_pb2

from tests.consent.release.test_narrow import narrow
from tests.consent.release.world import DAY_S, A, B, World, new_request_id

ENDED = events_pb2.EVENT_TYPE_CONSENT_ENDED
RESUMED = events_pb2.EVENT_TYPE_CONSENT_RESUMED
NARROWED = events_pb2.EVENT_TYPE_CONSENT_NARROWED

Act = Callable[[World, bytes, str], object]


def _stop_for_her(world: World, session: bytes, grant: str) -> None:
    """The recipient itself asks for it: by a grant id that it may have guessed."""
    world.agency(B).StopForHer(
        stops_pb2.StopForHerRequest(
            request_id=new_request_id(), worker_ref="worker-9", channel="phone", grant=grant
        )
    )


def _resume(world: World, session: bytes, grant: str) -> None:
    world.stop_grant(session, grant)
    world.resume_grant(session, grant)


def _let_it_end(world: World, session: bytes, grant: str) -> None:
    world.clock.advance(90 * DAY_S)
    world.app.context.writer.confirm_clock()
    world.app.sweep()


CAUSES: dict[str, tuple[Act, list[int]]] = {
    "her own stop": (lambda world, session, grant: world.stop_grant(session, grant), [ENDED]),
    "a stop by others": (_stop_for_her, [ENDED]),
    "a resume": (_resume, [ENDED, RESUMED]),
    "a narrowing": (lambda world, hers, grant: narrow(world, hers, grant, "CARD"), [NARROWED]),
    "an end": (_let_it_end, [ENDED]),
}


def heard(world: World, agency: str, grant: str) -> list[int]:
    """What an agency is told about the grant, as whoever carries events reads it."""
    carrier = consent_pb2_grpc.ConsentServiceStub(world.channel("service", "notify"))
    about = (f"agency/{agency}", f"grants/{grant}")
    return [
        event.type
        for event in carrier.ListEvents(pb.ListEventsRequest(page_size=2000)).events
        if (event.audience, event.resource) == about and event.type in (ENDED, RESUMED, NARROWED)
    ]


@pytest.mark.parametrize("cause", CAUSES)
def test_a_recipient_does_not_learn_of_a_grant_by_its_end(fresh_world: World, cause: str) -> None:
    """Else a stop that it asks for tells it that she has one, and which."""
    act, told = CAUSES[cause]
    session = fresh_world.session()
    grant = fresh_world.grant(session)
    act(fresh_world, session, grant)
    assert heard(fresh_world, A, grant) == told
    assert heard(fresh_world, B, grant) == []


@pytest.mark.parametrize("cause", CAUSES)
def test_a_recipient_hears_what_becomes_of_a_grant_with_a_referral(
    fresh_world: World, cause: str
) -> None:
    act, told = CAUSES[cause]
    session = fresh_world.session()
    grant = fresh_world.grant(session)
    fresh_world.send(grant)
    act(fresh_world, session, grant)
    assert heard(fresh_world, A, grant) == told
    assert heard(fresh_world, B, grant) == told

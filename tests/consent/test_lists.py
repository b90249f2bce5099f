"""Lists and events: newest first, in pages that join, each to those it is for."""

from __future__ import annotations

from typing import Any

import pytest
from safehand.consent.v1 import consent_pb2 as pb
from safehand.events.v1 import events_pb2
from safehand_core.reasons import Reason

from tests.consent.refusals import refused
from tests.consent.world import DAY, World


def all_pages(method: Any, request: Any, field: str) -> list[Any]:
    found: list[Any] = []
    while True:
        answer = method(request)
        found += getattr(answer, field)
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


def test_her_grants_come_newest_first_in_pages_that_join(world: World, her: bytes) -> None:
    made = [world.grant(her).grant.grant for _ in range(5)]
    for size in (1, 2, 5, 0):
        request = pb.ListGrantsRequest(session=her, page_size=size)
        views = all_pages(world.portal.ListGrants, request, "grants")
        assert [view.grant for view in views] == made[::-1]


def test_a_page_token_is_good_for_its_own_list_only(world: World, her: bytes) -> None:
    for _ in range(2):
        world.grant(her)
    world.register("haven", 2, "another-one")
    token = world.portal.ListGrants(pb.ListGrantsRequest(session=her, page_size=1)).next_page_token
    with refused(Reason.PAGE_TOKEN_INVALID):
        world.portal.ListGrants(
            pb.ListGrantsRequest(session=world.sign_in(2), page_size=1, page_token=token)
        )
    with refused(Reason.PAGE_TOKEN_INVALID):
        world.portal.ListLooks(pb.ListLooksRequest(session=her, page_token=token))
    with refused(Reason.PAGE_TOKEN_INVALID):
        world.portal.ListGrants(pb.ListGrantsRequest(session=her, page_token="x" * 20))


def test_an_agency_sees_the_grants_that_it_may_release_under(world: World, her: bytes) -> None:
    world.register("legal", 1, "client-77")
    out = world.grant(her).grant.grant
    back = world.grant(her, releasing_agency="legal", recipient_agency="haven").grant.grant

    def seen(party: str, **filters: Any) -> list[tuple[str, str, bool]]:
        answer = world.consent(party).ListAgencyGrants(pb.ListAgencyGrantsRequest(**filters))
        return [(g.grant, g.subject_ref, g.live) for g in answer.grants]

    assert seen("haven") == [(out, "her-at-haven", True)]
    assert seen("legal") == [(back, "client-77", True)]
    assert seen("clinic") == []
    assert seen("haven", subject_ref="her-at-haven") == [(out, "her-at-haven", True)]
    # Another agency's reference is no reference of the caller's.
    assert seen("haven", subject_ref="client-77") == []


def test_an_agency_hears_one_word_whatever_ended_a_grant(world: World, her: bytes) -> None:
    now = world.clock.wall()
    stopped, destroyed = (world.grant(her).grant.grant for _ in range(2))
    expired = world.grant(her, expires_at=now + 600).grant.grant
    live = world.grant(her).grant.grant
    world.stop_grant(her, stopped)
    world.stop_grant(her, destroyed, destroy_now=True)
    world.clock.advance(600)
    world.sweep()
    answer = world.consent("haven").ListAgencyGrants(pb.ListAgencyGrantsRequest())
    assert {g.grant: g.live for g in answer.grants} == {
        stopped: False,
        destroyed: False,
        expired: False,
        live: True,
    }
    ended = [(e.audience, e.resource) for e in world.events() if e.type == 2]
    assert {e for e in ended if e[0] == "agency/haven"} == {
        ("agency/haven", f"grants/{grant}") for grant in (stopped, destroyed, expired)
    }


def test_agency_lists_come_in_pages_that_join(world: World, her: bytes) -> None:
    made = [world.grant(her).grant.grant for _ in range(5)]
    stub = world.consent("haven")
    for size in (1, 2, 3):
        request = pb.ListAgencyGrantsRequest(page_size=size)
        listed = all_pages(stub.ListAgencyGrants, request, "grants")
        assert [g.grant for g in listed] == made[::-1]


def test_events_are_one_gapless_sequence_from_one(world: World, her: bytes) -> None:
    for _ in range(3):
        grant = world.grant(her).grant.grant
        world.stop_grant(her, grant)
        world.resume_grant(her, grant)
    whole = world.events()
    assert [e.sequence for e in whole] == list(range(1, 3 * (2 + 2 + 2) + 1))
    for size in (1, 7):
        request = pb.ListEventsRequest(page_size=size)
        stub = world.consent("notify")
        assert all_pages(stub.ListEvents, request, "events") == whole
    assert world.events(after=10) == whole[10:]
    assert world.events(after=len(whole)) == []


def test_an_event_says_what_and_nothing_about_whom(world: World, her: bytes) -> None:
    grant = world.grant(her).grant.grant
    subject = world.rows("SELECT subject_id FROM subject")[0][0]
    for event in world.events():
        assert event.resource == f"grants/{grant}"
        assert event.time.seconds == world.clock.wall()
        text = str(event)
        assert not [word for word in (subject, "her-at-haven", "housing", "NAME") if word in text]


@pytest.mark.parametrize("party", ["haven", "portal", "operator", "oversight"])
def test_events_are_for_the_services_that_follow(world: World, party: str) -> None:
    with refused(Reason.NOT_ALLOWED):
        world.consent(party).ListEvents(pb.ListEventsRequest())


def test_the_types_of_a_grants_life_in_order(world: World, her: bytes) -> None:
    grant = world.grant(her, expires_at=world.clock.wall() + DAY).grant.grant
    world.stop_grant(her, grant)
    world.resume_grant(her, grant)
    world.clock.advance(DAY)
    world.sweep()
    types = [e.type for e in world.events() if e.audience == "service/referral"]
    assert types == [
        events_pb2.EVENT_TYPE_CONSENT_GRANTED,
        events_pb2.EVENT_TYPE_CONSENT_ENDED,
        events_pb2.EVENT_TYPE_CONSENT_RESUMED,
        events_pb2.EVENT_TYPE_CONSENT_ENDED,
    ]

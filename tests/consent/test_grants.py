"""Her yes: what it needs, what it records, what it proves."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from safehand.consent.v1 import consent_pb2 as pb
from safehand.events.v1 import events_pb2
from safehand_consent_service.grants import DEFAULT_TERM_S, ERASE_AFTER_S, MAX_TERM_S
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_store.engine import begin_read

from tests.consent.refusals import refused
from tests.consent.world import DAY, NOTICE, World


def test_a_grant_is_recorded_with_all_its_terms_and_its_receipt_verifies(
    world: World, her: bytes
) -> None:
    digest = world.rows("SELECT digest FROM protocol")[0][0]
    answer = world.grant(her, categories=["NAME", "CONTACT"])
    opening = world.opened(answer.receipt)
    now = world.clock.wall()
    assert opening.kind is Kind.GRANT
    assert opening.body == {
        "kind": "GRANT",
        "grant": answer.grant.grant,
        "releasing": "haven",
        "recipient": "legal",
        "purpose": "housing",
        "categories": ["CARD", "CONTACT", "NAME"],
        "issued_at": now,
        "expires_at": now + DEFAULT_TERM_S,
        "erase_by": now + DEFAULT_TERM_S + ERASE_AFTER_S,
        "redisclosure": "none",
        "notice": NOTICE,
        "language": "en",
        "given_how": "read",
        "present": "alone",
        "protocol": digest,
    }
    assert answer.grant.state == pb.GRANT_STATE_ACTIVE
    assert answer.grant == world.view(her, answer.grant.grant)


def test_the_card_is_in_every_grant_and_is_shown(world: World, her: bytes) -> None:
    assert list(world.grant(her, categories=["HEALTH"]).grant.terms.categories) == [
        "CARD",
        "HEALTH",
    ]
    assert list(world.grant(her, categories=["CARD"]).grant.terms.categories) == ["CARD"]


def test_every_category_gets_a_key_of_its_own(world: World, her: bytes) -> None:
    grant = world.grant(her).grant.grant
    rows = world.rows(
        "SELECT category, wrapped FROM category_key WHERE grant_id = ? ORDER BY category", grant
    )
    assert [category for category, _ in rows] == ["CARD", "CONTACT", "NAME"]
    assert len({wrapped for _, wrapped in rows}) == 3
    with begin_read(world.app.context.engine) as connection:
        keks = world.app.context.keks
        keys = {keks.open_key(connection, grant, category) for category, _ in rows}
    assert len(keys) == 3
    assert {len(key) for key in keys if key is not None} == {32}


def test_without_her_session_there_is_no_grant(world: World, her: bytes) -> None:
    for session in (bytes(32), her[::-1]):
        with refused(Reason.SESSION_INVALID):
            world.grant(session)
    with refused(Reason.MALFORMED):
        world.grant(b"")
    assert world.rows("SELECT count(*) FROM consent_grant") == [(0,)]


@pytest.mark.parametrize("party", ["haven", "legal", "operator", "referral", "oversight"])
def test_nobody_but_the_portal_can_grant_even_with_her_session(
    world: World, her: bytes, party: str
) -> None:
    with refused(Reason.NOT_ALLOWED):
        world.consent(party).Grant(
            pb.GrantRequest(request_id=world.request_id(), session=her, terms=world.terms())
        )


def test_the_longest_term_is_180_days_to_the_second(world: World, her: bytes) -> None:
    now = world.clock.wall()
    longest = world.grant(her, expires_at=now + MAX_TERM_S)
    assert longest.grant.terms.expires_at.seconds == now + 180 * DAY
    for wrong in (now + MAX_TERM_S + 1, now, now - 1, 0):
        with refused(Reason.EXPIRY_INVALID):
            world.grant(her, expires_at=wrong)
    assert world.grant(her, expires_at=now + 1).grant.terms.expires_at.seconds == now + 1


def test_erase_by_is_never_before_the_end(world: World, her: bytes) -> None:
    end = world.clock.wall() + DAY
    same = world.grant(her, expires_at=end, erase_by=end)
    assert same.grant.terms.erase_by.seconds == end
    with refused(Reason.EXPIRY_INVALID):
        world.grant(her, expires_at=end, erase_by=end - 1)
    default = world.grant(her, expires_at=end)
    assert default.grant.terms.erase_by.seconds == end + ERASE_AFTER_S


def test_fractions_of_a_second_never_lengthen_a_consent(world: World, her: bytes) -> None:
    end = world.clock.wall() + DAY
    answer = world.grant(her, expires_at=Timestamp(seconds=end, nanos=999_999_999))
    assert answer.grant.terms.expires_at == Timestamp(seconds=end)


def test_an_agency_cannot_be_its_own_recipient(world: World, her: bytes) -> None:
    with refused(Reason.MALFORMED):
        world.grant(her, recipient_agency="haven")


@pytest.mark.parametrize(
    "changed",
    [{"purpose": "anything"}, {"categories": ["EVERYTHING"]}, {"given_how": "guessed"}],
)
def test_words_outside_the_closed_lists_are_refused(
    world: World, her: bytes, changed: dict[str, Any]
) -> None:
    with refused(Reason.MALFORMED):
        world.grant(her, **changed)


def test_an_agency_that_is_not_enrolled_cannot_take_part(world: World, her: bytes) -> None:
    with refused(Reason.AGENCY_UNKNOWN):
        world.grant(her, recipient_agency="stranger")
    with refused(Reason.AGENCY_UNKNOWN):
        world.grant(her, releasing_agency="stranger")


def test_only_an_agency_that_knows_her_can_release(world: World, her: bytes) -> None:
    with refused(Reason.NOT_FOUND):
        world.grant(her, releasing_agency="legal", recipient_agency="haven")


def test_without_a_protocol_between_the_two_there_is_no_grant(world: World, her: bytes) -> None:
    with refused(Reason.PROTOCOL_MISSING):
        world.grant(her, recipient_agency="clinic")


def test_the_protocol_must_cover_purpose_and_categories(world: World, her: bytes) -> None:
    world.register_protocol("clinic", "haven", purposes=["health"], categories=["CARD", "HEALTH"])
    narrow: dict[str, Any] = {
        "recipient_agency": "clinic",
        "purpose": "health",
        "categories": ["HEALTH"],
    }
    assert world.grant(her, **narrow).grant.grant
    with refused(Reason.PROTOCOL_MISSING):
        world.grant(her, **{**narrow, "purpose": "housing"})
    with refused(Reason.PROTOCOL_MISSING):
        world.grant(her, **{**narrow, "categories": ["HEALTH", "NAME"]})


def test_the_protocol_must_be_live_to_the_second(world: World, her: bytes) -> None:
    end = world.clock.wall() + 300
    world.register_protocol("clinic", "haven", not_after=end)
    world.clock.advance(299)
    assert world.grant(her, recipient_agency="clinic").grant.grant
    world.clock.advance(1)
    with refused(Reason.PROTOCOL_MISSING):
        world.grant(her, recipient_agency="clinic")


def test_a_repeat_is_the_same_grant_and_another_body_is_refused(world: World, her: bytes) -> None:
    request_id = world.request_id()
    first = world.grant(her, request_id)
    again = world.grant(her, request_id)
    assert again.grant == first.grant
    assert (again.receipt.index, again.receipt.leaf) == (first.receipt.index, first.receipt.leaf)
    with refused(Reason.REQUEST_ID_REUSED):
        world.grant(her, request_id, categories=["NAME"])
    assert world.rows("SELECT count(*) FROM consent_grant") == [(1,)]
    assert len(world.events()) == 2


def test_a_repeat_after_signing_in_again_is_still_the_same_grant(world: World, her: bytes) -> None:
    request_id = world.request_id()
    first = world.grant(her, request_id)
    world.clock.advance(3600)
    assert world.grant(world.sign_in(1), request_id).grant.grant == first.grant.grant


def test_two_people_may_use_the_same_request_id(world: World, her: bytes) -> None:
    world.register("haven", 2, "another-one")
    request_id = world.request_id()
    first = world.grant(her, request_id).grant.grant
    assert world.grant(world.sign_in(2), request_id).grant.grant != first


def test_granting_tells_the_releasing_agency_and_the_referral_service_only(
    world: World, her: bytes
) -> None:
    grant = world.grant(her).grant.grant
    events = world.events()
    assert [(e.type, e.audience, e.resource) for e in events] == [
        (events_pb2.EVENT_TYPE_CONSENT_GRANTED, "agency/haven", f"grants/{grant}"),
        (events_pb2.EVENT_TYPE_CONSENT_GRANTED, "service/referral", f"grants/{grant}"),
    ]
    assert [e.sequence for e in events] == [1, 2]
    assert [e.id for e in events] == ["consent:1", "consent:2"]


def test_a_refused_grant_leaves_nothing_behind(world: World, her: bytes) -> None:
    tables = ("consent_grant", "category_key", "grant_leaf", "ledger_leaf", "outbox_event")
    before = {table: world.rows(f"SELECT count(*) FROM {table}") for table in tables}
    request_id = world.request_id()
    with refused(Reason.PROTOCOL_MISSING):
        world.grant(her, request_id, recipient_agency="clinic")
    assert before == {table: world.rows(f"SELECT count(*) FROM {table}") for table in tables}
    # The id is still free: nothing was done under it.
    assert world.grant(her, request_id).grant.grant


def test_sharing_options_are_live_protocols_of_agencies_that_know_her(
    world: World, her: bytes
) -> None:
    world.register_protocol("clinic", "haven", purposes=["health"], categories=["CARD", "HEALTH"])
    world.register_protocol("clinic", "legal")
    answer = world.portal.ListSharingOptions(pb.ListSharingOptionsRequest(session=her))
    found = [(o.releasing_agency, o.recipient_agency, o.recipient_name) for o in answer.options]
    assert found == [("haven", "clinic", "The clinic"), ("haven", "legal", "The legal")]
    assert list(answer.options[0].purposes) == ["health"]
    assert list(answer.options[0].categories) == ["CARD", "HEALTH"]


def test_her_caller_column_does_not_name_her(world: World, her: bytes) -> None:
    world.grant(her)
    subject = world.rows("SELECT subject_id FROM subject")[0][0]
    callers = [row[0] for row in world.rows("SELECT caller FROM idempotency")]
    assert any(caller.startswith("person/") for caller in callers)
    assert not any(subject in caller for caller in callers)

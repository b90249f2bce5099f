"""A guardian signs beside her, sees the terms that wait, and nothing else; barred is barred."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from argon2 import PasswordHasher
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import guardians_pb2
from safehand.events.v1 import events_pb2
from safehand_consent_service.cosign import COSIGN_WITHIN_S
from safehand_consent_service.guardian_sessions import SESSION_S
from safehand_consent_service.guardians import GUARDIANS_EVER
from safehand_consent_service.throttle import TRIES
from safehand_consent_service.weak_stops import WINDOW_S as WEAK_WINDOW_S
from safehand_core.reasons import Reason

from tests.consent.helpers import stop_for_her
from tests.consent.recording import (
    GUARDIAN_PIN,
    YES,
    bodies,
    confirm,
    confirmations,
    cosign,
    exclude_guardian,
    guardian_session,
    guardians,
    record,
    register_guardian,
    set_cosign,
    waiting,
)
from tests.consent.refusals import refused
from tests.consent.world import DAY, PIN, World, card

PARENT = 500
"""The number of the guardian's card."""
WRONG = "000000"
CONFIRMED = events_pb2.EVENT_TYPE_CONSENT_CONFIRMED


@pytest.fixture
def ward(world: World, her: bytes) -> bytes:
    """Her session; haven says that a guardian must sign too, and filed one."""
    set_cosign(world)
    register_guardian(world, PARENT)
    return her


def register_with(world: World, agency: str, number: int, ref: str, **cosign: Any) -> None:
    world.consent(agency).RegisterSubject(
        pb.RegisterSubjectRequest(
            request_id=world.request_id(),
            subject_ref=ref,
            card_number=card(number),
            pin=PIN,
            **cosign,
        )
    )


def needs_cosign(world: World, session: bytes, **terms: Any) -> bool:
    return bool(world.grant(session, **terms).grant.HasField("cosign_by"))


# --- who says that one must sign -----------------------------------------------------------------


def test_it_can_be_said_when_her_card_is_filed(world: World) -> None:
    register_with(world, "haven", 1, "her-at-haven", cosign=True, alone_purposes=["health"])
    her = world.sign_in(1)
    assert needs_cosign(world, her)
    assert not needs_cosign(world, her, purpose="health")
    (rule,) = guardians(world, her).rules
    assert (rule.agency, rule.agency_name) == ("haven", "The haven")
    assert list(rule.alone_purposes) == ["health"]


def test_the_strictest_word_of_all_agencies_holds(world: World, her: bytes) -> None:
    set_cosign(world, alone=("health", "legal"))
    register_with(world, "clinic", 1, "client-77", cosign=True, alone_purposes=["health"])
    assert not needs_cosign(world, her, purpose="health")
    assert needs_cosign(world, her, purpose="legal")
    # Who links her card with less lifts nothing.
    register_with(world, "legal", 1, "client-78")
    register_with(world, "clinic", 1, "client-77")
    assert needs_cosign(world, her, purpose="legal")


def test_filing_her_card_again_never_weakens_what_the_agency_said(world: World) -> None:
    register_with(world, "haven", 1, "her-at-haven", cosign=True, alone_purposes=["health"])
    register_with(world, "haven", 1, "her-at-haven")
    register_with(
        world, "haven", 1, "her-at-haven", cosign=True, alone_purposes=["health", "housing"]
    )
    her = world.sign_in(1)
    assert needs_cosign(world, her, purpose="housing")
    register_with(world, "haven", 1, "her-at-haven", cosign=True, alone_purposes=["legal"])
    assert needs_cosign(world, her, purpose="health")


def test_only_the_agency_that_said_it_takes_it_back(world: World, her: bytes) -> None:
    world.register("clinic", 1, "client-77")
    set_cosign(world)
    set_cosign(world, "clinic", "client-77", cosign=False)
    assert needs_cosign(world, her)
    set_cosign(world, cosign=False)
    assert not needs_cosign(world, her)
    assert not guardians(world, her).rules


def test_what_is_said_must_make_sense(world: World, her: bytes) -> None:
    for wrong in ({"cosign": False, "alone": ("legal",)}, {"alone": ("weather",)}):
        with refused(Reason.MALFORMED):
            set_cosign(world, **wrong)
    with refused(Reason.MALFORMED):
        register_with(world, "haven", 2, "another-one", alone_purposes=["legal"])
    with refused(Reason.NOT_FOUND):
        set_cosign(world, ref="nobody-here")
    with refused(Reason.NOT_FOUND):
        set_cosign(world, "clinic", "her-at-haven")


# --- what he signs -------------------------------------------------------------------------------


def test_her_grant_waits_for_the_signature(world: World, ward: bytes) -> None:
    grant = world.grant(ward).grant.grant
    end = world.clock.wall() + COSIGN_WITHIN_S
    assert COSIGN_WITHIN_S == 14 * DAY
    assert bodies(world, ward, grant)[0]["cosign_by"] == end
    parent = guardian_session(world, PARENT)
    (one,) = waiting(world, parent)
    assert one.grant == grant
    assert (one.terms.recipient_agency, one.terms.purpose) == ("legal", "housing")
    assert one.cosign_by.seconds == end
    cosign(world, parent, grant)
    assert waiting(world, parent) == []
    assert bodies(world, ward, grant)[-1] == {
        "kind": "CONFIRM",
        "grant": grant,
        "counter": 0,
        "by": "guardian",
        "at": world.clock.wall(),
    }
    assert not world.view(ward, grant).HasField("cosign_by")
    told = [event.audience for event in world.events() if event.type == CONFIRMED]
    assert told == ["agency/haven", "service/referral"]
    (line,) = confirmations(world, ward)
    assert line.guardian == guardians(world, ward).guardians[0].guardian
    assert line.guardian_at.seconds == world.clock.wall()


def test_unsigned_it_lapses_at_its_very_second(world: World, ward: bytes) -> None:
    grant = world.grant(ward).grant.grant
    world.clock.advance(COSIGN_WITHIN_S - 1)
    assert world.sweep() == 0
    world.clock.advance(1)
    parent = guardian_session(world, PARENT)
    assert waiting(world, parent) == []
    with refused(Reason.NOT_FOUND):
        cosign(world, parent, grant)
    assert world.sweep() == 1
    her = world.sign_in(1)
    assert world.view(her, grant).end_cause == "unconfirmed"
    assert world.key_rows(grant) == 0


def test_a_recorded_grant_of_a_ward_needs_both(world: World, ward: bytes) -> None:
    grant = record(world, ward)
    view = world.view(ward, grant)
    assert view.HasField("confirm_by")
    assert view.HasField("cosign_by")
    cosign(world, guardian_session(world, PARENT), grant)
    assert world.view(ward, grant).HasField("confirm_by")
    confirm(world, ward, grant, YES)
    view = world.view(ward, grant)
    assert not view.HasField("confirm_by")
    assert not view.HasField("cosign_by")
    kinds = [(b["kind"], b.get("by"), b.get("counter")) for b in bodies(world, ward, grant)[1:]]
    assert kinds == [("CONFIRM", "guardian", 0), ("CONFIRM", "self", 1)]


def test_a_signature_again_is_the_same_signature(world: World, ward: bytes) -> None:
    grant, request_id = world.grant(ward).grant.grant, world.request_id()
    parent = guardian_session(world, PARENT)
    cosign(world, parent, grant, request_id)
    cosign(world, parent, grant, request_id)
    with refused(Reason.NOT_FOUND):
        cosign(world, parent, grant)
    assert len(bodies(world, ward, grant)) == 2


def test_she_stops_and_he_neither_stops_nor_sees_it(world: World, ward: bytes) -> None:
    grant = world.grant(ward).grant.grant
    parent = guardian_session(world, PARENT)
    world.stop_grant(ward, grant)
    assert waiting(world, parent) == []
    with refused(Reason.NOT_FOUND):
        cosign(world, parent, grant)
    world.resume_grant(ward, grant)
    cosign(world, parent, grant)


def test_a_stop_by_others_does_not_use_up_his_time(world: World, ward: bytes) -> None:
    """It destroys nothing before its window is over: also not by keeping him from signing."""
    grant = world.grant(ward).grant.grant
    world.clock.advance(COSIGN_WITHIN_S - 60)
    stop_for_her(world, "legal", grant=grant)
    parent = guardian_session(world, PARENT)
    assert [one.grant for one in waiting(world, parent)] == [grant]
    cosign(world, parent, grant)
    assert waiting(world, parent) == []
    world.clock.advance(60)
    world.sweep()
    her = world.sign_in(1)
    assert world.view(her, grant).stopped_by == "worker", "his signature turned nothing on"
    assert world.key_rows(grant) > 0
    world.resume_grant(her, grant)


def test_what_somebody_stopped_is_over_for_him_when_its_window_is(
    world: World, ward: bytes
) -> None:
    grant = world.grant(ward).grant.grant
    stop_for_her(world, grant=grant)
    world.clock.advance(WEAK_WINDOW_S - 1)
    assert waiting(world, guardian_session(world, PARENT)) != []
    world.clock.advance(1)
    parent = guardian_session(world, PARENT)
    assert waiting(world, parent) == []
    with refused(Reason.NOT_FOUND):
        cosign(world, parent, grant)


# --- who he is -----------------------------------------------------------------------------------


def test_at_most_two_at_a_time_and_few_ever(world: World, ward: bytes) -> None:
    register_guardian(world, PARENT + 1)
    with refused(Reason.QUOTA_EXCEEDED):
        register_guardian(world, PARENT + 2)
    for number in range(2, GUARDIANS_EVER):
        exclude_guardian(world)
        register_guardian(world, PARENT + number)
    exclude_guardian(world)
    with refused(Reason.QUOTA_EXCEEDED):
        register_guardian(world, PARENT + GUARDIANS_EVER)


def test_the_same_filing_again_is_the_same_guardian(world: World, her: bytes) -> None:
    request_id = world.request_id()
    first = register_guardian(world, PARENT, request_id=request_id)
    assert register_guardian(world, PARENT, request_id=request_id) == first
    assert register_guardian(world, PARENT) == first
    with refused(Reason.SIGN_IN_FAILED):
        register_guardian(world, PARENT, pin=WRONG)
    assert len(guardians(world, her).guardians) == 1


def test_a_guardian_has_a_card_of_his_own(world: World, her: bytes) -> None:
    with refused(Reason.MALFORMED):
        register_guardian(world, 1)
    with refused(Reason.MALFORMED):
        world.consent("haven").RegisterGuardian(
            guardians_pb2.RegisterGuardianRequest(
                request_id=world.request_id(),
                subject_ref="her-at-haven",
                card_number=card(PARENT)[:-1] + str((int(card(PARENT)[-1]) + 1) % 10),
                pin=GUARDIAN_PIN,
            )
        )
    with refused(Reason.NOT_FOUND):
        register_guardian(world, PARENT, ref="nobody-here")
    assert not guardians(world, her).guardians


def test_a_wrong_card_a_wrong_pin_and_a_barred_one_take_the_same_work(
    world: World, ward: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = register_guardian(world, PARENT + 1)
    (barred,) = {found.guardian for found in guardians(world, ward).guardians} - {other}
    exclude_guardian(world, barred)
    checked: list[str] = []
    verify = PasswordHasher.verify

    def counted(self: PasswordHasher, hash: str, password: bytes) -> bool:
        checked.append(hash.rsplit("$", 2)[0])
        return verify(self, hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    details = set()
    for number, pin in ((PARENT, GUARDIAN_PIN), (PARENT + 1, WRONG), (PARENT + 9, GUARDIAN_PIN)):
        with refused(Reason.SIGN_IN_FAILED) as caught:
            guardian_session(world, number, pin)
        details.add((caught.value.detail, tuple(sorted(caught.value.metadata.items()))))
    assert len(details) == 1
    assert len(checked) == 3
    assert len(set(checked)) == 1


def test_his_tries_and_hers_are_counted_apart(world: World, ward: bytes) -> None:
    world.register("haven", PARENT, "parent-too")  # the same number, as a card of somebody's own
    for _ in range(TRIES):
        with refused(Reason.SIGN_IN_FAILED):
            guardian_session(world, PARENT, WRONG)
    with refused(Reason.THROTTLED):
        guardian_session(world, PARENT)
    assert world.sign_in(PARENT)


def test_her_card_is_no_guardians_and_his_is_not_hers(world: World, ward: bytes) -> None:
    with refused(Reason.SIGN_IN_FAILED):
        guardian_session(world, 1, PIN)
    with refused(Reason.SIGN_IN_FAILED):
        world.sign_in(PARENT, GUARDIAN_PIN)


def test_his_session_opens_nothing_of_hers_and_hers_nothing_of_his(
    world: World, ward: bytes
) -> None:
    grant = world.grant(ward).grant.grant
    parent = guardian_session(world, PARENT)
    of_hers: list[Callable[[], Any]] = [
        lambda: world.portal.ListGrants(pb.ListGrantsRequest(session=parent)),
        lambda: world.portal.ListLooks(pb.ListLooksRequest(session=parent)),
        lambda: world.receipt(parent, grant),
        lambda: world.grant(parent),
        lambda: world.stop_grant(parent, grant),
        lambda: world.resume_grant(parent, grant),
        lambda: confirm(world, parent, grant),
        lambda: confirmations(world, parent),
        lambda: guardians(world, parent),
    ]
    for call in of_hers:
        with refused(Reason.SESSION_INVALID):
            call()
    for session in (ward, bytes(32)):
        with refused(Reason.SESSION_INVALID):
            waiting(world, session)
        with refused(Reason.SESSION_INVALID):
            cosign(world, session, grant)


def test_his_session_ends_to_the_second_and_when_he_leaves(world: World, ward: bytes) -> None:
    first, other = (guardian_session(world, PARENT) for _ in range(2))
    world.portal.CloseGuardianSession(guardians_pb2.CloseGuardianSessionRequest(session=first))
    with refused(Reason.SESSION_INVALID):
        waiting(world, first)
    world.clock.advance(SESSION_S - 1)
    waiting(world, other)
    world.clock.advance(1)
    with refused(Reason.SESSION_INVALID):
        waiting(world, other)
    world.sweep()
    assert world.rows("SELECT count(*) FROM guardian_session") == [(0,)]


def test_neither_card_nor_pin_nor_session_is_in_the_database(world: World, ward: bytes) -> None:
    parent = guardian_session(world, PARENT)
    rows = repr(world.rows("SELECT * FROM guardian")) + repr(
        world.rows("SELECT * FROM guardian_session")
    )
    for secret in (card(PARENT), GUARDIAN_PIN, parent.hex(), repr(parent)):
        assert secret not in rows


# --- barred --------------------------------------------------------------------------------------


def test_she_bars_one_herself(world: World, ward: bytes) -> None:
    (one,) = guardians(world, ward).guardians
    parent = guardian_session(world, PARENT)
    request = guardians_pb2.DismissGuardianRequest(
        request_id=world.request_id(), session=ward, guardian=one.guardian
    )
    world.portal.DismissGuardian(request)
    world.portal.DismissGuardian(request)
    with refused(Reason.SESSION_INVALID):
        waiting(world, parent)
    (one,) = guardians(world, ward).guardians
    assert one.excluded_by == "self"
    with refused(Reason.NOT_FOUND):
        world.portal.DismissGuardian(
            guardians_pb2.DismissGuardianRequest(
                request_id=world.request_id(), session=ward, guardian="0" * 32
            )
        )


def test_who_barred_first_stays_written(world: World, ward: bytes) -> None:
    world.register("clinic", 1, "client-77")
    exclude_guardian(world)
    exclude_guardian(world, agency="clinic", ref="client-77")
    assert guardians(world, ward).guardians[0].excluded_by == "haven"

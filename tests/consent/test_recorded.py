"""What a worker took down for her: provisional, hers to answer, and over by itself in 14 days."""

from __future__ import annotations

from typing import Any

import pytest
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import recorded_pb2
from safehand.events.v1 import events_pb2
from safehand_consent_service.recorded import (
    CONFIRM_WITHIN_S,
    RECORD_AGE_MAX_S,
    RECORDS_OPEN,
    RECORDS_PER_DAY,
)
from safehand_core.reasons import Reason

from tests.consent.helpers import stop_for_her
from tests.consent.recording import (
    NO,
    NOT_SURE,
    OTHER,
    WORKER,
    YES,
    bodies,
    confirm,
    confirmations,
    file_record,
    file_second,
    invalidate,
    record,
    signed_record,
    signed_second,
)
from tests.consent.refusals import refused
from tests.consent.world import DAY, World

CONFIRMED = events_pb2.EVENT_TYPE_CONSENT_CONFIRMED
ENDED = events_pb2.EVENT_TYPE_CONSENT_ENDED


def told(world: World, kind: int) -> list[str]:
    return [event.audience for event in world.events() if event.type == kind]


# --- recording -----------------------------------------------------------------------------------


def test_it_is_her_grant_and_says_who_wrote_it_down(world: World, her: bytes) -> None:
    signed = signed_record(world, medium="interpreter")
    answer = file_record(world, signed)
    end = world.clock.wall() + CONFIRM_WITHIN_S
    assert CONFIRM_WITHIN_S == 14 * DAY
    assert answer.confirm_by.seconds == end
    body = world.opened(answer.receipt).body
    assert body["grant"] == answer.grant
    assert {key: body[key] for key in ("recorded_by", "recorder_ref", "medium", "record")} == {
        "recorded_by": "haven",
        "recorder_ref": WORKER,
        "medium": "interpreter",
        "record": signed.digest.hex(),
    }
    assert body["confirm_by"] == end
    view = world.view(her, answer.grant)
    assert (view.recorded_by, view.recorder_ref, view.medium) == ("haven", WORKER, "interpreter")
    assert view.confirm_by.seconds == end
    assert view.state == pb.GRANT_STATE_ACTIVE
    world.secrets[answer.grant] = world.receipt(her, answer.grant).secret


def test_her_list_says_who_how_when_and_what_is_asked(world: World, her: bytes) -> None:
    own = world.grant(her).grant.grant
    grant = record(world, her)
    (line,) = confirmations(world, her)
    assert line.grant.grant == grant != own
    assert (line.recorded_by, line.recorded_by_name) == ("haven", "The haven")
    assert (line.recorder_ref, line.medium) == (WORKER, "paper")
    assert line.at.seconds == world.clock.wall()
    assert line.asks_her
    assert not line.HasField("seen_at")


def test_her_list_has_pages(world: World, her: bytes) -> None:
    grants = [record(world, her) for _ in range(3)]
    found: list[str] = []
    request = recorded_pb2.ListConfirmationsRequest(session=her, page_size=2)
    while True:
        answer = world.portal.ListConfirmations(request)
        found += [line.grant.grant for line in answer.confirmations]
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert found == grants[::-1]


def test_the_same_record_again_is_the_same_grant_for_ever(world: World, her: bytes) -> None:
    signed = signed_record(world)
    first = file_record(world, signed)
    assert file_record(world, signed) == first
    world.clock.advance(30 * DAY)  # idempotency rows are forgotten, and the record is too old
    world.sweep()
    assert file_record(world, signed).grant == first.grant
    assert len(world.portal.ListGrants(pb.ListGrantsRequest(session=world.sign_in(1))).grants) == 1
    world.secrets[first.grant] = world.receipt(world.sign_in(1), first.grant).secret


def test_a_record_of_other_terms_under_the_same_request_is_refused(
    world: World, her: bytes
) -> None:
    request_id = world.request_id()
    file_record(world, signed_record(world, request_id=request_id))
    with refused(Reason.REQUEST_ID_REUSED):
        file_record(world, signed_record(world, request_id=request_id, categories=("EVENTS",)))


def test_an_unknown_reference_is_refused_as_everywhere(world: World, her: bytes) -> None:
    with refused(Reason.NOT_FOUND):
        file_record(world, signed_record(world, ref="nobody-here"))
    with refused(Reason.NOT_FOUND):  # another agency's reference for her
        file_record(world, signed_record(world, agency="clinic"), "clinic")


def test_a_record_is_filed_within_a_week(world: World, her: bytes) -> None:
    now = world.clock.wall()
    file_record(world, signed_record(world, at=now - RECORD_AGE_MAX_S))
    for at in (now - RECORD_AGE_MAX_S - 1, now + 301):
        with refused(Reason.MALFORMED):
            file_record(world, signed_record(world, at=at))


def test_nobody_floods_her_list(world: World, her: bytes) -> None:
    for _ in range(RECORDS_PER_DAY):
        record(world, her)
    with refused(Reason.QUOTA_EXCEEDED) as caught:
        file_record(world, signed_record(world))
    assert caught.value.retry_after_s == DAY
    world.clock.advance(DAY)
    her = world.sign_in(1)
    for _ in range(RECORDS_OPEN - RECORDS_PER_DAY):
        # What she answered counts too: the limit tells nothing about her.
        confirm(world, her, record(world, her), NO)
    world.clock.advance(DAY)
    with refused(Reason.QUOTA_EXCEEDED):
        file_record(world, signed_record(world))
    # Another person's are counted apart.
    world.register("haven", 2, "another-one")
    record(world, world.sign_in(2), ref="another-one")
    # What is filed again is not counted.
    world.clock.advance(CONFIRM_WITHIN_S - 2 * DAY)
    world.sweep()
    record(world, world.sign_in(1))


# --- another agency records ----------------------------------------------------------------------


def test_another_agency_that_knows_her_may_record_and_learns_nothing(
    world: World, her: bytes
) -> None:
    world.register("clinic", 1, "client-77")
    world.register("clinic", 2, "client-78")  # haven does not know her
    known = signed_record(world, agency="clinic", ref="client-77", request_id=world.request_id())
    unknown = signed_record(world, agency="clinic", ref="client-78", request_id=world.request_id())
    first = file_record(world, known, "clinic")
    second = file_record(world, unknown, "clinic")
    assert first == second
    assert not first.grant
    assert not first.HasField("receipt")
    # Again, once she said no: still the same.
    (line,) = confirmations(world, her)
    assert line.recorded_by == "clinic"
    world.secrets[line.grant.grant] = world.receipt(her, line.grant.grant).secret
    confirm(world, her, line.grant.grant, NO)
    assert file_record(world, known, "clinic") == file_record(world, unknown, "clinic") == first


def test_what_came_to_nothing_is_shown_to_her_too(world: World) -> None:
    world.register("clinic", 2, "client-78")
    signed = signed_record(world, agency="clinic", ref="client-78")
    file_record(world, signed, "clinic")
    (line,) = confirmations(world, world.sign_in(2))
    assert not line.HasField("grant")
    assert (line.recorded_by, line.recorder_ref) == ("clinic", WORKER)
    assert not line.asks_her
    assert world.rows("SELECT count(*) FROM consent_grant") == [(0,)]


# --- she answers ---------------------------------------------------------------------------------


def test_yes_makes_it_hers(world: World, her: bytes) -> None:
    grant = record(world, her)
    answer = confirm(world, her, grant, YES)
    body = world.opened(answer.confirm_receipt).body
    assert body == {
        "kind": "CONFIRM",
        "grant": grant,
        "counter": 0,
        "by": "self",
        "at": world.clock.wall(),
    }
    assert not answer.grant.HasField("confirm_by")
    assert told(world, CONFIRMED) == ["agency/haven", "service/referral"]
    world.clock.advance(CONFIRM_WITHIN_S)
    assert world.sweep() == 0
    her = world.sign_in(1)
    assert world.view(her, grant).state == pb.GRANT_STATE_ACTIVE
    (line,) = confirmations(world, her)
    assert not line.asks_her
    with refused(Reason.STATE_CONFLICT):
        confirm(world, her, grant, YES)


def test_yes_while_it_is_stopped_keeps_it_stopped(world: World, her: bytes) -> None:
    grant = record(world, her)
    world.stop_grant(her, grant)
    answer = confirm(world, her, grant, YES)
    assert answer.grant.state == pb.GRANT_STATE_STOPPED
    world.resume_grant(her, grant)
    assert world.view(her, grant).state == pb.GRANT_STATE_ACTIVE


@pytest.mark.parametrize("before", ["live", "stopped", "confirmed"])
def test_no_ends_it_at_once_and_for_good(world: World, her: bytes, before: str) -> None:
    grant = record(world, her)
    if before == "stopped":
        world.stop_grant(her, grant)
    if before == "confirmed":
        confirm(world, her, grant, YES)
    answer = confirm(world, her, grant, NO)
    assert answer.grant.state == pb.GRANT_STATE_REVOKED
    assert answer.grant.end_cause == "invalidated"
    assert world.key_rows(grant) == 0
    stop = world.opened(answer.stop_receipt).body
    revoke = world.opened(answer.revoke_receipt).body
    assert (stop["by"], stop["strength"], "why" in stop) == ("self", "strong", False)
    assert (revoke["cause"], revoke["stop_index"]) == ("invalidated", answer.stop_receipt.index)
    assert told(world, ENDED) == ["agency/haven", "service/referral"]
    with refused(Reason.CONSENT_ENDED):
        world.resume_grant(her, grant)
    with refused(Reason.CONSENT_ENDED):
        confirm(world, her, grant, YES)


def test_not_sure_changes_nothing_and_is_remembered(world: World, her: bytes) -> None:
    grant = record(world, her)
    before = bodies(world, her, grant)
    world.clock.advance(60)
    answer = confirm(world, her, grant, NOT_SURE)
    assert answer.grant.HasField("confirm_by")
    assert bodies(world, her, grant) == before
    (line,) = confirmations(world, her)
    assert line.seen_at.seconds == world.clock.wall()
    assert line.asks_her
    assert not told(world, CONFIRMED)


def test_her_answer_again_is_the_same_answer(world: World, her: bytes) -> None:
    for reply in (YES, NO, NOT_SURE):
        grant, request_id = record(world, her), world.request_id()
        first = confirm(world, her, grant, reply, request_id)
        again = confirm(world, her, grant, reply, request_id)
        assert again.grant == first.grant
        assert again.confirm_receipt.index == first.confirm_receipt.index
        assert again.stop_receipt.index == first.stop_receipt.index


@pytest.mark.parametrize(("first", "second"), [(YES, NO), (NOT_SURE, NO), (NO, YES)])
def test_one_request_id_is_one_answer(world: World, her: bytes, first: Any, second: Any) -> None:
    """What was sent twice was not meant twice: least of all a yes that becomes a no."""
    grant, request_id = record(world, her), world.request_id()
    confirm(world, her, grant, first, request_id)
    before = world.view(her, grant)
    with refused(Reason.REQUEST_ID_REUSED):
        confirm(world, her, grant, second, request_id)
    assert world.view(her, grant) == before
    assert not world.app.context.gates.is_up(grant) or first == NO


def test_no_is_never_too_late(world: World, her: bytes) -> None:
    """It is a stop: also after a yes, which stays in the ledger."""
    grant = record(world, her)
    confirm(world, her, grant, YES)
    answer = confirm(world, her, grant, NO)
    assert (answer.grant.end_cause, answer.grant.stopped_by) == ("invalidated", "self")
    assert world.key_rows(grant) == 0
    kinds = [one["kind"] for one in bodies(world, her, grant)]
    assert kinds == ["GRANT", "CONFIRM", "STOP", "REVOKE"]
    with refused(Reason.CONSENT_ENDED):
        confirm(world, her, grant, YES)


def test_what_she_gave_herself_is_not_to_be_confirmed(world: World, her: bytes) -> None:
    grant = world.grant(her).grant.grant
    for reply in (YES, NO, NOT_SURE):
        with refused(Reason.STATE_CONFLICT):
            confirm(world, her, grant, reply)
    with refused(Reason.NOT_FOUND):
        confirm(world, her, "0" * 32)
    assert world.view(her, grant).state == pb.GRANT_STATE_ACTIVE


# --- silence -------------------------------------------------------------------------------------


def test_it_lapses_at_its_very_second(world: World, her: bytes) -> None:
    grant = record(world, her)
    end = world.clock.wall() + CONFIRM_WITHIN_S
    world.clock.advance(CONFIRM_WITHIN_S - 1)
    assert world.sweep() == 0
    her = world.sign_in(1)
    assert world.view(her, grant).state == pb.GRANT_STATE_ACTIVE
    world.clock.advance(1)
    # Nothing was swept yet: refusal does not wait for it.
    assert world.view(her, grant).state == pb.GRANT_STATE_EXPIRED
    for reply in (YES, NOT_SURE, NO):
        with refused(Reason.CONSENT_ENDED):
            confirm(world, her, grant, reply)
    assert world.sweep() == 1
    assert world.key_rows(grant) == 0
    assert bodies(world, her, grant)[-1] == {
        "kind": "EXPIRE",
        "grant": grant,
        "expires_at": end,
        "cause": "unconfirmed",
        "at": end,
    }
    assert world.view(her, grant).end_cause == "unconfirmed"
    assert told(world, ENDED) == ["agency/haven", "service/referral"]


def test_a_second_person_does_not_keep_it_from_lapsing(world: World, her: bytes) -> None:
    signed = signed_record(world)
    grant = file_record(world, signed).grant
    world.secrets[grant] = world.receipt(her, grant).secret
    file_second(world, signed_second(world, signed.digest.hex()))
    world.clock.advance(CONFIRM_WITHIN_S)
    assert world.sweep() == 1
    assert world.view(world.sign_in(1), grant).end_cause == "unconfirmed"


def test_a_shorter_term_ends_it_as_ever(world: World, her: bytes) -> None:
    now = world.clock.wall()
    grant = record(world, her, expires_at=now + DAY, erase_by=now + 2 * DAY)
    world.clock.advance(DAY)
    assert world.sweep() == 1
    assert world.view(world.sign_in(1), grant).end_cause == "expired"


# --- a second person -----------------------------------------------------------------------------


def test_a_second_person_is_logged_and_shown(world: World, her: bytes) -> None:
    record_of = signed_record(world)
    grant = file_record(world, record_of).grant
    world.secrets[grant] = world.receipt(her, grant).secret
    signed = signed_second(world, record_of.digest.hex())
    answer = file_second(world, signed)
    assert world.opened(answer.receipt).body == {
        "kind": "CONFIRM",
        "grant": grant,
        "counter": 0,
        "by": "second",
        "agency": "haven",
        "worker_ref": OTHER,
        "record": signed.digest.hex(),
        "at": world.clock.wall(),
    }
    assert file_second(world, signed).receipt.index == answer.receipt.index
    view = world.view(her, grant)
    assert view.seconded
    assert view.HasField("confirm_by")
    (line,) = confirmations(world, her)
    assert (line.second_agency, line.second_ref) == ("haven", OTHER)
    assert line.asks_her
    with refused(Reason.ALREADY_EXISTS):
        file_second(world, signed_second(world, record_of.digest.hex(), worker="worker-three"))


def test_a_second_agency_is_answered_alike_whatever_came_of_it(world: World, her: bytes) -> None:
    world.register("clinic", 1, "client-77")
    live, ended = signed_record(world), signed_record(world)
    grants = [str(file_record(world, one).grant) for one in (live, ended)]
    for grant in grants:
        world.secrets[grant] = world.receipt(her, grant).secret
    confirm(world, her, grants[1], NO)
    answers: list[Any] = [
        file_second(
            world,
            signed_second(
                world, one.digest.hex(), agency="clinic", ref="client-77", worker="nurse-9"
            ),
            "clinic",
        )
        for one in (live, ended)
    ]
    assert answers[0] == answers[1] == recorded_pb2.SecondGrantResponse()
    assert world.view(her, grants[0]).seconded
    assert not world.view(her, grants[1]).seconded


def test_a_stale_second_does_not_tell_whether_somebody_stands_by_it(
    world: World, her: bytes
) -> None:
    world.register("clinic", 1, "client-77")
    said = []
    for seconded in (False, True):
        signed = signed_record(world)
        file_record(world, signed)
        digest = signed.digest.hex()
        if seconded:
            file_second(world, signed_second(world, digest))
        at = world.clock.wall() - RECORD_AGE_MAX_S - 1
        stale = signed_second(world, digest, agency="clinic", ref="client-77", at=at)
        with refused(Reason.MALFORMED):
            file_second(world, stale, "clinic")
        late = signed_second(world, digest, agency="clinic", ref="client-77")
        said.append(file_second(world, late, "clinic"))
    assert said[0] == said[1] == recorded_pb2.SecondGrantResponse()
    for grant in world.portal.ListGrants(pb.ListGrantsRequest(session=her)).grants:
        world.secrets[grant.grant] = world.receipt(her, grant.grant).secret


@pytest.mark.parametrize("agency", ["haven", "clinic"])
def test_one_request_id_is_one_second_whatever_came_of_it(
    world: World, her: bytes, agency: str
) -> None:
    world.register("clinic", 1, "her-at-clinic")
    records = [signed_record(world) for _ in range(3)]
    grants = [str(file_record(world, one).grant) for one in records]
    for grant in grants:
        world.secrets[grant] = world.receipt(her, grant).secret
    if agency == "clinic":  # its first comes to nothing, which it is not told
        confirm(world, her, grants[0], NO)
    request_id = world.request_id()
    seconds = [
        signed_second(
            world, one.digest.hex(), agency=agency, ref=f"her-at-{agency}", request_id=request_id
        )
        for one in records
    ]
    first = file_second(world, seconds[0], agency)
    assert file_second(world, seconds[0], agency) == first
    for other in seconds[1:]:
        with refused(Reason.REQUEST_ID_REUSED):
            file_second(world, other, agency)


def test_a_second_of_what_is_over_or_confirmed_is_of_no_use(world: World, her: bytes) -> None:
    first, other = signed_record(world), signed_record(world)
    grants = [str(file_record(world, one).grant) for one in (first, other)]
    for grant in grants:
        world.secrets[grant] = world.receipt(her, grant).secret
    confirm(world, her, grants[0], YES)
    with refused(Reason.ALREADY_EXISTS):
        file_second(world, signed_second(world, first.digest.hex()))
    world.clock.advance(CONFIRM_WITHIN_S)
    with refused(Reason.CONSENT_ENDED):
        file_second(world, signed_second(world, other.digest.hex()))


def test_her_session_is_needed(world: World, her: bytes) -> None:
    no_session = bytes(32)
    with refused(Reason.SESSION_INVALID):
        confirm(world, no_session, "0" * 32)
    with refused(Reason.SESSION_INVALID):
        confirmations(world, no_session)


# --- stops by others -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["no", "invalidate"])
def test_her_own_word_is_final_over_a_workers_stop(world: World, her: bytes, way: str) -> None:
    """A weak stop destroys nothing before its window; hers takes its place and does."""
    grant = record(world, her)
    stop_for_her(world, subject_ref="her-at-haven")
    assert world.view(her, grant).stopped_by == "worker"
    world.clock.advance(60)
    answer = confirm(world, her, grant, NO) if way == "no" else invalidate(world, her, grant)
    assert (answer.grant.end_cause, answer.grant.stopped_by) == ("invalidated", "self")
    assert world.key_rows(grant) == 0
    kinds = [(b["kind"], b.get("strength")) for b in bodies(world, her, grant)[1:]]
    assert kinds == [("STOP", "weak"), ("STOP", "strong"), ("REVOKE", None)]
    assert told(world, ENDED) == ["agency/haven", "service/referral"]

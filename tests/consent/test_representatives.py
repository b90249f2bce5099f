"""Somebody she trusts holds a code that stops for her, and does nothing else."""

from __future__ import annotations

import pytest
from safehand.consent.v1 import consent_pb2 as pb
from safehand_consent_service.cards import luhn_valid
from safehand_consent_service.weak_stops import WINDOW_S
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind

from tests.consent.helpers import (
    WORKER,
    add,
    held,
    leaf_kinds,
    notes,
    remove,
    state,
    stop_as_representative,
    stop_for_her,
)
from tests.consent.refusals import refused
from tests.consent.world import World


@pytest.fixture
def grants(world: World, her: bytes) -> list[str]:
    """Two live grants of hers, the second with another releasing agency."""
    world.register("clinic", 1, "her-at-clinic")
    world.register_protocol("clinic", "legal")
    first = world.grant(her).grant.grant
    second = world.grant(her, releasing_agency="clinic").grant.grant
    return [str(first), str(second)]


def test_a_code_stops_every_grant_of_hers_for_three_days(
    world: World, her: bytes, grants: list[str]
) -> None:
    code = add(world, her).representative_code
    answer = stop_as_representative(world, code)
    now = world.clock.wall()
    assert answer.recorded_at.seconds == now
    for grant in grants:
        assert state(world, grant) == ("stopped", "representative", now + WINDOW_S)
        body = world.opened(world.receipt(her, grant).receipts[-1]).body
        assert (body["by"], body["strength"]) == ("representative", "weak")
        assert "agency" not in body


def test_a_worker_who_is_read_the_code_stops_as_the_representative(
    world: World, her: bytes, grants: list[str]
) -> None:
    """The agency is an end of neither grant that it stops: the code is hers."""
    world.register_protocol("haven", "clinic")
    code = add(world, her, "family").representative_code
    stop_for_her(world, "clinic", representative_code=code)
    for grant in grants:
        body = world.opened(world.receipt(her, grant).receipts[-1]).body
        assert (body["by"], body["agency"], body["worker_ref"]) == (
            "representative",
            "clinic",
            WORKER,
        )
    (note,) = notes(world, her)
    assert (note.by, note.relation, note.agency) == ("representative", "family", "clinic")


def test_she_resumes_what_a_representative_stopped(
    world: World, her: bytes, grants: list[str]
) -> None:
    stop_as_representative(world, add(world, her).representative_code)
    for grant in grants:
        world.resume_grant(her, grant)
        assert state(world, grant)[0] == "active"


def test_a_code_has_twelve_digits_with_a_check_digit_and_no_two_are_alike(
    world: World, her: bytes
) -> None:
    codes = [add(world, her).representative_code for _ in range(5)]
    assert all(len(code) == 12 and code.isdecimal() and luhn_valid(code) for code in codes)
    assert len(set(codes)) == 5


def test_a_code_is_stored_nowhere(world: World, her: bytes) -> None:
    code = add(world, her).representative_code
    files = [path.read_bytes() for path in world.root.rglob("*") if path.is_file()]
    for data in [*files, *world.store.raw()]:
        assert code.encode() not in data


def test_a_repeat_gets_the_same_code_and_makes_no_second(world: World, her: bytes) -> None:
    request_id = world.request_id()
    first = add(world, her, request_id=request_id)
    assert add(world, her, request_id=request_id) == first
    assert len(held(world, her)) == 1
    with refused(Reason.REQUEST_ID_REUSED):
        add(world, her, "lawyer", request_id=request_id)


def test_she_names_five_and_no_more_until_she_removes_one(world: World, her: bytes) -> None:
    made = [add(world, her) for _ in range(5)]
    with refused(Reason.QUOTA_EXCEEDED):
        add(world, her)
    remove(world, her, made[2].representative.representative)
    world.clock.advance(1)
    add(world, her, "advocate")
    assert [one.relation for one in held(world, her)] == ["friend"] * 4 + ["advocate"]


def test_a_removed_representative_stops_nothing_and_hears_the_same(
    world: World, her: bytes, grants: list[str]
) -> None:
    made = add(world, her)
    right = stop_as_representative(world, made.representative_code)
    for grant in grants:
        world.resume_grant(her, grant)
    request_id = world.request_id()
    remove(world, her, made.representative.representative, request_id)
    remove(world, her, made.representative.representative, request_id)
    assert held(world, her) == []
    assert stop_as_representative(world, made.representative_code) == right
    stop_for_her(world, representative_code=made.representative_code)
    for grant in grants:
        assert state(world, grant)[0] == "active"
        assert leaf_kinds(world, grant) == [Kind.GRANT, Kind.STOP, Kind.RESUME]


def test_nobody_removes_or_sees_somebody_elses(world: World, her: bytes) -> None:
    made = add(world, her)
    world.register("haven", 2, "another-one")
    other = world.sign_in(2)
    assert held(world, other) == []
    for name in (made.representative.representative, "0" * 32):
        with refused(Reason.NOT_FOUND):
            remove(world, other, name)
    assert len(held(world, her)) == 1


def test_all_of_it_needs_her_session(world: World) -> None:
    for act in (add, held, lambda w, s: remove(w, s, "0" * 32)):
        with refused(Reason.SESSION_INVALID):
            act(world, bytes(32))


def test_a_code_does_nothing_but_stop(world: World, her: bytes, grants: list[str]) -> None:
    """It is no card: it signs nobody in."""
    code = add(world, her).representative_code
    with refused(Reason.SIGN_IN_FAILED):
        world.portal.OpenSession(pb.OpenSessionRequest(card_number=code, pin="246810"))
    stop_for_her(world, "legal", card_number=code)
    assert [state(world, grant)[0] for grant in grants] == ["active", "active"]

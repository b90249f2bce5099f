"""A worker stops for her: at once, undone for three days, and nothing is said."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from safehand.consent.v1 import consent_pb2 as pb
from safehand_consent_service import stop_quotas
from safehand_consent_service.stop_quotas import WISHES
from safehand_consent_service.stops import WINDOW_S as HER_WINDOW_S
from safehand_consent_service.weak_stops import WINDOW_S
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind

from tests.consent.helpers import (
    WORKER,
    add,
    leaf_kinds,
    notes,
    resume_for_her,
    set_word,
    state,
    stop_as_representative,
    stop_for_her,
)
from tests.consent.refusals import refused
from tests.consent.world import DAY, World, card

ABSENT = "0" * 32
NOBODY = "nobody-at-all"


@pytest.fixture
def grant(world: World, her: bytes) -> str:
    """A live grant of hers, haven to legal."""
    return str(world.grant(her).grant.grant)


def last(world: World, session: bytes, grant: str) -> dict[str, object]:
    """The body of the newest leaf of her receipt."""
    return dict(world.opened(world.receipt(session, grant).receipts[-1]).body)


@pytest.mark.parametrize("whom", ["subject_ref", "card_number", "grant"])
@pytest.mark.parametrize("agency", ["haven", "legal"])
def test_a_worker_of_either_end_stops_it_however_she_is_named(
    world: World, her: bytes, grant: str, whom: str, agency: str
) -> None:
    if agency == "legal":
        world.register("legal", 1, "her-at-legal")
    value = {"subject_ref": f"her-at-{agency}", "card_number": card(1), "grant": grant}[whom]
    world.clock.advance(10)
    answer = stop_for_her(world, agency, channel="in_person", **{whom: value})
    now = world.clock.wall()
    assert answer.recorded_at.seconds == now
    assert last(world, her, grant) == {
        "kind": "STOP",
        "grant": grant,
        "counter": 0,
        "by": "worker",
        "strength": "weak",
        "agency": agency,
        "worker_ref": WORKER,
        "channel": "in_person",
        "at": now,
        "final_at": now + 72 * 3600,
    }
    view = world.view(her, grant)
    assert view.state == pb.GRANT_STATE_STOPPED
    assert view.stopped_by == "worker"
    assert view.final_at.seconds == now + WINDOW_S
    assert world.app.context.gates.is_up(grant)


def test_it_is_answered_after_its_head_is_in_the_anchor(
    world: World, her: bytes, grant: str
) -> None:
    stop_for_her(world, grant=grant)
    size = world.anchored()
    assert size == world.rows("SELECT count(*) FROM ledger_leaf")[0][0]


def test_it_stops_every_grant_that_the_agency_is_an_end_of_and_no_other(
    world: World, her: bytes
) -> None:
    world.register("clinic", 1, "her-at-clinic")
    world.register_protocol("haven", "clinic")
    world.register_protocol("clinic", "legal")
    ends = [("haven", "legal"), ("haven", "clinic"), ("clinic", "legal"), ("haven", "legal")]
    made = [
        str(world.grant(her, releasing_agency=a, recipient_agency=b).grant.grant) for a, b in ends
    ]
    stop_for_her(world, "legal", card_number=card(1))
    assert [state(world, one)[0] for one in made] == ["stopped", "active", "stopped", "stopped"]
    (note,) = notes(world, her)
    assert sorted(one.grant for one in note.grants) == sorted([made[0], made[2], made[3]])


def test_one_named_grant_leaves_the_others_on(world: World, her: bytes, grant: str) -> None:
    other = str(world.grant(her).grant.grant)
    stop_for_her(world, grant=other)
    assert state(world, grant)[0] == "active"
    assert state(world, other)[0] == "stopped"


def test_the_end_is_told_as_any_other_is(world: World, her: bytes, grant: str) -> None:
    seen = world.events()[-1].sequence
    stop_for_her(world, grant=grant)
    mine = [(e.type, e.audience, e.resource) for e in world.events(after=seen)]
    seen = world.events()[-1].sequence
    other = str(world.grant(her).grant.grant)
    world.stop_grant(her, other)
    hers = [(e.type, e.audience, e.resource) for e in world.events(after=seen)[2:]]
    assert [(t, a) for t, a, _ in mine] == [(t, a) for t, a, _ in hers]
    assert {r for _, _, r in mine} == {f"grants/{grant}"}


def test_a_second_wish_writes_no_leaf_and_moves_no_deadline(
    world: World, her: bytes, grant: str
) -> None:
    stop_for_her(world, grant=grant)
    before = state(world, grant)
    world.clock.advance(1000)
    stop_for_her(world, "legal", grant=grant, why="coercion")
    assert state(world, grant) == before
    assert leaf_kinds(world, grant) == [Kind.GRANT, Kind.STOP]


def test_it_never_moves_a_deadline_that_she_set(world: World, her: bytes, grant: str) -> None:
    world.stop_grant(her, grant)
    before = state(world, grant)
    world.clock.advance(60)
    stop_for_her(world, grant=grant)
    assert state(world, grant) == before
    assert leaf_kinds(world, grant) == [Kind.GRANT, Kind.STOP]


def test_her_own_stop_takes_its_place_with_her_own_window(
    world: World, her: bytes, grant: str
) -> None:
    stop_for_her(world, grant=grant)
    world.clock.advance(100)
    seen = world.events()[-1].sequence
    answer = world.stop_grant(her, grant)
    assert world.opened(answer.stop_receipt).body["strength"] == "strong"
    assert state(world, grant) == ("stopped", "self", world.clock.wall() + HER_WINDOW_S)
    assert world.events(after=seen) == [], "everybody heard of the end before"
    world.clock.advance(HER_WINDOW_S)
    assert world.sweep() == 1
    assert last(world, world.sign_in(1), grant)["cause"] == "window"


def test_destroy_now_on_it_is_her_own_stop_and_then_the_end(
    world: World, her: bytes, grant: str
) -> None:
    stop_for_her(world, grant=grant)
    answer = world.stop_grant(her, grant, destroy_now=True)
    stop, revoke = world.opened(answer.stop_receipt), world.opened(answer.revoke_receipt)
    assert (stop.body["by"], revoke.body["cause"]) == ("self", "destroy_now")
    assert revoke.body["stop_index"] == stop.index
    assert world.key_rows(grant) == 0


def test_destroy_now_after_its_window_ends_it_by_the_window(
    world: World, her: bytes, grant: str
) -> None:
    stop_for_her(world, grant=grant)
    world.clock.advance(WINDOW_S)
    answer = world.stop_grant(world.sign_in(1), grant, destroy_now=True)
    assert world.opened(answer.revoke_receipt).body["cause"] == "window"
    assert world.key_rows(grant) == 0


def test_nothing_is_destroyed_before_its_window_ends(world: World, her: bytes, grant: str) -> None:
    """Stopped, not destroyed: the promise's two grades, looked up in the database."""
    keys = world.rows("SELECT category, epoch, wrapped FROM category_key ORDER BY category")
    assert len(keys) == 3
    stop_for_her(world, grant=grant, why="coercion")
    for _ in range(71):
        world.clock.advance(3600)
        stop_for_her(world, grant=grant, channel="message") if world.clock.wall() % 9 == 0 else None
        assert world.sweep() == 0
    world.clock.advance(3599)
    assert world.sweep() == 0
    found = world.rows("SELECT category, epoch, wrapped FROM category_key ORDER BY category")
    assert [(row[0]) for row in found] == [row[0] for row in keys]
    assert state(world, grant)[0] == "stopped"
    world.clock.advance(1)
    assert world.sweep() == 1
    assert world.key_rows(grant) == 0
    assert state(world, grant)[0] == "revoked"


@pytest.mark.parametrize(("why", "cause"), [("", "window"), ("coercion", "invalidated")])
def test_what_it_ends_as_says_whether_she_was_made_to_agree(
    world: World, her: bytes, grant: str, why: str, cause: str
) -> None:
    stop_for_her(world, grant=grant, why=why)
    assert ("why" in last(world, her, grant)) == bool(why)
    world.clock.advance(WINDOW_S)
    assert world.sweep() == 1
    session = world.sign_in(1)
    assert last(world, session, grant)["cause"] == cause
    assert world.view(session, grant).end_cause == cause


def test_she_undoes_it_to_the_last_second(world: World, her: bytes, grant: str) -> None:
    stop_for_her(world, grant=grant)
    world.clock.advance(WINDOW_S - 1)
    answer = world.resume_grant(world.sign_in(1), grant)
    assert answer.grant.state == pb.GRANT_STATE_ACTIVE
    assert world.key_rows(grant) == 3
    assert not world.app.context.gates.is_up(grant)


def test_at_the_end_of_its_window_nobody_undoes_it(world: World, her: bytes, grant: str) -> None:
    set_word(world, her)
    stop_for_her(world, grant=grant)
    world.clock.advance(WINDOW_S)
    with refused(Reason.WINDOW_CLOSED):
        world.resume_grant(world.sign_in(1), grant)
    with refused(Reason.RESUME_REFUSED):
        resume_for_her(world, grant)


def test_a_repeat_is_the_same_and_does_not_undo_her_resume(
    world: World, her: bytes, grant: str
) -> None:
    request_id = world.request_id()
    first = stop_for_her(world, grant=grant, request_id=request_id)
    world.resume_grant(her, grant)
    world.clock.advance(10)
    assert stop_for_her(world, grant=grant, request_id=request_id) == first
    assert state(world, grant)[0] == "active"
    assert not world.app.context.gates.is_up(grant)
    with refused(Reason.REQUEST_ID_REUSED):
        stop_for_her(world, grant=ABSENT, request_id=request_id)


@pytest.mark.parametrize("other", [False, True])
def test_a_repeat_holds_no_release_up(
    world: World, her: bytes, grant: str, monkeypatch: pytest.MonkeyPatch, other: bool
) -> None:
    """It is counted nowhere: repeated without end it would be a stop that nobody is shown."""
    request_id = world.request_id()
    stop_for_her(world, grant=grant, request_id=request_id)
    world.resume_grant(her, grant)
    gates = world.app.context.gates
    raised: list[str] = []
    raise_all = gates.raise_all

    def seen(grants: Iterable[str], *given: Any) -> Any:
        held = list(grants)
        raised.extend(held)
        return raise_all(held, *given)

    monkeypatch.setattr(gates, "raise_all", seen)
    if other:
        with refused(Reason.REQUEST_ID_REUSED):
            stop_for_her(world, grant=grant, request_id=request_id, worker_ref="worker-32")
    else:
        stop_for_her(world, grant=grant, request_id=request_id)
    assert raised == []
    stop_for_her(world, grant=grant)
    assert raised == [grant]


def test_a_wish_at_the_end_of_the_day_stops_what_it_says_it_stops(
    world: World, her: bytes, grant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many when it came, and not any more when it is written."""
    number = {"card_number": card(1)}
    began = world.clock.wall()
    for _ in range(WISHES):
        stop_for_her(world, **number)
        world.resume_grant(her, grant)
        world.clock.advance(10)
    world.clock.advance(began + DAY - 1 - world.clock.wall())
    other = str(world.grant(world.sign_in(1)).grant.grant)
    over = stop_quotas.over

    def slow(*given: Any) -> int | None:
        monkeypatch.undo()
        wait = over(*given)
        world.clock.advance(1)
        return wait

    monkeypatch.setattr(stop_quotas, "over", slow)
    stop_for_her(world, **number)
    assert state(world, grant)[0] == "stopped"
    assert state(world, other)[0] == "stopped"


def test_a_repeat_of_the_last_one_of_the_day_is_answered_as_the_first_was(
    world: World, her: bytes, grant: str
) -> None:
    """Its answer was lost; it counts once, and is no fourth wish."""
    for _ in range(WISHES):
        request_id = world.request_id()
        first = stop_for_her(world, grant=grant, request_id=request_id)
        world.resume_grant(her, grant)
    world.clock.advance(10)
    assert stop_for_her(world, grant=grant, request_id=request_id) == first
    assert state(world, grant)[0] == "active"
    with refused(Reason.QUOTA_EXCEEDED):
        stop_for_her(world, grant=grant)


def test_it_survives_a_restart(world: World, her: bytes, grant: str) -> None:
    stop_for_her(world, grant=grant)
    before = state(world, grant)
    world.restart()
    assert state(world, grant) == before
    world.resume_grant(her, grant)
    assert world.view(her, grant).state == pb.GRANT_STATE_ACTIVE


def test_stops_for_her_go_on_while_the_clock_is_suspect(
    world: World, her: bytes, grant: str
) -> None:
    world.clock.jump_wall(3 * DAY)
    assert world.app.context.writer.clock_suspect
    stop_for_her(world, grant=grant)
    assert state(world, grant)[0] == "stopped"


def test_one_that_could_not_be_anchored_is_in_force_and_a_repeat_finds_it(
    world: World, her: bytes, grant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchor = type(world.app.context.writer._anchor)

    def fails(*_: object) -> None:
        raise OSError("no space")

    request_id = world.request_id()
    with monkeypatch.context() as patch:
        patch.setattr(anchor, "write", fails)
        with refused(Reason.UNAVAILABLE):
            stop_for_her(world, grant=grant, request_id=request_id)
        assert world.app.context.gates.is_up(grant)
    stop_for_her(world, grant=grant, request_id=request_id)
    assert state(world, grant)[0] == "stopped"
    assert leaf_kinds(world, grant) == [Kind.GRANT, Kind.STOP]


def test_one_that_failed_cleanly_lowers_every_flag(
    world: World, her: bytes, grant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = str(world.grant(her).grant.grant)

    def fails(*_: object, **__: object) -> None:
        raise SafehandError(Reason.UNAVAILABLE)

    with monkeypatch.context() as patch:
        patch.setattr(type(world.app.context.writer), "submit", fails)
        with refused(Reason.UNAVAILABLE):
            stop_for_her(world, subject_ref="her-at-haven")
    for one in (grant, other):
        assert not world.app.context.gates.is_up(one)
        assert state(world, one)[0] == "active"


# --- what is malformed, or nobody's ----------------------------------------------------------


def test_it_must_name_somebody_and_a_card_has_its_check_digit(world: World) -> None:
    with refused(Reason.MALFORMED):
        stop_for_her(world)
    wrong = card(1)[:-1] + str((int(card(1)[-1]) + 1) % 10)
    with refused(Reason.MALFORMED):
        stop_for_her(world, card_number=wrong)
    with refused(Reason.MALFORMED):
        stop_for_her(world, representative_code=wrong)
    assert world.rows("SELECT count(*) FROM stop_note") == [(0,)]


def test_an_agency_that_nobody_enrolled_stops_nothing(world: World, her: bytes, grant: str) -> None:
    with refused(Reason.AGENCY_UNKNOWN):
        stop_for_her(world, "stranger", grant=grant)
    assert state(world, grant)[0] == "active"


# --- shown to her ----------------------------------------------------------------------------


def test_she_sees_each_stop_resume_and_wish_with_who_and_when(
    world: World, her: bytes, grant: str
) -> None:
    start = world.clock.wall()
    stop_for_her(world, "legal", grant=grant, worker_ref="desk-7", why="coercion")
    world.clock.advance(1)
    stop_for_her(world, subject_ref="her-at-haven", channel="message")
    world.clock.advance(1)
    world.stop_grant(her, grant)
    world.clock.advance(1)
    world.resume_grant(her, grant)
    world.clock.advance(1)
    code = add(world, her, "lawyer")
    stop_as_representative(world, code.representative_code)
    found = notes(world, her)
    assert [(n.at.seconds - start, n.action, n.by) for n in found] == [
        (4, "stop", "representative"),
        (3, "resume", "self"),
        (2, "stop", "self"),
        (1, "stop", "worker"),
        (0, "stop", "worker"),
    ]
    by_code, _, hers, changed_nothing, first = found
    assert (by_code.relation, by_code.agency) == ("lawyer", "")
    assert by_code.representative == code.representative.representative
    assert (first.agency, first.agency_name) == ("legal", "The legal")
    assert (first.worker_ref, first.channel, first.why) == ("desk-7", "phone", "coercion")
    assert (changed_nothing.agency, changed_nothing.channel) == ("haven", "message")
    assert [one.ledger_index for one in changed_nothing.grants] == [-1]
    stops = [n.grants[0].ledger_index for n in (first, hers, by_code)]
    receipt = world.receipt(her, grant).receipts
    assert stops == [one.index for one in receipt if world.opened(one).kind is Kind.STOP]
    assert all(one.grant == grant for n in found for one in n.grants)


def test_her_list_comes_in_pages_and_is_hers_alone(world: World, her: bytes, grant: str) -> None:
    for _ in range(4):
        world.stop_grant(her, grant)
        world.resume_grant(her, grant)
    assert notes(world, her, page_size=3) == notes(world, her)
    assert len(notes(world, her)) == 8
    world.register("haven", 2, "another-one")
    assert notes(world, world.sign_in(2)) == []
    with refused(Reason.SESSION_INVALID):
        notes(world, bytes(32))


def test_every_stop_and_resume_leaf_has_one_row_in_her_notes(
    world: World, her: bytes, grant: str
) -> None:
    set_word(world, her)
    stop_for_her(world, grant=grant)
    resume_for_her(world, grant)
    stop_for_her(world, "legal", grant=grant)
    world.stop_grant(her, grant)
    world.resume_grant(her, grant)
    leaves = world.rows(
        "SELECT leaf_index FROM grant_leaf WHERE kind IN (?, ?) ORDER BY leaf_index",
        int(Kind.STOP),
        int(Kind.RESUME),
    )
    noted = world.rows(
        "SELECT leaf_index FROM stop_note_grant WHERE leaf_index IS NOT NULL ORDER BY leaf_index"
    )
    assert noted == leaves

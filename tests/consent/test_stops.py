"""Her stop: at once, undoable for a day to the second, final for ever."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from safehand.consent.v1 import consent_pb2 as pb
from safehand.events.v1 import events_pb2
from safehand_consent_service.stops import WINDOW_S
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind

from tests.consent.refusals import refused
from tests.consent.world import DAY, World

ENDED = events_pb2.EVENT_TYPE_CONSENT_ENDED
RESUMED = events_pb2.EVENT_TYPE_CONSENT_RESUMED
EVERYONE = ["agency/haven", "service/referral"]
"""Nothing was ever sent: the recipient knows of no grant (``release/test_who_hears``)."""


@pytest.fixture
def grant(world: World, her: bytes) -> str:
    """A live grant of hers."""
    return str(world.grant(her).grant.grant)


def after_granting(world: World) -> list[tuple[Any, str]]:
    return [(e.type, e.audience) for e in world.events(after=2)]


def test_a_stop_is_a_leaf_with_a_window_of_a_day(world: World, her: bytes, grant: str) -> None:
    world.clock.advance(10)
    answer = world.stop_grant(her, grant)
    opening = world.opened(answer.stop_receipt)
    now = world.clock.wall()
    assert opening.kind is Kind.STOP
    assert opening.body == {
        "kind": "STOP",
        "grant": grant,
        "counter": 0,
        "by": "self",
        "strength": "strong",
        "at": now,
        "final_at": now + DAY,
    }
    assert not answer.HasField("revoke_receipt")
    assert answer.grant.state == pb.GRANT_STATE_STOPPED
    assert answer.grant.stopped_at.seconds == now
    assert answer.grant.final_at.seconds == now + WINDOW_S
    assert world.key_rows(grant) == 3


def test_a_stop_is_answered_after_its_head_is_in_the_anchor(
    world: World, her: bytes, grant: str
) -> None:
    answer = world.stop_grant(her, grant)
    size = world.anchored()
    assert size > answer.stop_receipt.index


def test_a_second_stop_answers_the_first_leaf_and_moves_no_deadline(
    world: World, her: bytes, grant: str
) -> None:
    first = world.stop_grant(her, grant)
    world.clock.advance(100)
    again = world.stop_grant(her, grant)
    assert again.stop_receipt.index == first.stop_receipt.index
    assert again.grant.final_at == first.grant.final_at
    assert after_granting(world) == [(ENDED, who) for who in EVERYONE]


def test_a_repeated_stop_is_the_same_and_another_body_is_refused(
    world: World, her: bytes, grant: str
) -> None:
    request_id = world.request_id()
    first = world.stop_grant(her, grant, request_id=request_id)
    again = world.stop_grant(her, grant, request_id=request_id)
    assert again.stop_receipt.leaf == first.stop_receipt.leaf
    with refused(Reason.REQUEST_ID_REUSED):
        world.stop_grant(her, grant, destroy_now=True, request_id=request_id)
    assert world.view(her, grant).state == pb.GRANT_STATE_STOPPED


def test_an_old_stop_that_arrives_again_does_not_undo_her_resume(
    world: World, her: bytes, grant: str
) -> None:
    request_id = world.request_id()
    first = world.stop_grant(her, grant, request_id=request_id)
    world.resume_grant(her, grant)
    again = world.stop_grant(her, grant, request_id=request_id)
    assert again.stop_receipt.index == first.stop_receipt.index
    assert again.grant.state == pb.GRANT_STATE_ACTIVE
    assert not world.app.context.gates.is_up(grant)


def test_an_old_stop_that_arrives_again_after_a_restart_leaves_the_gate_open(
    world: World, her: bytes, grant: str
) -> None:
    request_id = world.request_id()
    world.stop_grant(her, grant, request_id=request_id)
    world.resume_grant(her, grant)
    world.restart()
    assert world.stop_grant(her, grant, request_id=request_id).grant.state == (
        pb.GRANT_STATE_ACTIVE
    )
    assert not world.app.context.gates.is_up(grant)


def test_destroy_now_stops_and_revokes_in_one_step(world: World, her: bytes, grant: str) -> None:
    answer = world.stop_grant(her, grant, destroy_now=True)
    stop, revoke = world.opened(answer.stop_receipt), world.opened(answer.revoke_receipt)
    assert stop.body["final_at"] == stop.body["at"], "an entry promises no window that there is not"
    assert revoke.index == stop.index + 1
    assert revoke.body == {
        "kind": "REVOKE",
        "grant": grant,
        "cause": "destroy_now",
        "stop_index": stop.index,
        "at": world.clock.wall(),
    }
    assert answer.grant.state == pb.GRANT_STATE_REVOKED
    assert not answer.grant.HasField("final_at")
    assert world.key_rows(grant) == 0
    assert after_granting(world) == [(ENDED, who) for who in EVERYONE]


def test_destroy_now_works_on_a_stopped_grant(world: World, her: bytes, grant: str) -> None:
    first = world.stop_grant(her, grant)
    answer = world.stop_grant(her, grant, destroy_now=True)
    assert answer.stop_receipt.index == first.stop_receipt.index
    assert world.opened(answer.revoke_receipt).body["cause"] == "destroy_now"
    assert world.key_rows(grant) == 0
    # Everyone heard of the end at the stop; REVOKE tells nobody anything new.
    assert after_granting(world) == [(ENDED, who) for who in EVERYONE]


def test_a_stop_of_a_revoked_grant_answers_what_ended_it(
    world: World, her: bytes, grant: str
) -> None:
    first = world.stop_grant(her, grant, destroy_now=True)
    again = world.stop_grant(her, grant)
    assert again.stop_receipt.index == first.stop_receipt.index
    assert again.revoke_receipt.index == first.revoke_receipt.index
    assert again.grant.state == pb.GRANT_STATE_REVOKED


def test_a_stop_can_be_undone_up_to_the_last_second(world: World, her: bytes, grant: str) -> None:
    world.stop_grant(her, grant)
    world.clock.advance(WINDOW_S - 1)
    answer = world.resume_grant(world.sign_in(1), grant)
    opening = world.opened(answer.receipt)
    assert opening.kind is Kind.RESUME
    assert opening.body == {
        "kind": "RESUME",
        "grant": grant,
        "counter": 0,
        "by": "self",
        "at": world.clock.wall(),
    }
    assert answer.grant.state == pb.GRANT_STATE_ACTIVE
    assert not answer.grant.HasField("stopped_at")
    assert world.key_rows(grant) == 3
    assert after_granting(world) == [(ENDED, w) for w in EVERYONE] + [
        (RESUMED, w) for w in EVERYONE
    ]


def test_at_the_end_of_the_window_it_cannot_be_undone(world: World, her: bytes, grant: str) -> None:
    world.stop_grant(her, grant)
    world.clock.advance(WINDOW_S)
    her = world.sign_in(1)
    with refused(Reason.WINDOW_CLOSED):
        world.resume_grant(her, grant)
    assert world.sweep() == 1
    with refused(Reason.CONSENT_ENDED):
        world.resume_grant(her, grant)
    assert world.view(her, grant).state == pb.GRANT_STATE_REVOKED


def test_the_gate_is_up_while_stopped_and_down_after_a_resume(
    world: World, her: bytes, grant: str
) -> None:
    gates = world.app.context.gates
    assert not gates.is_up(grant)
    world.stop_grant(her, grant)
    assert gates.is_up(grant)
    world.resume_grant(her, grant)
    assert not gates.is_up(grant)
    world.stop_grant(her, grant)
    assert gates.is_up(grant)


def test_a_grant_can_be_stopped_and_resumed_again_with_counters_without_a_gap(
    world: World, her: bytes, grant: str
) -> None:
    counters = []
    for _ in range(3):
        counters.append(world.opened(world.stop_grant(her, grant).stop_receipt).body["counter"])
        counters.append(world.opened(world.resume_grant(her, grant).receipt).body["counter"])
    assert counters == [0, 0, 1, 1, 2, 2]


def test_the_second_stop_has_a_window_of_its_own(world: World, her: bytes, grant: str) -> None:
    first = world.stop_grant(her, grant)
    world.clock.advance(540)
    world.resume_grant(her, grant)
    second = world.stop_grant(her, grant)
    assert second.stop_receipt.index > first.stop_receipt.index
    assert second.grant.final_at.seconds == world.clock.wall() + WINDOW_S


def test_resuming_is_idempotent(world: World, her: bytes, grant: str) -> None:
    world.stop_grant(her, grant)
    request_id = world.request_id()
    first = world.resume_grant(her, grant, request_id)
    again = world.resume_grant(her, grant, request_id)
    assert again.receipt.leaf == first.receipt.leaf
    assert world.rows("SELECT next_resume FROM consent_grant") == [(1,)]


def test_what_is_not_stopped_cannot_be_resumed(world: World, her: bytes, grant: str) -> None:
    with refused(Reason.STATE_CONFLICT):
        world.resume_grant(her, grant)


def test_a_final_grant_never_reopens(world: World, her: bytes, grant: str) -> None:
    world.stop_grant(her, grant, destroy_now=True)
    leaves = world.rows("SELECT count(*) FROM ledger_leaf")
    with refused(Reason.CONSENT_ENDED):
        world.resume_grant(her, grant)
    world.stop_grant(her, grant)
    world.stop_grant(her, grant, destroy_now=True)
    world.clock.advance(400 * DAY)
    world.app.context.writer.confirm_clock()
    assert world.sweep() == 0
    assert world.rows("SELECT count(*) FROM ledger_leaf") == leaves
    assert world.rows("SELECT state FROM consent_grant") == [("revoked",)]


def test_somebody_elses_grant_is_not_there(world: World, her: bytes, grant: str) -> None:
    world.register("haven", 2, "another-one")
    other = world.sign_in(2)
    absent = "0" * 32
    for name in (grant, absent):
        with refused(Reason.NOT_FOUND):
            world.stop_grant(other, name)
        with refused(Reason.NOT_FOUND):
            world.resume_grant(other, name)
        with refused(Reason.NOT_FOUND):
            world.receipt(other, name)
        with refused(Reason.NOT_FOUND):
            world.portal.ListLooks(pb.ListLooksRequest(session=other, grant=name))
    assert not world.app.context.gates.is_up(grant)
    assert world.view(her, grant).state == pb.GRANT_STATE_ACTIVE


def test_a_stop_needs_her_session(world: World, grant: str) -> None:
    with refused(Reason.SESSION_INVALID):
        world.stop_grant(bytes(32), grant)
    with refused(Reason.SESSION_INVALID):
        world.resume_grant(bytes(32), grant)


def test_stops_go_on_while_the_clock_is_suspect(world: World, her: bytes, grant: str) -> None:
    world.clock.jump_wall(3 * DAY)
    assert world.app.context.writer.clock_suspect
    answer = world.stop_grant(her, grant)
    assert answer.grant.state == pb.GRANT_STATE_STOPPED


def test_stops_at_the_same_time_make_one_leaf(world: World, her: bytes, grant: str) -> None:
    indexes: list[int] = []
    start = threading.Barrier(6)

    def go() -> None:
        start.wait()
        indexes.append(world.stop_grant(her, grant).stop_receipt.index)

    threads = [threading.Thread(target=go) for _ in range(6)]
    world.portal  # noqa: B018  the channel, made before the threads
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(indexes) == 6
    assert len(set(indexes)) == 1


def test_a_stop_that_could_not_be_anchored_is_in_force_and_a_repeat_finds_it(
    world: World, her: bytes, grant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchor = world.app.context.writer._anchor

    def fails(size: int, note: str) -> None:
        raise OSError("no space")

    request_id = world.request_id()
    with monkeypatch.context() as patch:
        patch.setattr(type(anchor), "write", lambda self, size, note: fails(size, note))
        with refused(Reason.UNAVAILABLE):
            world.stop_grant(her, grant, request_id=request_id)
        assert world.app.context.gates.is_up(grant)
    answer = world.stop_grant(her, grant, request_id=request_id)
    assert answer.grant.state == pb.GRANT_STATE_STOPPED


def test_a_stop_that_failed_cleanly_lowers_the_flag(
    world: World, her: bytes, grant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise SafehandError(Reason.UNAVAILABLE)

    with monkeypatch.context() as patch:
        patch.setattr(type(world.app.context.writer), "submit", fails)
        with refused(Reason.UNAVAILABLE):
            world.stop_grant(her, grant)
    assert not world.app.context.gates.is_up(grant)
    assert world.view(her, grant).state == pb.GRANT_STATE_ACTIVE


def test_a_stop_survives_a_restart(world: World, her: bytes, grant: str, tmp_path: Path) -> None:
    world.stop_grant(her, grant)
    world.restart()
    assert world.view(her, grant).state == pb.GRANT_STATE_STOPPED
    world.resume_grant(her, grant)
    assert world.view(her, grant).state == pb.GRANT_STATE_ACTIVE

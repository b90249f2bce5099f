"""What time does: expiry and finality to the second, behind refusals and never before stops."""

from __future__ import annotations

import pytest
from safehand.consent.v1 import consent_pb2 as pb
from safehand.events.v1 import events_pb2
from safehand_consent_service import sweeper
from safehand_consent_service.stops import WINDOW_S
from safehand_core.clock import ManualClock
from safehand_core.reasons import Reason

from tests.consent.refusals import refused
from tests.consent.world import DAY, World

ENDED = events_pb2.EVENT_TYPE_CONSENT_ENDED


def state(world: World, grant: str) -> str:
    return str(world.rows("SELECT state FROM consent_grant WHERE grant_id = ?", grant)[0][0])


def last_body(world: World, grant: str) -> dict[str, object]:
    receipt = world.receipt(world.sign_in(1), grant).receipts[-1]
    return dict(world.opened(receipt).body)


def test_nothing_ends_a_second_too_early(world: World, her: bytes) -> None:
    grant = world.grant(her, expires_at=world.clock.wall() + DAY).grant.grant
    world.clock.advance(DAY - 1)
    assert world.sweep() == 0
    assert world.view(world.sign_in(1), grant).state == pb.GRANT_STATE_ACTIVE
    assert world.key_rows(grant) == 3


def test_a_grant_expires_at_its_very_second_and_its_keys_go(world: World, her: bytes) -> None:
    end = world.clock.wall() + DAY
    grant = world.grant(her, expires_at=end).grant.grant
    world.clock.advance(DAY)
    assert world.sweep() == 1
    assert state(world, grant) == "expired"
    assert world.key_rows(grant) == 0
    assert last_body(world, grant) == {
        "kind": "EXPIRE",
        "grant": grant,
        "expires_at": end,
        "at": end,
    }
    assert [(e.type, e.audience) for e in world.events(after=2)] == [
        (ENDED, "agency/haven"),
        (ENDED, "service/referral"),
    ]
    assert world.sweep() == 0


def test_refusal_never_waits_for_the_sweeper(world: World, her: bytes) -> None:
    grant = world.grant(her, expires_at=world.clock.wall() + 540).grant.grant
    world.clock.advance(540)
    with refused(Reason.CONSENT_ENDED):
        world.stop_grant(her, grant)
    with refused(Reason.CONSENT_ENDED):
        world.resume_grant(her, grant)
    assert world.view(her, grant).state == pb.GRANT_STATE_EXPIRED
    assert not world.consent("haven").ListAgencyGrants(pb.ListAgencyGrantsRequest()).grants[0].live
    assert state(world, grant) == "active"  # nothing was swept yet


def test_at_the_last_second_she_can_still_stop(world: World, her: bytes) -> None:
    grant = world.grant(her, expires_at=world.clock.wall() + 540).grant.grant
    world.clock.advance(539)
    assert world.stop_grant(her, grant).grant.state == pb.GRANT_STATE_STOPPED
    world.clock.advance(1)
    with refused(Reason.CONSENT_ENDED):
        world.resume_grant(her, grant)


def test_a_stop_becomes_final_at_the_end_of_its_window(world: World, her: bytes) -> None:
    grant = world.grant(her).grant.grant
    stop = world.stop_grant(her, grant).stop_receipt.index
    world.clock.advance(WINDOW_S - 1)
    assert world.sweep() == 0
    assert world.key_rows(grant) == 3
    world.clock.advance(1)
    assert world.sweep() == 1
    assert world.key_rows(grant) == 0
    assert last_body(world, grant) == {
        "kind": "REVOKE",
        "grant": grant,
        "cause": "window",
        "stop_index": stop,
        "at": world.clock.wall(),
    }
    # The end was told at the stop.
    assert len([e for e in world.events() if e.type == ENDED]) == 2


@pytest.mark.parametrize(
    ("term_s", "expected"),
    [
        (WINDOW_S + 1, "revoked"),  # the window ended first
        (WINDOW_S, "revoked"),  # at the same second her own stop counts
        (WINDOW_S - 1, "expired"),  # the term ended first
    ],
)
def test_when_both_deadlines_are_due_the_earlier_one_counts(
    world: World, her: bytes, term_s: int, expected: str
) -> None:
    grant = world.grant(her, expires_at=world.clock.wall() + term_s).grant.grant
    world.stop_grant(her, grant)
    world.clock.advance(2 * WINDOW_S)
    assert world.sweep() == 1
    assert state(world, grant) == expected
    assert world.key_rows(grant) == 0
    assert len([e for e in world.events() if e.type == ENDED]) == 2


def test_destroy_now_after_the_term_ends_it_as_expired(world: World, her: bytes) -> None:
    grant = world.grant(her, expires_at=world.clock.wall() + 540).grant.grant
    world.stop_grant(her, grant)
    world.clock.advance(540)
    answer = world.stop_grant(her, grant, destroy_now=True)
    assert answer.grant.state == pb.GRANT_STATE_EXPIRED
    assert not answer.HasField("revoke_receipt")
    assert world.key_rows(grant) == 0


def test_many_due_grants_end_in_small_batches(
    world: World, her: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(7):
        world.grant(her, expires_at=world.clock.wall() + 540)
    world.clock.advance(540)
    monkeypatch.setattr(sweeper, "BATCH", 3)
    sizes: list[int] = []
    end_some = sweeper._end_some

    def counted(*arguments: object) -> int:
        sizes.append(end_some(*arguments))  # type: ignore[arg-type]
        return sizes[-1]

    monkeypatch.setattr(sweeper, "_end_some", counted)
    assert world.sweep() == 7
    assert sizes == [3, 3, 1]


def test_what_is_due_is_swept_before_serving(world: World, her: bytes) -> None:
    grant = world.grant(her, expires_at=world.clock.wall() + 540).grant.grant
    world.stop()
    world.clock.advance(DAY)
    world.start()
    assert state(world, grant) == "expired"
    assert world.key_rows(grant) == 0


def test_the_sweeper_runs_by_itself(world: World, her: bytes) -> None:
    grant = world.grant(her, expires_at=world.clock.wall() + 540).grant.grant
    world.clock.advance(540)
    running = sweeper.Sweeper(world.app.context, every_s=0.02)
    running.start()
    for _ in range(500):
        if state(world, grant) == "expired":
            break
        running._stopping.wait(0.02)
    running.stop()
    assert state(world, grant) == "expired"


def test_while_the_clock_is_suspect_nothing_is_deleted(world: World, her: bytes) -> None:
    grant = world.grant(her, expires_at=world.clock.wall() + DAY).grant.grant
    world.clock.jump_wall(2 * DAY)
    assert world.sweep() == 0
    assert world.key_rows(grant) == 3
    assert world.view(her, grant).state == pb.GRANT_STATE_ACTIVE
    world.consent("operator").ConfirmClock(pb.ConfirmClockRequest(request_id=world.request_id()))
    assert world.sweep() == 1
    assert state(world, grant) == "expired"


def test_what_was_due_before_the_clock_became_suspect_waits_too(world: World, her: bytes) -> None:
    grant = world.grant(her, expires_at=world.clock.wall() + 540).grant.grant
    world.clock.advance(540)
    world.clock.jump_wall(DAY)
    assert world.sweep() == 0
    assert world.key_rows(grant) == 3
    with refused(Reason.CLOCK_SUSPECT):
        world.app.context.writer.submit(
            lambda txn: sweeper._end_some(txn, world.app.context), housekeeping=True
        )
    assert world.key_rows(grant) == 3


def test_a_start_far_ahead_of_the_ledger_deletes_nothing_until_confirmed(
    world: World, her: bytes
) -> None:
    grant = world.grant(her, expires_at=world.clock.wall() + DAY).grant.grant
    world.stop()
    world.clock.advance(8 * DAY)
    world.start()
    assert state(world, grant) == "active"
    assert world.key_rows(grant) == 3
    world.consent("operator").ConfirmClock(pb.ConfirmClockRequest(request_id=world.request_id()))
    world.sweep()
    assert state(world, grant) == "expired"


def test_the_ledgers_time_never_runs_backwards(world: World, her: bytes) -> None:
    world.grant(her)
    world.clock.jump_wall(-5 * DAY)
    answer = world.grant(her)
    assert answer.grant.issued_at.seconds == ManualClock().wall()
    world.stop()
    world.start()
    assert world.grant(world.sign_in(1)).grant.issued_at.seconds == ManualClock().wall()
    world.clock.jump_wall(5 * DAY)

"""A stop ends sharing, never help: answers are given while nothing can be fetched."""

from __future__ import annotations

from safehand.referral.v1 import referral_pb2
from safehand_core.reasons import Reason

from tests.cli.test_commands import ok, run
from tests.flow.test_lies import refuses
from tests.harness.world import World, eventually


def stopped(world: World) -> str:
    """A referral whose sharing stopped before anybody fetched it, as referral knows."""
    person = world.person()
    grant = world.grant(person)
    sent = world.send(grant)
    with world.session(person) as her:
        her.stop(grant)
    b = world.agency_b
    eventually(lambda: b.status(sent.referral).sharing_stopped, "referral knows of the stop")
    assert refuses(lambda: b.fetch(sent.referral)) is Reason.CONSENT_ENDED
    return sent.referral


def test_accepted_after_a_stop(world: World) -> None:
    state = world.agency_b.accept(stopped(world))
    assert state.state == referral_pb2.REFERRAL_STATE_ACCEPTED
    assert state.sharing_stopped


def test_declined_after_a_stop(world: World) -> None:
    state = world.agency_b.decline(stopped(world), "no_capacity")
    assert state.state == referral_pb2.REFERRAL_STATE_DECLINED


def test_answered_after_a_stop_by_command(world: World) -> None:
    assert ok(world, "agency-b", "referral", "accept", stopped(world))["state"] == "ACCEPTED"
    declined = ["referral", "decline", stopped(world), "--reason", "no_capacity"]
    assert ok(world, "agency-b", *declined)["state"] == "DECLINED"


def test_what_was_fetched_before_can_be_answered_too(world: World) -> None:
    assert world.accepted(world.grant(world.person())).state.referral


def test_nobody_answers_for_another(world: World) -> None:
    done = run(world, "agency-a", "referral", "accept", stopped(world))
    assert done.exit_code in (2, 3)

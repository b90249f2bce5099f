"""Nobody who knows her card number alone can keep her from signing in."""

from __future__ import annotations

from safehand_consent_service.throttle import EARN_BACK_S, TRIES
from safehand_core.reasons import Reason

from tests.consent.release.world import B, Card, World, refused


def test_an_agency_that_tries_wrong_pins_for_ever_does_not_keep_her_out(
    fresh_world: World,
) -> None:
    world = fresh_world
    card = world.register_subject()
    wrong = Card(card.number, "000000")
    for _ in range(TRIES):
        with refused(Reason.SIGN_IN_FAILED):
            world.register_subject(B, wrong)
    for _ in range(3):
        with refused(Reason.THROTTLED):
            world.register_subject(B, card)
        assert world.sign_in(card)
        world.clock.advance(EARN_BACK_S)
        with refused(Reason.SIGN_IN_FAILED):
            world.register_subject(B, wrong)


def test_signing_in_gives_an_agency_no_further_tries(fresh_world: World) -> None:
    world = fresh_world
    card = world.register_subject()
    for _ in range(TRIES):
        with refused(Reason.SIGN_IN_FAILED):
            world.register_subject(B, Card(card.number, "000000"))
    world.sign_in(card)
    with refused(Reason.THROTTLED):
        world.register_subject(B, card)

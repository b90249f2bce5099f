"""What a narrowing does here: nothing. Consent alone decides which part still opens."""

from __future__ import annotations

from safehand.events.v1 import events_pb2
from safehand_store import inbox
from safehand_store.engine import begin_read

from tests.referral.world import World


def test_a_narrowed_grant_moves_nothing_and_holds_nothing_up(world: World) -> None:
    world.app.follower.catch_up()
    draft = world.create()
    before = world.state(draft)
    for audience in ("agency/a", "agency/b", "service/referral"):
        world.consent.say(
            events_pb2.EVENT_TYPE_CONSENT_NARROWED, f"grants/{draft.grant}", audience=audience
        )
    assert world.app.follower.catch_up() == 3
    assert world.state(draft) == before
    world.fetch(draft)
    with begin_read(world.app.context.engine) as connection:
        assert inbox.position(connection, "consent") == len(world.consent.events)
    world.consent.ended(draft.grant)
    world.app.follower.catch_up()
    assert world.state(draft).sharing_stopped

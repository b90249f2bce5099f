"""A repeated release is a new question: what was answered once is no reason to answer again."""

from __future__ import annotations

from safehand_core.reasons import Reason

from tests.consent.release.world import B, World, refused


def test_a_repeat_after_a_stop_is_refused_by_what_is_on_record(fresh_world: World) -> None:
    """Restarted, so that no gate of this process stands in the way."""
    session = fresh_world.session()
    grant = fresh_world.grant(session)
    sent = fresh_world.send(grant)
    request = fresh_world.release_request(sent)
    fresh_world.agency(B).ReleaseKey(request)
    fresh_world.stop_grant(session, grant)
    fresh_world.restart()
    assert not fresh_world.app.context.gates.is_up(grant)
    fresh_world.clock.advance(60)  # past the seconds in which stops go alone
    with refused(Reason.CONSENT_ENDED, by=fresh_world):
        fresh_world.agency(B).ReleaseKey(request)

"""ReleaseKey: who gets an inner wrap, and each reason why nobody else does."""

from __future__ import annotations

from tests.consent.release.world import World


def test_walk(world: World) -> None:
    session = world.session()
    grant = world.grant(session)
    sent = world.send(grant)
    opened = world.release(sent)
    assert world.open(sent, "CARD", opened.inner_wrap) == b"content of CARD"

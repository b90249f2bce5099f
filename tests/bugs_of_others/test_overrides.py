"""Class 3 tried: whatever a caller adds to a request that is refused, it stays refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from safehand.consent.v1 import consent_pb2 as pb
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_rpc.identity import spiffe_id

from tests.consent.release.world import A, B, C, World
from tests.referral.test_sharing import stop
from tests.referral.world import World as Referrals

CRAFTED = (
    ("consent-overridden", "true"),
    ("x-consent-override", "1"),
    ("x-break-glass", "true"),
    ("x-emergency", "life in danger"),
    ("x-safehand-bypass-bin", b"\x01"),
    ("x-user-role", "admin"),
    ("authorization", "Bearer of-somebody-mightier"),
    ("x-forwarded-client-cert", f"URI={spiffe_id('operator', 'consent')}"),
    ("x-spiffe-id", spiffe_id("agency", A)),
    ("x-agency", A),
)
"""Metadata of which other systems believed something like it."""
UNKNOWN = {
    "a flag": b"\x98\x3f\x01",
    "words": b"\x9a\x3f\x12consent_overridden",
}
"""Fields 1011 of which no schema knows, encoded."""

Call = Callable[..., Any]


def stays_refused(call: Call, request: Message, reason: Reason, size: Callable[[], object]) -> None:
    """Plain it is refused for ``reason``; with metadata too; with an unknown field anyhow."""
    before = size()
    for metadata in (None, CRAFTED):
        with pytest.raises(SafehandError) as refused:
            call(request, metadata=metadata)
        assert refused.value.reason is reason, refused.value
    for field in UNKNOWN.values():
        more = type(request).FromString(request.SerializeToString() + field)
        assert more.ByteSize() > request.ByteSize()
        for metadata in (None, CRAFTED):
            with pytest.raises(SafehandError) as refused:
                call(more, metadata=metadata)
            assert refused.value.reason in (Reason.MALFORMED, reason), refused.value
    assert size() == before


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path).start().set_up()
    yield made
    made.stop()


def test_no_addition_lets_a_referral_through(world: World) -> None:
    session = world.session()
    grant, stopped = world.grant(session), world.grant(session)
    allowed = world.authorise_request(world.seal(grant))
    foreign = world.authorise_request(world.seal(grant))
    unnamed = world.authorise_request(world.seal(grant, ("CARD", "HEALTH")))
    late = world.authorise_request(world.seal(stopped))
    world.stop_grant(session, stopped)
    send = world.agency(A).AuthorizeReferral
    stays_refused(send, late, Reason.CONSENT_ENDED, lambda: world.size)
    stays_refused(send, unnamed, Reason.SCOPE_EXCEEDED, lambda: world.size)
    stays_refused(
        world.agency(C).AuthorizeReferral, foreign, Reason.NOT_ALLOWED, lambda: world.size
    )
    # What is allowed stays allowed: it is not the metadata that was refused.
    assert send(allowed, metadata=CRAFTED).token


def test_no_addition_releases_a_key(world: World) -> None:
    session = world.session()
    grant = world.grant(session)
    waiting, accepted = world.send(grant), world.send(grant)
    world.accept(accepted)
    release = world.agency(B).ReleaseKey
    early = world.release_request(waiting, "NAME")
    stays_refused(release, early, Reason.NOT_ACCEPTED, lambda: world.size)
    foreign = world.release_request(accepted, "NAME", key=world.agencies[C].identity)
    stays_refused(release, foreign, Reason.SIGNATURE_INVALID, lambda: world.size)
    assert release(world.release_request(accepted, "NAME"), metadata=CRAFTED).inner_wrap
    world.stop_grant(session, grant, pb.STOP_MODE_DESTROY_NOW)
    late = world.release_request(accepted, "NAME")
    stays_refused(release, late, Reason.CONSENT_ENDED, lambda: world.size)


def test_no_addition_makes_a_referral(tmp_path: Path) -> None:
    world = Referrals(tmp_path)
    try:
        world.set_up()
        create = world.a.referral.CreateReferral
        stopped = world.draft()
        stop(world, stopped.grant)
        late = world.create_request(stopped)
        forged = world.create_request(world.draft(), world.create_request(world.draft()).token)
        foreign = world.create_request(world.draft())
        stays_refused(create, late, Reason.CONSENT_ENDED, world.dump)
        stays_refused(create, forged, Reason.TOKEN_INVALID, world.dump)
        stays_refused(world.c.referral.CreateReferral, foreign, Reason.NOT_ALLOWED, world.dump)
        made = create(world.create_request(world.draft()), metadata=CRAFTED).referral
        assert made.referral
    finally:
        world.stop()

"""Several protocols with one peer: the newest that covers is used, and none takes back another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.referral.v1 import directory_pb2
from safehand_client import agreement
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import signing
from safehand_formats.sharing_protocol import SharingProtocol

from tests.client.party import DAY_S, OWN, PEER, REFERRAL, Scene

WIDE, NARROW, OLD = "f" * 32, "0" * 32, "8" * 32
ALL = ("CARD", "NAME")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def keep(scene: Scene, **changes: Any) -> SharingProtocol:
    return scene.trust.keep_protocol(OWN, scene.signed(scene.protocol(**changes)))


def refused(reason: Reason) -> pytest.RaisesExc[SafehandError]:
    return pytest.RaisesExc(SafehandError, check=lambda error: error.reason is reason)


def wide_then_narrow(scene: Scene) -> int:
    """Two live protocols, the newer one for the card alone; when the newer one began."""
    now = scene.clock.wall()
    keep(scene, id=WIDE, not_before=now - 2 * DAY_S)
    keep(scene, id=NARROW, not_before=now, categories=("CARD",))
    return now


def test_each_protocol_is_kept(scene: Scene) -> None:
    now = wide_then_narrow(scene)
    assert [p.id for p in scene.trust.protocols_with(PEER)] == [NARROW, WIDE]
    assert scene.trust.protocol_with(PEER).id == NARROW
    assert scene.trust.covering(PEER, "housing", ALL, now).id == WIDE
    assert scene.trust.covering(PEER, "housing", ("CARD",), now).id == NARROW


@pytest.mark.parametrize("newest_last", [True, False])
def test_the_order_in_which_they_are_collected_does_not_matter(
    scene: Scene, newest_last: bool
) -> None:
    now = scene.clock.wall()
    live = scene.signed(scene.protocol(id=WIDE))
    over = scene.signed(scene.protocol(id=OLD, not_before=1, not_after=2))
    order = [over, live] if newest_last else [live, over]
    client = scene.client()
    listed: Any = client.stubs.directory
    listed.ListProtocols = lambda request, timeout: directory_pb2.ListProtocolsResponse(
        protocols=[
            directory_pb2.SignedProtocol(
                protocol=signed.protocol_bytes,
                signature_a=signed.signature_a,
                signature_b=signed.signature_b,
            )
            for signed in order
        ]
    )
    assert len(agreement.collect(client)) == 2
    assert client.trust.covering(PEER, "housing", ALL, now).id == WIDE


def test_a_protocol_that_is_over_covers_what_was_made_while_it_was_live(scene: Scene) -> None:
    now = scene.clock.wall()
    keep(scene, id=WIDE, not_before=now - DAY_S, not_after=now + DAY_S)
    answer = scene.served()
    scene.clock.advance(2 * DAY_S)
    keep(scene, id=NARROW, not_before=scene.clock.wall(), categories=("CARD",))
    assert scene.recipient(answer).fetch(REFERRAL).manifest.categories == ALL
    with refused(Reason.PROTOCOL_MISSING):
        scene.recipient(scene.served()).fetch(REFERRAL)


def test_a_newer_narrower_protocol_orphans_nothing(scene: Scene) -> None:
    wide_then_narrow(scene)
    assert len(scene.recipient(scene.served()).fetch(REFERRAL).parts) == 2


def test_what_was_made_before_any_protocol_is_not_taken(scene: Scene) -> None:
    keep(scene, id=WIDE, not_before=scene.clock.wall())
    with refused(Reason.PROTOCOL_MISSING):
        scene.recipient(scene.served(created=scene.clock.wall() - 1)).fetch(REFERRAL)


def test_a_protocol_under_a_key_that_is_no_longer_pinned_does_not_count(scene: Scene) -> None:
    keep(scene, id=WIDE)
    old = scene.served()
    scene.peer_identity = Ed25519PrivateKey.generate()
    public = signing.public_bytes(scene.peer_identity)
    scene.trust.pin_peer(PEER, public, signing.identity_key_id(public))
    with refused(Reason.SIGNATURE_INVALID):
        scene.trust.protocol_with(PEER)
    keep(scene, id=NARROW)
    assert scene.trust.protocol_with(PEER).id == NARROW
    with refused(Reason.SIGNATURE_INVALID):
        scene.recipient(old).fetch(REFERRAL)
    assert scene.recipient(scene.served()).fetch(REFERRAL).parts


def test_an_agency_whose_name_begins_alike_is_another(scene: Scene) -> None:
    keep(scene)
    with refused(Reason.PROTOCOL_MISSING):
        scene.trust.protocol_with(PEER[:-1])

"""What a client keeps and believes: its own copy of the protocol, and the keys typed by people."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.intake.v1.intake_pb2 import IntakeForm
from safehand_client import AgencyClient
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import signing
from safehand_formats.note import NoteSigner
from safehand_formats.sharing_protocol import LedgerPin, SharingProtocol, SignedProtocol
from safehand_formats.sharing_protocol import Party as End

from tests.client.party import DAY_S, ORIGIN, OWN, PEER, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def refused(reason: Reason) -> pytest.RaisesExc[SafehandError]:
    return pytest.RaisesExc(SafehandError, check=lambda error: error.reason is reason)


def forged(scene: Scene) -> SignedProtocol:
    """Every word is right and the peer's signature is somebody else's."""
    signed = scene.signed()
    other = SignedProtocol.sign(signed.protocol, scene.identity, Ed25519PrivateKey.generate())
    return SignedProtocol(signed.protocol_bytes, signed.signature_a, other.signature_b)


def test_a_protocol_that_both_signed_is_kept_and_found_again(scene: Scene) -> None:
    scene.trust.keep_protocol(OWN, scene.signed())
    assert scene.trust.protocol_with(PEER) == scene.protocol()


def test_a_protocol_that_the_peer_did_not_sign_is_not_kept(scene: Scene) -> None:
    with refused(Reason.SIGNATURE_INVALID):
        scene.trust.keep_protocol(OWN, forged(scene))
    with refused(Reason.PROTOCOL_MISSING):
        scene.trust.protocol_with(PEER)


def test_a_protocol_with_another_key_than_the_typed_one_is_not_kept(scene: Scene) -> None:
    other = Ed25519PrivateKey.generate()
    protocol = scene.protocol(b=End(PEER, signing.public_bytes(other), "desk"))
    with refused(Reason.SIGNATURE_INVALID):
        scene.trust.keep_protocol(OWN, SignedProtocol.sign(protocol, scene.identity, other))


def test_a_protocol_about_another_ledger_is_not_kept(scene: Scene) -> None:
    vkey = NoteSigner(ORIGIN, Ed25519PrivateKey.generate()).verifier.vkey
    with refused(Reason.PROTOCOL_MISSING):
        scene.trust.keep_protocol(OWN, scene.signed(scene.protocol(ledger=LedgerPin(ORIGIN, vkey))))


def _replace_on_disk(scene: Scene, signed: SignedProtocol) -> None:
    """What somebody who can write to the folder would leave there."""
    scene.trust.keep_protocol(OWN, scene.signed())
    document = {
        "protocol": base64.b64encode(signed.protocol_bytes).decode(),
        "signature_a": base64.b64encode(signed.signature_a).decode(),
        "signature_b": base64.b64encode(signed.signature_b).decode(),
    }
    [kept] = (scene.party.trust / "protocols").glob(f"{PEER}*.json")
    assert json.loads(kept.read_text()).keys() == document.keys()
    kept.write_text(json.dumps(document))


def test_the_kept_copy_is_verified_whenever_it_is_read(scene: Scene) -> None:
    _replace_on_disk(scene, forged(scene))
    with refused(Reason.SIGNATURE_INVALID):
        scene.trust.protocol_with(PEER)


def test_the_kept_copy_counts_only_with_the_key_that_is_pinned(scene: Scene) -> None:
    other = Ed25519PrivateKey.generate()
    protocol = scene.protocol(b=End(PEER, signing.public_bytes(other), "desk"))
    _replace_on_disk(scene, SignedProtocol.sign(protocol, scene.identity, other))
    with refused(Reason.SIGNATURE_INVALID):
        scene.trust.protocol_with(PEER)


def test_a_key_whose_fingerprint_was_not_typed_is_not_pinned(scene: Scene) -> None:
    stranger = signing.public_bytes(Ed25519PrivateKey.generate())
    with refused(Reason.SIGNATURE_INVALID):
        scene.trust.pin_peer("agency-c", stranger, "0" * 64)
    with refused(Reason.AGENCY_UNKNOWN):
        scene.trust.peer("agency-c")


# --- a peer's recipient key, through our own copy ------------------------------------------------


def ready(scene: Scene) -> int:
    """A protocol is kept; the end of a manifest of thirty days."""
    scene.trust.keep_protocol(OWN, scene.signed())
    return scene.clock.wall() + 30 * DAY_S


def test_a_key_that_the_peer_signed_and_logged_is_used(scene: Scene) -> None:
    end = ready(scene)
    served = scene.key()
    assert scene.client(served).recipient_key(PEER, end) == served


def test_a_key_that_ends_before_the_manifest_is_not_sealed_to(scene: Scene) -> None:
    end = ready(scene)
    with refused(Reason.KEY_ENDS_TOO_SOON):
        scene.client(scene.key(not_after=end - 1)).recipient_key(PEER, end)
    exact = scene.key(not_after=end)
    assert scene.client(exact).recipient_key(PEER, end) == exact


def test_a_cached_key_is_not_used_beyond_its_end(scene: Scene) -> None:
    end = ready(scene)
    client = scene.client(scene.key(not_after=end))
    client.recipient_key(PEER, end)
    with refused(Reason.KEY_ENDS_TOO_SOON):
        client.recipient_key(PEER, end + 1)


def test_a_key_that_begins_later_is_not_sealed_to(scene: Scene) -> None:
    end = ready(scene)
    with refused(Reason.KEY_UNKNOWN):
        scene.client(scene.key(not_before=scene.clock.wall() + 1)).recipient_key(PEER, end)


def test_a_key_that_the_peers_identity_did_not_sign_is_not_sealed_to(scene: Scene) -> None:
    end = ready(scene)
    with refused(Reason.SIGNATURE_INVALID):
        scene.client(scene.key(signer=Ed25519PrivateKey.generate())).recipient_key(PEER, end)


def test_a_key_of_the_peers_for_another_agency_is_not_sealed_to(scene: Scene) -> None:
    end = ready(scene)
    with refused(Reason.SIGNATURE_INVALID):
        scene.client(scene.key(agency="agency-c")).recipient_key(PEER, end)


# --- sending -------------------------------------------------------------------------------------


def send(client: AgencyClient, purpose: str = "housing") -> None:
    client.send(
        grant="2" * 32,
        recipient=PEER,
        purpose=purpose,
        service="svc-1",
        form=IntakeForm(),
        categories=("CARD", "NAME"),
    )


@pytest.mark.parametrize(
    "changes",
    [{"purposes": ("legal",)}, {"categories": ("CARD",)}, {"not_before": 1, "not_after": 2}],
    ids=["purpose", "category", "time"],
)
def test_what_the_protocol_does_not_cover_is_not_even_sealed(
    scene: Scene, changes: dict[str, object]
) -> None:
    """Nobody is asked, not for a key either: the other side's services are no judge of it."""
    protocol: SharingProtocol = scene.protocol(**changes)
    scene.trust.keep_protocol(OWN, scene.signed(protocol))
    client = scene.client(scene.key())
    with refused(Reason.PROTOCOL_MISSING):
        send(client)
    assert not list((scene.party.state).glob("drafts/*"))

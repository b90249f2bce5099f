"""Which of a peer's identity keys count: its own signature and consent's list, and nothing else.

The directory here is the enemy: ``Silent`` fails the test when it is asked for a key, and where it
serves a recipient key it serves what the test gives it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.consent.v1 import keys_pb2
from safehand_client import AgencyClient
from safehand_client._internal.identity_life import as_message
from safehand_client._internal.peer_keys import LOOK_S
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import signing
from safehand_formats.keyrecord import SignedKeyRecord
from safehand_formats.succession import SignedSuccession, Succession

from tests.client.party import DAY_S, OWN, PEER, REFERRAL, Scene

OVERLAP_S = 14 * DAY_S
WEEK_S = 7 * DAY_S


@dataclass
class Consent:
    """Lists what the test says; ``silent``: nobody answers."""

    keys: list[keys_pb2.AgencyKey] = field(default_factory=list)
    silent: bool = False
    asked: int = 0

    def ListAgencyKeys(self, request: Any, timeout: float) -> Any:  # noqa: N802
        self.asked += 1
        if self.silent:
            raise SafehandError(Reason.UNAVAILABLE)
        assert request.agency == PEER
        return keys_pb2.ListAgencyKeysResponse(keys=self.keys)

    def list(
        self, key: Ed25519PrivateKey, signed: SignedSuccession | None = None, *, revoked: int = 0
    ) -> None:
        listed = keys_pb2.AgencyKey(identity_key=signing.public_bytes(key))
        listed.not_before.seconds = len(self.keys) + 1
        if signed is not None:
            listed.succession.CopyFrom(as_message(signed))
        if revoked:
            listed.revoked_at.seconds = revoked
        self.keys.insert(0, listed)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    made.trust.keep_protocol(OWN, made.signed())
    return made


@pytest.fixture
def fresh() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def succession(
    scene: Scene, new: Ed25519PrivateKey, old: Ed25519PrivateKey | None = None, **changes: Any
) -> SignedSuccession:
    """``new`` follows ``old`` (the peer's pinned key), both signing."""
    old = old or scene.peer_identity
    now = scene.clock.wall()
    values: dict[str, Any] = {
        "agency": PEER,
        "old": signing.public_bytes(old),
        "new": signing.public_bytes(new),
        "not_before": now,
        "old_until": now + OVERLAP_S,
    }
    return SignedSuccession.sign(Succession(**{**values, **changes}), old, new)


def client(
    scene: Scene, consent: Consent, served: SignedKeyRecord | None = None, answer: Any = None
) -> AgencyClient:
    """``OWN``'s client before this consent, with a directory or a referral service of the test."""
    made = scene.client(served) if answer is None else scene.recipient(answer)
    keys: Any = consent
    stubs = replace(made.stubs, keys=keys)
    made.close()
    return AgencyClient(scene.party, clock=scene.clock, entropy=scene.entropy, stubs=stubs)


def seals_to(scene: Scene, consent: Consent, served: SignedKeyRecord) -> bool:
    """Whether a sender takes this recipient key; the refusal is always the same."""
    made = client(scene, consent, served)
    try:
        made.recipient_key(PEER, scene.clock.wall() + WEEK_S)
    except SafehandError as error:
        if error.reason not in (Reason.SIGNATURE_INVALID, Reason.PROTOCOL_MISSING):
            raise
        return False
    return True


def test_a_key_that_the_old_one_signed_for_and_consent_lists_counts(
    scene: Scene, fresh: Ed25519PrivateKey
) -> None:
    consent = Consent()
    consent.list(scene.peer_identity)
    consent.list(fresh, succession(scene, fresh))
    assert seals_to(scene, consent, scene.key(signer=fresh))
    # Known for good: consent may fall silent after.
    consent.silent = True
    assert seals_to(scene, consent, scene.key(signer=fresh))
    assert scene.trust.peer(PEER) == signing.public_bytes(fresh)


def test_consent_alone_brings_in_no_key(scene: Scene, fresh: Ed25519PrivateKey) -> None:
    """Nor does it with somebody else's signature, or one for another key or agency."""
    thief = Ed25519PrivateKey.generate()
    good = succession(scene, fresh)
    for signed in (
        None,
        succession(scene, fresh, thief),
        succession(scene, fresh, agency="agency-c"),
        succession(scene, thief),
        SignedSuccession(good.succession_bytes, good.signature_new, good.signature_new),
        SignedSuccession(good.succession_bytes, good.signature_old, good.signature_old),
        SignedSuccession(b"{}", good.signature_old, good.signature_new),
    ):
        consent = Consent()
        consent.list(scene.peer_identity)
        consent.list(fresh, signed)
        assert not seals_to(scene, consent, scene.key(signer=fresh))
    assert [key.key for key in scene.trust.known.of(PEER)] == [
        signing.public_bytes(scene.peer_identity)
    ]


def test_the_old_key_alone_brings_in_no_key(scene: Scene, fresh: Ed25519PrivateKey) -> None:
    """Who has stolen it and has the directory on his side: consent's operator typed nothing."""
    consent = Consent()
    consent.list(scene.peer_identity)
    assert not seals_to(scene, consent, scene.key(signer=fresh))
    consent.list(fresh, succession(scene, fresh), revoked=1)
    assert not seals_to(scene, consent, scene.key(signer=fresh))
    consent.silent = True
    assert not seals_to(scene, consent, scene.key(signer=fresh))


def test_the_directory_is_never_asked_for_an_identity_key(
    scene: Scene, fresh: Ed25519PrivateKey
) -> None:
    """It can serve another recipient key, and that must be signed like any other."""
    consent = Consent()
    consent.list(scene.peer_identity)
    consent.list(fresh, succession(scene, fresh))
    made = client(scene, consent, scene.key(signer=fresh))
    made.look_at_peer(PEER)
    assert consent.asked == 1
    assert not seals_to(scene, consent, scene.key(signer=Ed25519PrivateKey.generate()))


def test_of_two_successors_the_first_one_stays(scene: Scene, fresh: Ed25519PrivateKey) -> None:
    thief = Ed25519PrivateKey.generate()
    consent = Consent()
    consent.list(scene.peer_identity)
    consent.list(fresh, succession(scene, fresh))
    assert seals_to(scene, consent, scene.key(signer=fresh))
    consent.list(thief, succession(scene, thief))
    assert not seals_to(scene, consent, scene.key(signer=thief))
    assert seals_to(scene, consent, scene.key(signer=fresh))
    assert [key.disputed for key in scene.trust.known.of(PEER)] == [True, False]


def test_a_retired_key_makes_no_recipient_key_any_more(
    scene: Scene, fresh: Ed25519PrivateKey
) -> None:
    """Whatever time the record claims: who finds an old key next year dates it back."""
    consent = Consent()
    consent.list(scene.peer_identity)
    consent.list(fresh, succession(scene, fresh))
    back = scene.key(sequence=1)
    assert seals_to(scene, consent, back)
    cached = client(scene, consent, back)
    assert cached.recipient_key(PEER, scene.clock.wall() + WEEK_S) == back
    scene.clock.advance(OVERLAP_S - 1)
    assert seals_to(scene, consent, back)
    scene.clock.advance(1)
    assert not seals_to(scene, consent, back)
    with pytest.raises(SafehandError, match="SIGNATURE_INVALID"):
        cached.recipient_key(PEER, scene.clock.wall() + WEEK_S)
    assert seals_to(scene, consent, scene.key(signer=fresh))


def test_a_manifest_is_held_to_the_keys_of_its_day(scene: Scene, fresh: Ed25519PrivateKey) -> None:
    """What was sent before stays readable; what a retired key signs now does not."""
    consent = Consent()
    consent.list(scene.peer_identity)
    consent.list(fresh, succession(scene, fresh))
    before = scene.served()
    scene.clock.advance(OVERLAP_S)
    late = scene.served()
    assert client(scene, consent, answer=before).fetch(REFERRAL).parts
    with pytest.raises(SafehandError, match="SIGNATURE_INVALID"):
        client(scene, consent, answer=late).fetch(REFERRAL)
    scene.peer_identity = fresh
    assert client(scene, consent, answer=scene.served()).fetch(REFERRAL).parts
    early = scene.served(created=scene.clock.wall() - OVERLAP_S - 1)
    with pytest.raises(SafehandError, match="SIGNATURE_INVALID"):
        client(scene, consent, answer=early).fetch(REFERRAL)


def test_a_revoked_key_is_never_believed_again(scene: Scene, fresh: Ed25519PrivateKey) -> None:
    """Not for what it signed before, not for a successor, and not when consent takes it back."""
    before, record = scene.served(), scene.key()
    consent = Consent()
    consent.list(scene.peer_identity, revoked=scene.clock.wall())
    consent.list(fresh, succession(scene, fresh))
    assert not seals_to(scene, consent, record)
    assert not seals_to(scene, consent, scene.key(signer=fresh))
    with pytest.raises(SafehandError, match=r"PROTOCOL_MISSING|SIGNATURE_INVALID"):
        client(scene, consent, answer=before).fetch(REFERRAL)
    forgiving = Consent()
    forgiving.list(scene.peer_identity)
    assert not seals_to(scene, forgiving, record)
    public = signing.public_bytes(scene.peer_identity)
    with pytest.raises(SafehandError, match="SIGNATURE_INVALID"):
        scene.trust.pin_peer(PEER, public, signing.identity_key_id(public))


def test_a_successor_that_we_know_outlives_the_theft_of_the_key_before_it(
    scene: Scene, fresh: Ed25519PrivateKey
) -> None:
    """The old key is found in a backup; the agency's own successor was known long before."""
    consent = Consent()
    consent.list(scene.peer_identity)
    consent.list(fresh, succession(scene, fresh))
    scene.trust.keep_protocol(OWN, scene.signed())
    client(scene, consent).look_at_peer(PEER)
    old, scene.peer_identity = scene.peer_identity, fresh
    scene.trust.keep_protocol(OWN, scene.signed(scene.protocol(id="2" * 32)))
    consent.keys[1].revoked_at.seconds = 1
    assert seals_to(scene, consent, scene.key(signer=fresh))
    assert not seals_to(scene, consent, scene.key(signer=old))


def test_a_revocation_is_heard_within_a_minute_and_empties_the_cache(scene: Scene) -> None:
    consent = Consent()
    consent.list(scene.peer_identity)
    made = client(scene, consent, scene.key())
    until = scene.clock.wall() + WEEK_S
    made.recipient_key(PEER, until)
    consent.keys[0].revoked_at.seconds = 1
    made.recipient_key(PEER, until)
    assert consent.asked == 1
    scene.clock.advance(int(LOOK_S))
    with pytest.raises(SafehandError, match=r"SIGNATURE_INVALID|PROTOCOL_MISSING"):
        made.recipient_key(PEER, until)


def test_a_protocol_goes_on_under_the_next_key_and_no_other(
    scene: Scene, fresh: Ed25519PrivateKey
) -> None:
    consent = Consent()
    consent.list(scene.peer_identity)
    consent.list(fresh, succession(scene, fresh))
    client(scene, consent).look_at_peer(PEER)
    assert scene.trust.protocol_with(PEER).id == "1" * 32
    consent.keys[1].revoked_at.seconds = 1
    client(scene, consent).look_at_peer(PEER)
    with pytest.raises(SafehandError, match="SIGNATURE_INVALID"):
        scene.trust.protocol_with(PEER)


def test_a_protocol_that_names_another_key_of_ours_is_not_kept(scene: Scene) -> None:
    """A peer and a directory that agree on terms with themselves."""
    ours = Ed25519PrivateKey.generate()
    scene.identity, real = ours, scene.identity
    forged = scene.signed(scene.protocol(id="2" * 32))
    with pytest.raises(SafehandError, match="SIGNATURE_INVALID"):
        scene.trust.keep_protocol(OWN, forged, [signing.public_bytes(real)])

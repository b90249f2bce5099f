"""Agencies' identity keys at consent: the next one, an overlap, and an end at once."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.consent.v1 import keys_pb2, keys_pb2_grpc
from safehand_consent_service.agencies import OVERLAP_MAX_S, OVERLAP_S
from safehand_core.reasons import Reason
from safehand_formats import signing
from safehand_formats.succession import SignedSuccession, Succession

from tests.consent.release.world import A, B, World, new_request_id, refused


def operator(consent: World) -> keys_pb2_grpc.KeyServiceStub:
    return keys_pb2_grpc.KeyServiceStub(consent.channel("operator", "consent"))


def rotate(
    consent: World, name: str, *, overlap_s: int | None = None, **changes: Any
) -> tuple[Ed25519PrivateKey, keys_pb2.RotateAgencyKeyResponse]:
    """A new key is pinned; the test's agency still signs with its old one."""
    fresh = Ed25519PrivateKey.generate()
    values: dict[str, Any] = {
        "request_id": new_request_id(),
        "agency": name,
        "old_fingerprint": consent.agencies[name].key_id,
        "identity_key": signing.public_bytes(fresh),
    }
    request = keys_pb2.RotateAgencyKeyRequest(**{**values, **changes})
    if overlap_s is not None:
        request.overlap.FromSeconds(overlap_s)
    return fresh, operator(consent).RotateAgencyKey(request)


def revoke(consent: World, name: str, fingerprint: str) -> int:
    request = keys_pb2.RevokeAgencyKeyRequest(
        request_id=new_request_id(), agency=name, fingerprint=fingerprint
    )
    return int(operator(consent).RevokeAgencyKey(request).keys_left)


def test_both_keys_hold_for_the_overlap_and_then_the_new_one_alone(consent: World) -> None:
    sent = consent.send(consent.grant(consent.session()))
    old = consent.agencies[B].identity
    fresh, answer = rotate(consent, B)
    assert answer.fingerprint == signing.identity_key_id(signing.public_bytes(fresh))
    assert answer.old_ends_at.seconds == consent.now + OVERLAP_S
    consent.release(sent, key=old)
    consent.release(sent, key=fresh)
    consent.clock.advance(OVERLAP_S - 1)
    consent.release(sent, key=old)
    consent.clock.advance(1)
    with refused(Reason.SIGNATURE_INVALID, by=consent):
        consent.release(sent, key=old)
    consent.release(sent, key=fresh)
    with refused(Reason.SIGNATURE_INVALID):
        consent.record_answer(consent.signed_answer(sent.sealed, key=old))
    consent.record_answer(consent.signed_answer(sent.sealed, key=fresh))


def test_a_manifest_on_file_stays_verifiable_and_a_new_one_needs_the_new_key(
    consent: World,
) -> None:
    grant = consent.grant(consent.session())
    sent = consent.send(grant)
    fresh, _ = rotate(consent, A, overlap_s=60)
    unsent = consent.seal(grant)
    consent.clock.advance(60)
    with refused(Reason.SIGNATURE_INVALID, by=consent):
        consent.authorise(unsent)
    # Under the new key, once both agencies have signed a protocol that names it.
    consent.agencies[A].identity = fresh
    with refused(Reason.PROTOCOL_MISSING, by=consent):
        consent.authorise(consent.seal(grant))
    consent.register_protocol(consent.sign_protocol(consent.protocol()))
    consent.authorise(consent.seal(grant))
    again = consent.authorise(sent.sealed)
    assert again.receipt.index == sent.receipt.index
    with refused(Reason.SIGNATURE_INVALID, by=consent):
        consent.authorise(unsent)


def test_a_protocol_ends_with_the_key_that_it_pins(consent: World) -> None:
    session = consent.session()
    rotate(consent, B, overlap_s=60)
    consent.grant(session)
    consent.clock.advance(60)
    with refused(Reason.PROTOCOL_MISSING):
        consent.grant(session)


def test_a_recipient_key_outlives_the_identity_key_that_signed_it(consent: World) -> None:
    grant = consent.grant(consent.session())
    fresh, _ = rotate(consent, B, overlap_s=60)
    consent.clock.advance(60)
    consent.agencies[B].identity = fresh
    consent.register_protocol(consent.sign_protocol(consent.protocol()))
    consent.send(grant)
    with refused(Reason.SIGNATURE_INVALID):
        old_signs = Ed25519PrivateKey.generate()
        consent.agencies[B].identity = old_signs
        consent.append_key(consent.key_record(B))


def test_a_revoked_key_is_refused_at_once(consent: World) -> None:
    sent = consent.send(consent.grant(consent.session()))
    stolen = consent.agencies[B]
    fresh, _ = rotate(consent, B)
    consent.release(sent)
    assert revoke(consent, B, stolen.key_id) == 1
    with refused(Reason.SIGNATURE_INVALID, by=consent):
        consent.release(sent)
    consent.release(sent, key=fresh)
    # Whoever signed a recipient key with it may have been the thief.
    with refused(Reason.PROTOCOL_MISSING, by=consent):
        consent.send(sent.sealed.manifest.header.grant)
    stolen.identity = fresh
    consent.register_protocol(consent.sign_protocol(consent.protocol()))
    with refused(Reason.SIGNATURE_INVALID, by=consent):
        consent.send(sent.sealed.manifest.header.grant)
    consent.append_key(consent.key_record(B))
    consent.send(sent.sealed.manifest.header.grant)


def test_the_only_key_may_be_revoked_and_the_next_one_pinned_after_it(consent: World) -> None:
    sent = consent.send(consent.grant(consent.session()))
    stolen = consent.agencies[B].key_id
    assert revoke(consent, B, stolen) == 0
    assert revoke(consent, B, stolen) == 0
    with refused(Reason.SIGNATURE_INVALID, by=consent):
        consent.release(sent)
    fresh, _ = rotate(consent, B)
    consent.release(sent, key=fresh)
    with refused(Reason.SIGNATURE_INVALID, by=consent):
        consent.release(sent)


def test_an_overlap_is_never_made_longer_by_the_next_rotation(consent: World) -> None:
    sent = consent.send(consent.grant(consent.session()))
    first = consent.agencies[B].identity
    second, _ = rotate(consent, B, overlap_s=100)
    consent.agencies[B].identity = second
    third, _ = rotate(consent, B, overlap_s=10_000)
    for key in (first, second, third):
        consent.release(sent, key=key)
    consent.clock.advance(100)
    with refused(Reason.SIGNATURE_INVALID):
        consent.release(sent, key=first)
    consent.release(sent, key=second)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"agency": "agency-zz"}, Reason.AGENCY_UNKNOWN),
        ({"old_fingerprint": "0" * 64}, Reason.SIGNATURE_INVALID),
        ({"identity_key": bytes(32)}, Reason.MALFORMED),
    ],
)
def test_a_rotation_that_is_not_right_pins_nothing(
    consent: World, changes: dict[str, Any], reason: Reason
) -> None:
    sent = consent.send(consent.grant(consent.session()))
    with refused(reason):
        rotate(consent, B, **changes)
    with refused(Reason.MALFORMED):
        rotate(consent, B, overlap_s=OVERLAP_MAX_S + 1)
    with refused(Reason.ALREADY_EXISTS):
        rotate(consent, B, identity_key=consent.agencies[A].public)
    with refused(Reason.ALREADY_EXISTS):
        rotate(consent, B, identity_key=consent.agencies[B].public)
    consent.release(sent)


def test_a_key_that_an_agency_ever_had_is_nobodys_next(consent: World) -> None:
    old = consent.agencies[B].public
    rotate(consent, B, overlap_s=0)
    with refused(Reason.ALREADY_EXISTS):
        rotate(consent, A, identity_key=old)


def test_a_repeated_rotation_pins_once(consent: World) -> None:
    fresh = Ed25519PrivateKey.generate()
    request = keys_pb2.RotateAgencyKeyRequest(
        request_id=new_request_id(),
        agency=B,
        old_fingerprint=consent.agencies[B].key_id,
        identity_key=signing.public_bytes(fresh),
    )
    first = operator(consent).RotateAgencyKey(request)
    consent.clock.advance(100)
    assert operator(consent).RotateAgencyKey(request) == first


def test_only_the_operator_replaces_an_identity_key(consent: World) -> None:
    agency = keys_pb2_grpc.KeyServiceStub(consent.channel("agency", B))
    key_id = consent.agencies[B].key_id
    with refused(Reason.NOT_ALLOWED):
        agency.RevokeAgencyKey(
            keys_pb2.RevokeAgencyKeyRequest(
                request_id=new_request_id(), agency=B, fingerprint=key_id
            )
        )
    with refused(Reason.KEY_UNKNOWN):
        revoke(consent, B, "0" * 64)
    with refused(Reason.KEY_UNKNOWN):
        revoke(consent, A, key_id)


# --- by the old key's signature ---------------------------------------------------------------


def succession(
    consent: World, name: str, new: Ed25519PrivateKey, **changes: Any
) -> SignedSuccession:
    old = consent.agencies[name]
    values: dict[str, Any] = {
        "agency": name,
        "old": old.public,
        "new": signing.public_bytes(new),
        "not_before": consent.now,
        "old_until": consent.now + 60,
    }
    return SignedSuccession.sign(Succession(**{**values, **changes}), old.identity, new)


def follow(
    consent: World, name: str, new: Ed25519PrivateKey, signed: SignedSuccession, **changes: Any
) -> keys_pb2.RotateAgencyKeyResponse:
    values: dict[str, Any] = {
        "request_id": new_request_id(),
        "agency": name,
        "old_fingerprint": consent.agencies[name].key_id,
        "identity_key": signing.public_bytes(new),
        "succession": keys_pb2.SignedSuccession(
            succession=signed.succession_bytes,
            signature_old=signed.signature_old,
            signature_new=signed.signature_new,
        ),
    }
    answer: keys_pb2.RotateAgencyKeyResponse = operator(consent).RotateAgencyKey(
        keys_pb2.RotateAgencyKeyRequest(**{**values, **changes})
    )
    return answer


def listed(consent: World, name: str) -> list[keys_pb2.AgencyKey]:
    asked = keys_pb2_grpc.KeyServiceStub(consent.channel("agency", A))
    return list(asked.ListAgencyKeys(keys_pb2.ListAgencyKeysRequest(agency=name)).keys)


def test_a_protocol_goes_on_under_a_key_that_the_old_one_signed_for(consent: World) -> None:
    session = consent.session()
    fresh = Ed25519PrivateKey.generate()
    signed = succession(consent, A, fresh)
    answer = follow(consent, A, fresh, signed)
    assert answer.old_ends_at.seconds == signed.succession.old_until
    # The operator's command may be said again.
    assert follow(consent, A, fresh, signed) == answer
    consent.clock.advance(60)
    old, consent.agencies[A].identity = consent.agencies[A].identity, fresh
    grant = consent.grant(session)
    consent.send(grant)
    newest, before = listed(consent, A)
    assert newest.identity_key == signing.public_bytes(fresh)
    assert newest.succession.succession == signed.succession_bytes
    assert before.not_after.seconds == signed.succession.old_until
    # A theft of the old key ends what it agreed to, though it was retired by then.
    revoke(consent, A, signing.identity_key_id(signing.public_bytes(old)))
    with refused(Reason.PROTOCOL_MISSING):
        consent.grant(session)


def test_a_protocol_does_not_reach_over_a_stolen_key(consent: World) -> None:
    """First, second, third: whoever stole the second may have signed for the third."""
    session = consent.session()
    for _ in range(2):
        fresh = Ed25519PrivateKey.generate()
        follow(consent, B, fresh, succession(consent, B, fresh))
        consent.clock.advance(60)
        middle, consent.agencies[B].identity = consent.agencies[B].key_id, fresh
    consent.grant(session)
    revoke(consent, B, middle)
    with refused(Reason.PROTOCOL_MISSING):
        consent.grant(session)


def test_a_signature_that_is_not_right_pins_nothing(consent: World) -> None:
    fresh, thief = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    good = succession(consent, B, fresh)
    for spoilt in (
        succession(consent, B, thief),
        succession(consent, A, fresh),
        SignedSuccession(good.succession_bytes, good.signature_new, good.signature_new),
        SignedSuccession(good.succession_bytes, good.signature_old, good.signature_old),
    ):
        with refused(Reason.SIGNATURE_INVALID):
            follow(consent, B, fresh, spoilt)
    with refused(Reason.MALFORMED):
        follow(consent, B, fresh, SignedSuccession(b"{}", bytes(64), bytes(64)))
    assert len(listed(consent, B)) == 1
    revoke(consent, B, consent.agencies[B].key_id)
    with refused(Reason.SIGNATURE_INVALID):
        follow(consent, B, fresh, good)


def test_every_agency_sees_which_keys_a_peer_has_and_nobody_else_does(consent: World) -> None:
    assert [key.identity_key for key in listed(consent, B)] == [consent.agencies[B].public]
    with refused(Reason.AGENCY_UNKNOWN):
        listed(consent, "agency-zz")
    portal = keys_pb2_grpc.KeyServiceStub(consent.channel("service", "portal"))
    with refused(Reason.NOT_ALLOWED):
        portal.ListAgencyKeys(keys_pb2.ListAgencyKeysRequest(agency=B))

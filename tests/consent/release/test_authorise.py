"""AuthorizeReferral: what the sender may send, each check with its reason, and what comes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from safehand.consent.v1 import consent_pb2 as pb
from safehand_core import ids
from safehand_core.reasons import Reason
from safehand_core.words import CATEGORIES
from safehand_formats import fields, merkle, signing, token, wraps
from safehand_formats.bodies import decode_body
from safehand_formats.keyrecord import SignedKeyRecord
from safehand_formats.kinds import Kind, grant_tag
from safehand_formats.leaf import Leaf
from safehand_formats.manifest import SignedManifest

from tests.consent.release.world import (
    DAY_S,
    DEFAULT_CATEGORIES,
    ENTROPY,
    A,
    B,
    C,
    Sealed,
    Sent,
    World,
    new_request_id,
    refused,
)


@pytest.fixture
def session(world: World) -> bytes:
    return world.session()


@pytest.fixture
def grant(world: World, session: bytes) -> str:
    return world.grant(session)


def claims_of(world: World, sent: Sent) -> token.TokenClaims:
    """What the referral service reads, verified as it does."""
    public = signing.public_bytes(world.app.context.token_key)
    return token.verify(
        sent.token,
        keys={token.token_key_id(public): public},
        issuer=world.settings.issuer,
        audience=world.settings.audience,
        now=world.now,
        peer_cert_der=_der(world, A),
    )


def _der(world: World, name: str) -> bytes:
    pem = world.tls("agency", name).cert.read_bytes()
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def resigned(world: World, sealed: Sealed, **header: Any) -> Sealed:
    """The same parts under another header, signed by ``A``."""
    manifest = replace(sealed.manifest, header=replace(sealed.manifest.header, **header))
    signed = SignedManifest.sign(manifest, world.agencies[A].identity)
    return replace(sealed, signed=signed, manifest=manifest)


# --- what comes back -----------------------------------------------------------------------------


def test_the_answer_is_outer_wraps_a_bound_token_and_a_proven_entry(
    world: World, grant: str
) -> None:
    sent = world.send(grant)
    digest = sent.sealed.signed.digest
    for part in sent.sealed.manifest.parts:
        key = world.category_key(grant, part.label.category)
        assert key is not None
        inner = wraps.outer_unwrap(key, digest, part.label.id, sent.outer_wraps[part.label.id])
        assert inner == sent.sealed.inner_wraps[part.label.id]
    claims = claims_of(world, sent)
    claims.match(sent.sealed.signed, sent.outer_wraps)
    assert claims.expires_at - claims.issued_at == token.MAX_LIFETIME_S
    assert claims.ledger_index == sent.receipt.index
    assert claims.leaf_hash == merkle.leaf_hash(sent.receipt.leaf)
    assert claims.certificate == token.certificate_thumbprint(_der(world, A))
    body = decode_body(Kind.REFER, sent.receipt.body)
    assert (body["manifest"], body["referral"]) == (sent.sealed.digest, sent.sealed.referral)
    assert body["categories"] == sorted(DEFAULT_CATEGORIES)


def test_the_token_names_the_tag_that_a_revocation_will_carry(
    world: World, session: bytes, grant: str
) -> None:
    claims = claims_of(world, world.send(grant))
    answer = world.stop_grant(session, grant, pb.STOP_MODE_DESTROY_NOW)
    assert Leaf.decode(answer.revoke_receipt.leaf).tag == claims.revoke_tag
    secret = world.portal().GetReceipt(pb.GetReceiptRequest(session=session, grant=grant)).secret
    assert claims.revoke_tag == grant_tag(Kind.REVOKE, secret, 0)


def test_the_token_says_nothing_of_her_or_the_grant(
    world: World, session: bytes, grant: str
) -> None:
    payload = fields.from_b64url(world.send(grant).token.split(".")[1], "token")
    assert grant.encode() not in payload
    assert b"sub" not in payload


def test_the_token_ends_with_the_grant(fresh_world: World) -> None:
    world = fresh_world
    end = world.now + DAY_S
    grant = world.grant(world.session(), world.terms(expires_at={"seconds": end}))
    world.clock.advance(DAY_S - 60)
    sent = world.authorise(world.seal(grant, not_after=end))
    assert claims_of(world, sent).expires_at == end


def test_inner_wraps_are_in_no_file(world: World, grant: str) -> None:
    sent = world.send(grant)
    for path in world.settings.data_dir.iterdir():
        if path.is_file():
            data = path.read_bytes()
            assert all(inner[:64] not in data for inner in sent.sealed.inner_wraps)


# --- repeats -------------------------------------------------------------------------------------


def test_the_same_manifest_again_cites_its_entry_with_a_fresh_token(
    world: World, grant: str
) -> None:
    first = world.send(grant)
    size = world.size
    again = world.authorise(first.sealed)
    assert world.size == size
    assert again.receipt.leaf == first.receipt.leaf
    assert again.receipt.index == first.receipt.index
    assert again.token != first.token
    assert not set(again.outer_wraps) & set(first.outer_wraps)
    claims_of(world, again).match(again.sealed.signed, again.outer_wraps)
    for sent in (first, again):  # the old wraps open too: it is one referral
        world.release(sent)


def test_the_same_request_again_is_the_same_entry(world: World, grant: str) -> None:
    sealed, request_id = world.seal(grant), new_request_id()
    first = world.authorise(sealed, request_id=request_id)
    size = world.size
    assert world.authorise(sealed, request_id=request_id).receipt.index == first.receipt.index
    assert world.size == size
    with refused(Reason.REQUEST_ID_REUSED, by=world):
        world.authorise(world.seal(grant), request_id=request_id)


def test_a_referral_id_is_one_manifests(world: World, grant: str) -> None:
    sent = world.send(grant)
    with refused(Reason.ALREADY_EXISTS, by=world):
        world.authorise(world.seal(grant, referral=sent.sealed.referral))


def test_the_same_manifest_on_a_stopped_grant_is_refused(
    world: World, session: bytes, grant: str
) -> None:
    sealed, request_id = world.seal(grant), new_request_id()
    world.authorise(sealed, request_id=request_id)
    world.stop_grant(session, grant)
    for again in (request_id, new_request_id()):
        with refused(Reason.CONSENT_ENDED, by=world):
            world.authorise(sealed, request_id=again)
    world.resume_grant(session, grant)
    world.authorise(sealed)


def test_a_declined_referral_gets_no_fresh_token(world: World, grant: str) -> None:
    sent = world.send(grant)
    world.decline(sent)
    with refused(Reason.REFERRAL_CLOSED, by=world):
        world.authorise(sent.sealed)


# --- who sends -----------------------------------------------------------------------------------


def test_only_the_sender_itself_may_ask(world: World, grant: str) -> None:
    sealed = world.seal(grant)
    for caller in (B, C):
        with refused(Reason.NOT_ALLOWED, by=world):
            world.authorise(sealed, caller=caller)


def test_a_manifest_that_another_key_signed(world: World, grant: str) -> None:
    sealed = world.seal(grant)
    for key in (Ed25519PrivateKey.generate(), world.agencies[B].identity):
        with refused(Reason.SIGNATURE_INVALID, by=world):
            world.authorise(sealed.signed_by(key))


def test_a_manifest_that_names_another_sender_key(world: World, grant: str) -> None:
    header = replace(world.header(grant), sender_key="0" * 64)
    sealed = world.seal(grant)
    manifest = replace(sealed.manifest, header=header)
    data = manifest.encode()
    signature = signing.sign(world.agencies[A].identity, "safehand/v1/manifest", data)
    with refused(Reason.SIGNATURE_INVALID, by=world):
        world.authorise(replace(sealed, signed=SignedManifest(data, signature)))


def test_an_agency_that_is_not_enrolled(world: World, grant: str) -> None:
    stranger = type(world.agencies[A])("agency-z")
    world.agencies["agency-z"] = stranger
    with refused(Reason.AGENCY_UNKNOWN, by=world):
        world.authorise(world.seal(grant, sender="agency-z"), caller="agency-z")


# --- her grant -----------------------------------------------------------------------------------


def test_a_grant_of_another_agency_sounds_like_none_at_all(world: World, grant: str) -> None:
    world.register_protocol(world.sign_protocol(world.protocol(B, C)), caller=C)
    for which in (grant, ids.new_id(ENTROPY)):
        with refused(Reason.CONSENT_MISSING, by=world):
            world.authorise(world.seal(which, sender=C), caller=C)


def test_another_recipient_than_she_named(world: World, grant: str) -> None:
    sealed = world.seal(grant)
    with refused(Reason.CONSENT_MISSING, by=world):
        world.authorise(resigned(world, sealed, recipient=C))


def test_another_purpose_than_she_named(world: World, grant: str) -> None:
    with refused(Reason.PURPOSE_MISMATCH, by=world):
        world.authorise(world.seal(grant, purpose="legal"))


def test_a_category_that_she_did_not_name(world: World, grant: str) -> None:
    with refused(Reason.SCOPE_EXCEEDED, by=world):
        world.authorise(world.seal(grant, ("CARD", "HEALTH")))


def test_the_card_is_in_every_grant(world: World, session: bytes) -> None:
    grant = world.grant(session, world.terms(("NAME",)))
    world.release(world.send(grant, ("CARD", "NAME")))


def test_a_protocol_must_still_cover_it(fresh_world: World) -> None:
    world = fresh_world
    short = world.protocol(A, C, not_after=world.now + DAY_S)
    world.register_protocol(world.sign_protocol(short))
    world.append_key(world.key_record(C), caller=C)
    grant = world.grant(world.session(), world.terms(recipient_agency=C))
    record = world.agencies[C].records[0]

    def sealed() -> Sealed:
        return world.seal(grant, record=record, recipient=C, recipient_key=record.record.kid)

    world.authorise(sealed())
    world.clock.advance(DAY_S)
    with refused(Reason.PROTOCOL_MISSING, by=world):
        world.authorise(sealed())
    less = tuple(sorted(CATEGORIES.keys() - {"NAME"}))
    world.register_protocol(world.sign_protocol(world.protocol(A, C, categories=less)))
    with refused(Reason.PROTOCOL_MISSING, by=world):
        world.authorise(sealed())
    world.register_protocol(world.sign_protocol(world.protocol(A, C)))
    world.authorise(sealed())


# --- the recipient's key -------------------------------------------------------------------------


def test_a_key_that_has_no_entry(world: World, grant: str) -> None:
    record = world.key_record(B)
    with refused(Reason.KEY_UNKNOWN, by=world):
        world.authorise(world.seal(grant, record=record, recipient_key=record.record.kid))


def test_a_key_that_the_recipient_did_not_sign(world: World, grant: str) -> None:
    """What a directory that substitutes keys would have the sender believe."""
    own = world.key_record(B)
    forged = SignedKeyRecord.sign(own.record, Ed25519PrivateKey.generate())
    with refused(Reason.SIGNATURE_INVALID, by=world):
        world.authorise(world.seal(grant, record=forged, recipient_key=own.record.kid))


def test_a_record_of_another_key_or_agency(world: World, grant: str) -> None:
    sealed = world.seal(grant)
    other_key = world.key_record(B)
    with refused(Reason.MANIFEST_MISMATCH, by=world):
        world.authorise(replace(sealed, record=other_key))
    other_agency = world.key_record(B, agency=C)
    with refused(Reason.MANIFEST_MISMATCH, by=world):
        kid = other_agency.record.kid
        world.authorise(world.seal(grant, record=other_agency, recipient_key=kid))


def test_a_key_that_ends_before_the_manifest(world: World, grant: str) -> None:
    record = world.key_record(B, not_after=world.now + 10 * DAY_S)
    world.append_key(record)
    kid = record.record.kid
    with refused(Reason.KEY_ENDS_TOO_SOON, by=world):
        late = world.now + 10 * DAY_S + 1
        world.authorise(world.seal(grant, record=record, recipient_key=kid, not_after=late))
    until = world.now + 10 * DAY_S
    world.authorise(world.seal(grant, record=record, recipient_key=kid, not_after=until))
    world.append_key(world.key_record(B))


def test_a_key_that_is_not_valid_yet(world: World, grant: str) -> None:
    record = world.key_record(B, not_before=world.now + 1)
    world.append_key(record)
    with refused(Reason.KEY_UNKNOWN, by=world):
        world.authorise(world.seal(grant, record=record, recipient_key=record.record.kid))
    world.append_key(world.key_record(B))


# --- times and wraps -----------------------------------------------------------------------------


def test_a_manifest_must_end_with_the_consent_and_not_be_over(world: World, session: bytes) -> None:
    end = world.now + 5 * DAY_S
    grant = world.grant(session, world.terms(expires_at={"seconds": end}))
    with refused(Reason.EXPIRY_INVALID, by=world):
        world.authorise(world.seal(grant, not_after=end + 1))
    with refused(Reason.EXPIRY_INVALID, by=world):
        world.authorise(world.seal(grant, created=world.now - 10, not_after=world.now))
    world.authorise(world.seal(grant, not_after=end))


def test_a_manifest_that_ends_while_it_waits_is_over(
    fresh_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its entry would be one that it outlived: the ledger's time at the entry decides."""
    world = fresh_world
    sealed = world.seal(world.grant(world.session()), not_after=world.now + 1)
    writer = world.app.context.writer
    submit = writer.submit

    def late(operation: Any, **how: Any) -> Any:
        world.clock.advance(1)
        return submit(operation, **how)

    monkeypatch.setattr(writer, "submit", late)
    with refused(Reason.EXPIRY_INVALID, by=world):
        world.authorise(sealed)


def test_a_manifest_from_the_future(world: World, grant: str) -> None:
    world.authorise(world.seal(grant, created=world.now + 300))
    with refused(Reason.MALFORMED, by=world):
        world.authorise(world.seal(grant, created=world.now + 301))


def test_wraps_that_are_not_the_signed_ones(world: World, grant: str) -> None:
    sealed, other = world.seal(grant), world.seal(grant)
    first, *rest = sealed.inner_wraps
    for wrong in (
        (other.inner_wraps[0], *rest),
        (*rest, first),
        tuple(rest),
        (*sealed.inner_wraps, first),
    ):
        with refused(Reason.MANIFEST_MISMATCH, by=world):
            world.authorise(replace(sealed, inner_wraps=wrong))


@pytest.mark.parametrize("field", ["manifest", "recipient_key_record"])
def test_documents_that_are_not_canonical(world: World, grant: str, field: str) -> None:
    request = world.authorise_request(world.seal(grant))
    setattr(request, field, getattr(request, field) + b" ")
    with refused(Reason.MALFORMED, by=world):
        world.agency(A).AuthorizeReferral(request)


def test_an_expired_grant_is_refused_before_anybody_swept(fresh_world: World) -> None:
    world = fresh_world
    end = world.now + DAY_S
    grant = world.grant(world.session(), world.terms(expires_at={"seconds": end}))
    sealed = world.seal(grant, not_after=end)
    world.clock.advance(DAY_S)
    with refused(Reason.EXPIRY_INVALID, by=world):  # no manifest can end in time any more
        world.authorise(sealed)

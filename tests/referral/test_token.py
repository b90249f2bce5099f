"""The token's negative cases over the wire: each is refused, and nothing is stored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey
from safehand.referral.v1 import referral_pb2_grpc
from safehand_core.reasons import Reason
from safehand_formats import fields, signing, token

from tests.referral.conftest import Refusal
from tests.referral.making import ENTROPY, Draft, thumbprint
from tests.referral.world import World


def _jws(header: dict[str, str], payload: bytes, key: Any, algorithm: str) -> str:
    return jws.serialize_compact(header, payload, key, algorithms=[algorithm])


def _signed(world: World, payload: bytes, **header: str) -> str:
    """``payload`` under consent's real token key, with another header."""
    kid = token.token_key_id(signing.public_bytes(world.token_key))
    fixed = {"alg": "Ed25519", "kid": kid, "typ": "consent+jwt", **header}
    key = OKPKey.import_key(world.token_key)
    return _jws(fixed, payload, key, "Ed25519")


def _refused(world: World, refuses: Refusal, reason: Reason, draft: Draft, text: str) -> None:
    with refuses(reason):
        world.a.referral.CreateReferral(world.create_request(draft, text))


def test_a_right_token_made_by_this_test_is_taken(world: World) -> None:
    draft = world.draft()
    text = _signed(world, world.claims(draft).encode())
    world.a.referral.CreateReferral(world.create_request(draft, text))


def test_without_a_signature(world: World, refuses: Refusal) -> None:
    draft = world.draft()
    header = fields.to_b64url(b'{"alg":"none","kid":"00000000","typ":"consent+jwt"}')
    payload = fields.to_b64url(world.claims(draft).encode())
    _refused(world, refuses, Reason.TOKEN_INVALID, draft, f"{header}.{payload}.")


def test_hmac_under_the_public_key(world: World, refuses: Refusal) -> None:
    draft = world.draft()
    public = signing.public_bytes(world.token_key)
    header = {"alg": "HS256", "kid": token.token_key_id(public), "typ": "consent+jwt"}
    text = _jws(header, world.claims(draft).encode(), OctKey.import_key(public), "HS256")
    _refused(world, refuses, Reason.TOKEN_INVALID, draft, text)


def test_another_curve(world: World, refuses: Refusal) -> None:
    draft = world.draft()
    kid = token.token_key_id(signing.public_bytes(world.token_key))
    key = ECKey.import_key(ec.generate_private_key(ec.SECP256R1()))
    header = {"alg": "ES256", "kid": kid, "typ": "consent+jwt"}
    text = _jws(header, world.claims(draft).encode(), key, "ES256")
    _refused(world, refuses, Reason.TOKEN_INVALID, draft, text)


@pytest.mark.parametrize("named", ["own", "consents"])
def test_another_key(world: World, refuses: Refusal, named: str) -> None:
    """Under its own key id, and under consent's."""
    draft = world.draft()
    other = Ed25519PrivateKey.from_private_bytes(ENTROPY.bytes(32))
    payload = world.claims(draft).encode()
    if named == "own":
        text = token.mint(world.claims(draft), other)
    else:
        kid = token.token_key_id(signing.public_bytes(world.token_key))
        header = {"alg": "Ed25519", "kid": kid, "typ": "consent+jwt"}
        text = _jws(header, payload, OKPKey.import_key(other), "Ed25519")
    _refused(world, refuses, Reason.TOKEN_INVALID, draft, text)


def test_another_type(world: World, refuses: Refusal) -> None:
    draft = world.draft()
    text = _signed(world, world.claims(draft).encode(), typ="JWT")
    _refused(world, refuses, Reason.TOKEN_INVALID, draft, text)


def test_another_key_id(world: World, refuses: Refusal) -> None:
    draft = world.draft()
    text = _signed(world, world.claims(draft).encode(), kid="00000000")
    _refused(world, refuses, Reason.TOKEN_INVALID, draft, text)


def test_duplicate_keys(world: World, refuses: Refusal) -> None:
    draft = world.draft()
    payload = world.claims(draft).encode()
    doubled = payload[:-1] + b',"iss":' + json.dumps("https://x.example").encode() + b"}"
    _refused(world, refuses, Reason.TOKEN_INVALID, draft, _signed(world, doubled))


@pytest.mark.parametrize(
    "changes",
    [
        {"audience": "https://other.safehand.example"},
        {"issuer": "https://other.safehand.example"},
        {"certificate": bytes(32)},
        {"recipient": "c-agency"},
        {"purpose": "housing"},
        {"categories": ("CARD",)},
        {"categories": ("CARD", "CONTACT", "NAME")},
        {"manifest_digest": bytes(32)},
        {"outer_wraps_digest": bytes(32)},
    ],
    ids=lambda changes: "-".join(f"{k}" for k in changes),
)
def test_a_claim_that_is_not_this_requests(
    world: World, refuses: Refusal, changes: dict[str, Any]
) -> None:
    draft = world.draft()
    with refuses(Reason.TOKEN_INVALID):
        world.a.referral.CreateReferral(world.create_request(draft, **changes))


def test_the_token_of_another_manifest(world: World, refuses: Refusal) -> None:
    draft, other = world.draft(), world.draft()
    text = token.mint(world.claims(other), world.token_key)
    _refused(world, refuses, Reason.TOKEN_INVALID, draft, text)


def test_a_second_certificate_of_the_sender(world: World, refuses: Refusal) -> None:
    """The same SPIFFE id is not enough: the token names the certificate itself."""
    draft = world.draft()
    request = world.create_request(draft)
    tls = world.party("agency", world.a.name, again="-second")
    second = referral_pb2_grpc.ReferralServiceStub(world.channel(tls))
    with refuses(Reason.TOKEN_INVALID):
        second.CreateReferral(request)
    world.a.referral.CreateReferral(request)


def test_a_token_stolen_by_another_agency(world: World, refuses: Refusal) -> None:
    """Even with a token bound to the thief's own certificate the manifest names its sender."""
    draft = world.draft()
    request = world.create_request(draft, certificate=thumbprint(world.c))
    with refuses(Reason.NOT_ALLOWED):
        world.c.referral.CreateReferral(request)


def test_expired_by_one_second_and_by_none(world: World, refuses: Refusal) -> None:
    for late in (300, 301):
        draft = world.draft()
        request = world.create_request(draft)
        world.clock.advance(late)
        with refuses(Reason.TOKEN_EXPIRED):
            world.a.referral.CreateReferral(request)
    draft = world.draft()
    request = world.create_request(draft)
    world.clock.advance(299)
    world.a.referral.CreateReferral(request)


def test_not_valid_yet(world: World, refuses: Refusal) -> None:
    draft = world.draft()
    request = world.create_request(draft, not_before=world.clock.wall() + 1)
    with refuses(Reason.TOKEN_INVALID):
        world.a.referral.CreateReferral(request)
    world.clock.advance(1)
    world.a.referral.CreateReferral(request)


def test_oversized(world: World, refuses: Refusal) -> None:
    draft = world.draft()
    valid = token.mint(world.claims(draft), world.token_key)
    with refuses(Reason.MALFORMED):
        world.a.referral.CreateReferral(world.create_request(draft, valid + "A" * 8192))


@pytest.mark.parametrize("text", ["x", "a.b", "a.b.c", "....", "é.b.c"])
def test_what_is_no_token_at_all(world: World, refuses: Refusal, text: str) -> None:
    _refused(world, refuses, Reason.TOKEN_INVALID, world.draft(), text)

"""Who may ask what is happening: a ticket is for one certificate, one minute, and what it names."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safehand.referral.v1 import referral_pb2 as pb
from safehand_core.reasons import Reason
from safehand_formats import token

from tests.referral.conftest import Refusal
from tests.referral.making import ENTROPY
from tests.referral.ticketing import Pages, thumbprint
from tests.referral.world import World


@pytest.fixture(scope="module")
def pages(world: World) -> Pages:
    return Pages(world)


@pytest.fixture(scope="module")
def referral(world: World) -> str:
    """One that is known, so that a ticket is all that can be wrong."""
    return world.create().referral


@pytest.mark.parametrize("age", [0, 59, 60, 61])
def test_a_ticket_is_over_after_a_minute(
    world: World, pages: Pages, referral: str, refuses: Refusal, age: int
) -> None:
    ticket = pages.ticket(referral)
    world.clock.advance(age)
    if age < 60:
        assert [step.referral for step in pages.listed(ticket)] == [referral]
        assert pages.listed(ticket), "it may be used again: it only lets read"
        return
    with refuses(Reason.TOKEN_EXPIRED):
        pages.listed(ticket)


def test_not_valid_yet(world: World, pages: Pages, referral: str, refuses: Refusal) -> None:
    with refuses(Reason.TOKEN_INVALID):
        pages.steps(referral, now=world.clock.wall() + 1)


def test_a_ticket_of_another_certificate_of_the_portal(
    world: World, pages: Pages, referral: str, refuses: Refusal
) -> None:
    other = Pages(world, again="-2")
    assert other.steps(referral)
    with refuses(Reason.TOKEN_INVALID):
        other.listed(pages.ticket(referral))


@pytest.mark.parametrize("whose", ["portals", "own"])
def test_an_agency_is_refused_whatever_ticket_it_stole(
    world: World, pages: Pages, referral: str, refuses: Refusal, whose: str
) -> None:
    """Also one that a lying consent signed for the agency's own certificate."""
    own = {"certificate_sha256": thumbprint(world.b.tls)} if whose == "own" else {}
    request = pb.ListStepsRequest(ticket=pages.ticket(referral, **own))
    for agency in (world.a, world.b, world.c):
        with refuses(Reason.NOT_ALLOWED):
            agency.referral.ListSteps(request)


@pytest.mark.parametrize(
    "changed",
    [{"issuer": "https://other.example"}, {"audience": "https://notify.safehand.example"}],
    ids=["issuer", "audience"],
)
def test_a_ticket_for_another_place(
    pages: Pages, referral: str, refuses: Refusal, changed: dict[str, Any]
) -> None:
    with refuses(Reason.TOKEN_INVALID):
        pages.steps(referral, **changed)


def test_a_ticket_that_consent_did_not_sign(pages: Pages, referral: str, refuses: Refusal) -> None:
    stranger = Ed25519PrivateKey.from_private_bytes(ENTROPY.bytes(32))
    with refuses(Reason.TOKEN_INVALID):
        pages.steps(referral, key=stranger)


def test_a_ticket_with_other_referrals_than_were_signed(
    world: World, pages: Pages, referral: str, refuses: Refusal
) -> None:
    head, _, tail = pages.ticket(world.create().referral).split(".")
    _, body, _ = pages.ticket(referral).split(".")
    with refuses(Reason.TOKEN_INVALID):
        pages.listed(f"{head}.{body}.{tail}")


def test_a_consent_token_is_no_ticket_and_a_ticket_no_consent_token(
    world: World, pages: Pages, refuses: Refusal
) -> None:
    draft = world.draft()
    claims = world.claims(draft, certificate=thumbprint(pages.tls))
    with refuses(Reason.TOKEN_INVALID):
        pages.listed(token.mint(claims, world.token_key))
    ticket = pages.ticket(draft.referral, certificate_sha256=thumbprint(world.a.tls))
    with refuses(Reason.TOKEN_INVALID):
        world.a.referral.CreateReferral(world.create_request(draft, ticket))


@pytest.mark.parametrize("text", ["", "x", "..", "a.b.c", "x" * 16385])
def test_what_is_no_ticket_at_all(pages: Pages, refuses: Refusal, text: str) -> None:
    malformed = text == "" or len(text) > 16384
    with refuses(Reason.MALFORMED if malformed else Reason.TOKEN_INVALID):
        pages.listed(text)

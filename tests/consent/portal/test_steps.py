"""What is happening: her referrals, and the ticket with which referral tells of these alone."""

from __future__ import annotations

import ssl

import pytest
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import signing, steps_ticket, token

from tests.consent.portal.world import (
    MINUTE,
    REFERRAL,
    A,
    B,
    Her,
    PortalWorld,
    refused,
)


def _certificate(world: PortalWorld, name: str = "portal") -> bytes:
    pem = world.tls("service", "portal") if name == "portal" else world.tls("agency", name)
    return token.certificate_thumbprint(ssl.PEM_cert_to_DER_cert(pem.cert.read_text()))


def _named(world: PortalWorld, ticket: str, *, by: str = "portal", late: int = 0) -> list[str]:
    """The referrals of a ticket, as referral reads it."""
    public = signing.public_bytes(world.app.context.token_key)
    return list(
        steps_ticket.verify(
            ticket,
            {token.token_key_id(public): public},
            issuer=world.settings.issuer,
            audience=world.settings.audience,
            certificate_sha256=_certificate(world, by),
            now=world.now + late,
        )
    )


def test_her_referrals_newest_first_and_a_ticket_for_them(
    pages_world: PortalWorld, she: Her
) -> None:
    grant = pages_world.give(she)
    first = pages_world.send(grant)
    at_first = pages_world.now
    pages_world.later(MINUTE)
    second = pages_world.send(grant)
    answer = pages_world.steps(she)
    assert [step.referral for step in answer.steps] == [
        second.sealed.referral,
        first.sealed.referral,
    ]
    step = answer.steps[1]
    assert (step.sender_name, step.recipient_name) == (f"The {A}", f"The {B}")
    assert (step.purpose, step.sent_at.seconds) == ("housing", at_first)
    assert step.sharing == pages_world.only(she).number
    assert step.number == pages_world.number(she, first.sealed.referral, REFERRAL)
    assert _named(pages_world, answer.ticket) == [step.referral for step in answer.steps]


def test_a_ticket_is_for_the_portal_and_for_one_minute(pages_world: PortalWorld, she: Her) -> None:
    pages_world.send(pages_world.give(she))
    ticket = pages_world.steps(she).ticket
    assert _named(pages_world, ticket, late=59)
    for how, reason in (
        ({"late": 60}, Reason.TOKEN_EXPIRED),
        ({"by": A}, Reason.TOKEN_INVALID),
    ):
        with pytest.raises(SafehandError) as caught:
            _named(pages_world, ticket, **how)
        assert caught.value.reason is reason


def test_where_nothing_was_sent_there_is_no_ticket(pages_world: PortalWorld, she: Her) -> None:
    pages_world.give(she)
    answer = pages_world.steps(she)
    assert (answer.ticket, len(answer.steps)) == ("", 0)


def test_a_referral_that_was_sealed_again_is_one_step(pages_world: PortalWorld, she: Her) -> None:
    sent = pages_world.send(pages_world.give(she))
    at_first = pages_world.now
    pages_world.later(MINUTE)
    newer = pages_world.give(she)
    sealed = pages_world.seal(newer, referral=sent.sealed.referral, reseals=sent.sealed.digest)
    pages_world.authorise(sealed)
    (step,) = pages_world.steps(she).steps
    assert step.referral == sent.sealed.referral
    assert step.sharing == pages_world.number(she, newer)
    assert step.sent_at.seconds == at_first


def test_a_step_goes_on_while_sharing_is_stopped(pages_world: PortalWorld, she: Her) -> None:
    sent = pages_world.send(pages_world.give(she))
    pages_world.stop_all(she)
    assert _named(pages_world, pages_world.steps(she).ticket) == [sent.sealed.referral]


def test_at_most_a_hundred_the_newest(pages_world: PortalWorld, she: Her) -> None:
    grant = pages_world.give(she)
    pages_world.send(grant)
    more = 104
    for number in range(more):
        pages_world.store.execute(
            "INSERT INTO refer SELECT ?, manifest, signature, ?, grant_id, sender, recipient, "
            "recipient_key, not_after, service, urgency, ?, referred_at, replaced_by "
            "FROM refer ORDER BY refer_index LIMIT 1",
            f"{number:064x}",
            f"{number:032x}",
            1_000_000 + number,
        )
    answer = pages_world.steps(she)
    expected = [f"{number:032x}" for number in range(more - 1, more - 101, -1)]
    assert [step.referral for step in answer.steps] == expected
    assert _named(pages_world, answer.ticket) == expected


def test_what_is_hidden_is_in_no_ticket(pages_world: PortalWorld, she: Her) -> None:
    one, other = pages_world.give(she), pages_world.give(she)
    steps = [pages_world.send(grant).sealed.referral for grant in (one, one, other)]
    pages_world.hide(she, pages_world.number(she, steps[0], REFERRAL))
    pages_world.hide(she, pages_world.number(she, other))
    answer = pages_world.steps(she)
    assert [step.referral for step in answer.steps] == [steps[1]]
    assert _named(pages_world, answer.ticket) == [steps[1]]
    with refused(Reason.NOT_FOUND):
        pages_world.hide(she, pages_world.number(she, steps[2], REFERRAL))


def test_nobody_elses_referral_is_in_a_ticket(pages_world: PortalWorld, she: Her) -> None:
    pages_world.send(pages_world.give(she))
    other = pages_world.her()
    mine = pages_world.send(pages_world.give(other)).sealed.referral
    assert _named(pages_world, pages_world.steps(other).ticket) == [mine]
    with refused(Reason.SESSION_INVALID):
        pages_world.steps(Her(she.card, she.ref, bytes(32)))

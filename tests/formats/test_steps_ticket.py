"""The steps ticket: for one certificate, one minute and the referrals that it names.

The corpus of confusions is in ``tests/vectors/steps-ticket.json`` and runs in ``test_vectors``.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safehand_core.reasons import Reason
from safehand_formats import steps_ticket, token

from tests.formats import strategies
from tests.formats.test_messages import refusal
from tests.vectors import parties as p
from tests.vectors import tickets, tokens

KEYS = {tokens.KID: p.TOKEN_PUBLIC}
THUMBPRINT = token.certificate_thumbprint(tickets.CERTIFICATE)


def _verify(text: str, **changed: Any) -> tuple[str, ...]:
    surroundings: dict[str, Any] = {
        "issuer": tokens.ISSUER,
        "audience": tokens.AUDIENCE,
        "certificate_sha256": THUMBPRINT,
        "now": p.NOW,
    }
    return steps_ticket.verify(text, KEYS, **{**surroundings, **changed})


@given(st.lists(strategies.ids16, min_size=1, max_size=100, unique=True))
def test_a_ticket_gives_back_its_referrals_in_their_order(referrals: list[str]) -> None:
    text = tickets.ticket(referrals=referrals)
    assert len(text) <= token.MAX_TOKEN_BYTES
    assert _verify(text) == tuple(referrals)


@given(data=st.data())
def test_any_changed_letter_of_a_ticket_is_refused(data: st.DataObject) -> None:
    text = tickets.ticket()
    position = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters().filter(lambda other: other != text[position]))
    with refusal(Reason.TOKEN_INVALID):
        _verify(text[:position] + letter + text[position + 1 :])


@given(st.text() | st.text("AQIDeyJ._-=", max_size=200))
def test_text_that_is_no_ticket_is_refused(text: str) -> None:
    with refusal(Reason.TOKEN_INVALID):
        _verify(text)


@pytest.mark.parametrize("now", [p.NOW - 1, p.NOW, p.NOW + 59, p.NOW + 60])
def test_a_ticket_is_good_for_one_minute_to_the_second(now: int) -> None:
    text = tickets.ticket()
    if p.NOW <= now < p.NOW + 60:
        assert _verify(text, now=now) == tickets.REFERRALS
        return
    with refusal(Reason.TOKEN_INVALID if now < p.NOW else Reason.TOKEN_EXPIRED):
        _verify(text, now=now)


@pytest.mark.parametrize(
    "changed",
    [
        {"certificate_sha256": token.certificate_thumbprint(b"another")},
        {"issuer": "https://other.example"},
        {"audience": "notify.safehand.example"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_ticket_of_others_is_invalid_even_when_it_is_over(changed: dict[str, Any]) -> None:
    for now in (p.NOW, p.NOW + 60):
        with refusal(Reason.TOKEN_INVALID):
            _verify(tickets.ticket(), **changed, now=now)


def test_a_consent_token_is_no_ticket_and_a_ticket_no_consent_token() -> None:
    consent = token.mint(tokens.claims(), p.TOKEN_KEY)
    with refusal(Reason.TOKEN_INVALID):
        _verify(consent, certificate_sha256=token.certificate_thumbprint(tokens.CERTIFICATE))
    with refusal(Reason.TOKEN_INVALID):
        token.verify(
            tickets.ticket(),
            keys=KEYS,
            issuer=tokens.ISSUER,
            audience=tokens.AUDIENCE,
            now=p.NOW,
            peer_cert_der=tickets.CERTIFICATE,
        )


def test_not_the_type_alone_keeps_them_apart() -> None:
    """Neither has the claims of the other."""
    consent = token.sign_payload(tokens.claims().encode(), p.TOKEN_KEY, steps_ticket.TYPE)
    with refusal(Reason.TOKEN_INVALID):
        _verify(consent, certificate_sha256=token.certificate_thumbprint(tokens.CERTIFICATE))


@pytest.mark.parametrize(
    "changed",
    [
        {"referrals": []},
        {"referrals": [p.random_id(f"step {number}") for number in range(101)]},
        {"referrals": [p.random_id("a step")] * 2},
        {"referrals": ["A" * 32]},
        {"certificate_sha256": bytes(31)},
        {"jti": "0" * 31},
        {"issuer": "two words"},
        {"now": -1},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_no_ticket_can_say_is_not_minted(changed: dict[str, Any]) -> None:
    with refusal(Reason.MALFORMED):
        tickets.ticket(**changed)


def test_a_ticket_is_not_minted_under_the_name_of_another_key() -> None:
    with refusal(Reason.MALFORMED):
        steps_ticket.mint(
            p.STRANGER,
            tokens.KID,
            issuer=tokens.ISSUER,
            audience=tokens.AUDIENCE,
            certificate_sha256=THUMBPRINT,
            referrals=tickets.REFERRALS,
            now=p.NOW,
            jti=p.random_id("ticket"),
        )

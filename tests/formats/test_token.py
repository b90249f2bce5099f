"""The consent token: minted once, refused when anything about it is not exactly so.

The corpus of confusions (none, HS256, other curves, duplicate keys, crit, spelling) is in
``tests/vectors/token.json`` and runs in ``test_vectors``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safehand_core.reasons import Reason
from safehand_core.words import CATEGORIES, PURPOSES
from safehand_formats import signing, token

from tests.formats import strategies
from tests.formats.test_messages import refusal
from tests.vectors import parties as p
from tests.vectors import sealed, tokens

KEYS = {tokens.KID: p.TOKEN_PUBLIC}


def _verify(text: str, **changed: Any) -> token.TokenClaims:
    surroundings: dict[str, Any] = {
        "keys": KEYS,
        "issuer": tokens.ISSUER,
        "audience": tokens.AUDIENCE,
        "now": p.NOW,
        "peer_cert_der": tokens.CERTIFICATE,
    }
    return token.verify(text, **{**surroundings, **changed})


@given(strategies.token_claims())
def test_a_minted_token_verifies_to_its_claims(claims: token.TokenClaims) -> None:
    claims = replace(claims, certificate=token.certificate_thumbprint(tokens.CERTIFICATE))
    text = token.mint(claims, p.TOKEN_KEY)
    here = {"issuer": claims.issuer, "audience": claims.audience, "now": claims.not_before}
    assert _verify(text, **here) == claims
    with refusal(Reason.TOKEN_INVALID):
        _verify(text, **{**here, "peer_cert_der": b"another"})


@given(data=st.data())
def test_any_changed_letter_of_a_token_is_refused(data: st.DataObject) -> None:
    text = token.mint(tokens.claims(), p.TOKEN_KEY)
    assert _verify(text) == tokens.claims()
    position = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters().filter(lambda other: other != text[position]))
    with refusal(Reason.TOKEN_INVALID):
        _verify(text[:position] + letter + text[position + 1 :])


@given(st.text() | st.text("AQIDeyJ._-=", max_size=200))
def test_text_that_is_no_token_is_refused(text: str) -> None:
    with refusal(Reason.TOKEN_INVALID):
        _verify(text)


@pytest.mark.parametrize("now", [p.NOW - 1, p.NOW, p.NOW + 299, p.NOW + 300, p.NOW + 301])
def test_a_token_is_valid_to_the_second(now: int) -> None:
    text = token.mint(tokens.claims(), p.TOKEN_KEY)
    if p.NOW <= now < p.NOW + 300:
        assert _verify(text, now=now) == tokens.claims()
        return
    with refusal(Reason.TOKEN_INVALID if now < p.NOW else Reason.TOKEN_EXPIRED):
        _verify(text, now=now)


def test_an_expired_token_of_another_certificate_is_invalid_before_it_is_expired() -> None:
    text = token.mint(tokens.claims(), p.TOKEN_KEY)
    with refusal(Reason.TOKEN_INVALID):
        _verify(text, now=p.NOW + 301, peer_cert_der=b"another")


def test_a_token_is_matched_with_its_manifest_and_wraps() -> None:
    claims, signed, outer = tokens.claims(), sealed.signed_manifest(), sealed.outer_wraps()
    claims.match(signed, outer)
    with refusal(Reason.TOKEN_INVALID):
        claims.match(signed, outer[::-1])


def test_the_largest_claims_stay_within_the_limit() -> None:
    largest = replace(
        tokens.claims(),
        issuer="i" * 200,
        audience="a" * 200,
        issued_at=2**53 - 301,
        not_before=2**53 - 301,
        expires_at=2**53 - 1,
        recipient="r" * 40,
        purpose=max(PURPOSES, key=len),
        categories=tuple(sorted(CATEGORIES)),
        ledger_origin="o" * 255,
        ledger_index=2**53 - 1,
    )
    assert len(token.mint(largest, p.TOKEN_KEY)) <= token.MAX_TOKEN_BYTES


def test_a_token_key_has_another_id_than_the_same_bytes_as_an_identity_key() -> None:
    assert not signing.identity_key_id(p.TOKEN_PUBLIC).startswith(tokens.KID)

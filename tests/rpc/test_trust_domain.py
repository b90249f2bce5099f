"""Whose names mean anything here: only those of one trust domain, character by character."""

from __future__ import annotations

import pytest
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_rpc.identity import TRUST_DOMAIN, parse_spiffe_id


def test_a_name_of_ours_is_read() -> None:
    assert parse_spiffe_id(f"spiffe://{TRUST_DOMAIN}/agency/harbour") == ("agency", "harbour")


@pytest.mark.parametrize("at", range(len(TRUST_DOMAIN)))
def test_a_domain_that_differs_in_one_letter_is_another(at: int) -> None:
    """Of the same length, so that nothing but the comparison can tell it."""
    domain = TRUST_DOMAIN[:at] + ("x" if TRUST_DOMAIN[at] != "x" else "y") + TRUST_DOMAIN[at + 1 :]
    with pytest.raises(SafehandError) as refused:
        parse_spiffe_id(f"spiffe://{domain}/agency/harbour")
    assert refused.value.reason is Reason.UNAUTHENTICATED


@pytest.mark.parametrize("scheme", ["SPIFFE://", "https://", "spiffe:/", ""])
def test_another_scheme_names_nobody(scheme: str) -> None:
    with pytest.raises(SafehandError) as refused:
        parse_spiffe_id(f"{scheme}{TRUST_DOMAIN}/agency/harbour")
    assert refused.value.reason is Reason.UNAUTHENTICATED

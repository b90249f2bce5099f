"""One caller holds its share of a method's threads, and nobody else's."""

from __future__ import annotations

import pytest
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_rpc.identity import Principal, spiffe_id
from safehand_rpc.shares import Shares

PATH = "/x.Y/Z"


def principal(name: str) -> Principal:
    return Principal("agency", name, spiffe_id("agency", name), b"")


def test_a_caller_has_so_many_at_once_and_gets_them_back() -> None:
    shares = Shares({PATH: 2})
    one, other = principal("one"), principal("other")
    with shares.hold(PATH, one), shares.hold(PATH, one):
        with pytest.raises(SafehandError) as refused, shares.hold(PATH, one):
            pass
        assert refused.value.reason is Reason.OVERLOADED
        with shares.hold(PATH, other), shares.hold("/x.Y/Other", one):
            pass
    with shares.hold(PATH, one), shares.hold(PATH, one):
        pass
    assert not shares._held


def test_a_share_is_given_back_when_the_call_fails() -> None:
    shares = Shares({PATH: 1})
    for _ in range(3):
        with pytest.raises(ValueError, match="failed"), shares.hold(PATH, principal("one")):
            raise ValueError("failed")

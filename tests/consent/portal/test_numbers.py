"""Numbers that only one session knows: what they are made of, and that nothing is found twice."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safehand.consent.v1 import consent_pb2
from safehand_consent_service import portal_numbers
from safehand_consent_service.portal_numbers import (
    ASK,
    GRANT,
    LOOK,
    ORGANISATION,
    REFERRAL,
    Kind,
    Numbers,
)
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.consent.portal.world import B, Her, PortalWorld, refused
from tests.logged import captured

KINDS: tuple[Kind, ...] = (GRANT, ASK, REFERRAL, LOOK, ORGANISATION)


def test_a_number_is_ten_digits_of_an_hmac_under_her_session(
    pages_world: PortalWorld, she: Her
) -> None:
    grant = pages_world.give(she)
    message = b"safehand/v1/number\0grant\0" + grant.encode()
    digest = hmac.new(she.session, message, hashlib.sha256).digest()
    expected = str(int.from_bytes(digest, "big") % 10**10).zfill(10)
    assert pages_world.only(she).number == expected
    assert pages_world.only(she).number == expected


def test_another_session_has_other_numbers_for_everything(
    pages_world: PortalWorld, she: Her
) -> None:
    sent = pages_world.send(pages_world.give(she))
    pages_world.look(sent)
    pages_world.ask(she, purpose="health")
    again = pages_world.again(she)
    one, other = _all_numbers(pages_world, she), _all_numbers(pages_world, again)
    assert len(one) == len(other) == len(KINDS)
    assert not one & other


def _all_numbers(world: PortalWorld, her: Her) -> set[str]:
    listed, seen = world.sharing(her), world.seen(her)
    rows: list[Any] = [*listed.sharings, *listed.asked, *seen.seen, *seen.organisations]
    return {row.number for row in (*rows, *world.steps(her).steps)}


def test_a_number_that_means_two_things_means_nothing(
    pages_world: PortalWorld, she: Her, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages_world.give(she)
    monkeypatch.setattr(portal_numbers, "_MODULUS", 1)
    only = pages_world.only(she).number
    pages_world.give(she)
    for call in (pages_world.one, pages_world.stop_one, pages_world.destroy, pages_world.hide):
        with refused(Reason.NOT_FOUND, by=pages_world):
            call(she, only)
    states = {one.state for one in pages_world.sharing(she).sharings}
    assert states == {consent_pb2.GRANT_STATE_ACTIVE}
    # All of it needs no number.
    assert len(pages_world.stop_all(she).stopped) == 2


def test_a_number_of_two_kinds_hides_neither(
    pages_world: PortalWorld, she: Her, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages_world.give(she)
    pages_world.ask(she, purpose="health")
    monkeypatch.setattr(portal_numbers, "_MODULUS", 1)
    with refused(Reason.NOT_FOUND):
        pages_world.hide(she, pages_world.only(she).number)
    assert len(pages_world.sharing(she).asked) == 1


def test_no_number_and_no_session_is_in_a_log(pages_world: PortalWorld, she: Her) -> None:
    with captured("consent") as stream:
        grant = pages_world.give(she)
        pages_world.ask(she, purpose="health")
        number = pages_world.only(she).number
        pages_world.stop_one(she, number)
        pages_world.undo(she, number)
        pages_world.stop_all(she)
        pages_world.seen(she, sharing=number)
        pages_world.hide(she, number)
        with refused(Reason.NOT_FOUND):
            pages_world.one(she, number)
        pages_world.show_all(she)
    logged = stream.getvalue()
    assert "PortalService" in logged
    for secret in (number, grant, she.session.hex(), she.ref, she.card.number, she.card.pin, B):
        assert secret not in logged


@given(st.binary(min_size=32, max_size=32), st.sets(st.text(max_size=40), max_size=30))
def test_each_item_is_found_by_its_own_number(secret: bytes, items: set[str]) -> None:
    numbers = Numbers(secret)
    listed = sorted(items)
    made = [numbers.of(GRANT, item) for item in listed]
    for item, number in zip(listed, made, strict=True):
        assert number.isdecimal()
        assert len(number) == 10
        if made.count(number) == 1:
            assert numbers.find(GRANT, number, listed) == item
        for kind in KINDS[1:]:
            assert numbers.of(kind, item) != number


def test_what_has_no_such_number_is_not_found() -> None:
    numbers = Numbers(bytes(32))
    with pytest.raises(SafehandError) as caught:
        numbers.find(GRANT, numbers.of(GRANT, "one"), ["two", "three"])
    assert caught.value.reason is Reason.NOT_FOUND
    assert bytes(32).hex() not in repr(numbers)
    assert repr(bytes(32)) not in repr(numbers)

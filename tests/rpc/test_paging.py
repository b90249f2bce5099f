"""A page token works for the request that it was made for, and for no other."""

from __future__ import annotations

import pytest
from safehand_core.reasons import Reason
from safehand_rpc.paging import PAGE_DEFAULT, PAGE_MAX, POSITION_MAX_BYTES, Pager, page_size

from tests.rpc.conftest import Echo, refusal

KEY = b"k" * 32
HARBOUR = "spiffe://safehand.example/agency/harbour"


@pytest.mark.parametrize(
    ("requested", "given"), [(0, PAGE_DEFAULT), (1, 1), (PAGE_MAX, PAGE_MAX), (10**6, PAGE_MAX)]
)
def test_sizes_are_coerced(requested: int, given: int) -> None:
    assert page_size(requested) == given


def test_a_negative_size_is_malformed() -> None:
    error = refusal(lambda: page_size(-1))
    assert (error.reason, error.metadata) == (Reason.MALFORMED, {"field": "page_size"})


def test_the_first_page_has_no_position(echo: Echo) -> None:
    assert Pager(KEY).position(echo.pb.EchoRequest(), scope=HARBOUR) is None


@pytest.mark.parametrize("position", ["", "42", "2026-11-20/ü", "x" * POSITION_MAX_BYTES])
def test_a_token_leads_back_to_its_position(echo: Echo, position: str) -> None:
    request = echo.pb.EchoRequest(text="a", page_size=5)
    request.page_token = Pager(KEY).token(position, request, scope=HARBOUR)
    request.page_size = 7  # may change between pages
    assert Pager(KEY).position(request, scope=HARBOUR) == position


def test_every_changed_character_is_noticed(echo: Echo) -> None:
    request = echo.pb.EchoRequest(text="a")
    token = Pager(KEY).token("1000", request, scope=HARBOUR)
    for index, letter in enumerate(token):
        changed = "A" if letter != "A" else "B"
        request.page_token = token[:index] + changed + token[index + 1 :]
        error = refusal(lambda: Pager(KEY).position(request, scope=HARBOUR))
        assert error.reason is Reason.PAGE_TOKEN_INVALID


@pytest.mark.parametrize("token", ["x", "!!!!", "AAAA", "A" * 30, "é", "A" * 22 + "\n"])
def test_noise_is_no_token(echo: Echo, token: str) -> None:
    request = echo.pb.EchoRequest(page_token=token)
    error = refusal(lambda: Pager(KEY).position(request, scope=HARBOUR))
    assert error.reason is Reason.PAGE_TOKEN_INVALID


def test_another_caller_argument_message_or_key_makes_it_useless(echo: Echo) -> None:
    request = echo.pb.EchoRequest(text="a")
    request.page_token = Pager(KEY).token("1", request, scope=HARBOUR)
    other = echo.pb.EchoRequest(text="b", page_token=request.page_token)
    for attempt in (
        lambda: Pager(KEY).position(request, scope=HARBOUR + "2"),
        lambda: Pager(KEY).position(other, scope=HARBOUR),
        lambda: Pager(b"l" * 32).position(request, scope=HARBOUR),
    ):
        assert refusal(attempt).reason is Reason.PAGE_TOKEN_INVALID


def test_a_position_too_long_for_a_token_is_a_bug(echo: Echo) -> None:
    with pytest.raises(ValueError, match="too long"):
        Pager(KEY).token("x" * (POSITION_MAX_BYTES + 1), echo.pb.EchoRequest(), scope=HARBOUR)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        Pager(b"short")

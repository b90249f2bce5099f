"""One running world for each test module; every test makes its own referrals and grants in it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from safehand_core import logs
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.referral.world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The service with directory, agencies a, b, c and a protocol between a and b."""
    logs.configure("referral", stream=io.StringIO(), strict=True)
    made = World(tmp_path_factory.mktemp("referral"))
    made.set_up()
    yield made
    made.stop()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[World]:
    """The service alone, with nothing in it."""
    logs.configure("referral", stream=io.StringIO(), strict=True)
    made = World(tmp_path)
    yield made
    made.stop()


Refusal = Callable[[Reason], AbstractContextManager[None]]


@pytest.fixture
def refuses(world: World) -> Refusal:
    """``with refuses(Reason.X):`` the call is refused for X, and not one row changed."""

    @contextmanager
    def check(reason: Reason) -> Iterator[None]:
        before = world.dump()
        with pytest.raises(SafehandError) as caught:
            yield
        assert caught.value.reason is reason
        assert world.dump() == before

    return check

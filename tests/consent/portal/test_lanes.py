"""Whatever strangers do at the sign-in, her session is answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from safehand.consent.v1 import consent_pb2, guardians_pb2
from safehand.consent.v1 import portal_pb2 as pb
from safehand_consent_service.app import HER_THREADS, SIGN_IN_THREADS
from safehand_consent_service.cards import ARGON2_MEMORY_KIB
from safehand_consent_service.policy import HERS, POLICY, SIGN_IN, STOP
from safehand_core.errors import SafehandError

from tests.consent.portal.world import Her, PortalWorld
from tests.consent.release.world import in_background, new_request_id, wait_for

AT_ONCE_S = 10.0
"""Far below what is waited for: nothing lets a sign-in go before the test does."""
FLOOD = SIGN_IN_THREADS + HER_THREADS
"""More sign-ins than the lane of her pages has threads."""
PORTAL = "/safehand.consent.v1.PortalService/"


class Flood:
    """Sign-ins with cards that nobody has. ``arrived``: calls that were handed to threads;
    ``inside``: those whose PIN is being checked at this moment, and ``most`` of them ever."""

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self.over = threading.Event()
        self.arrived = self.inside = self.most = 0

    def count(self, *, arrived: int = 0, inside: int = 0) -> None:
        with self._counting:
            self.arrived += arrived
            self.inside += inside
            self.most = max(self.most, self.inside)


@contextmanager
def flood(
    world: PortalWorld, patch: pytest.MonkeyPatch, sign_in: Callable[[], Any]
) -> Iterator[Flood]:
    """Every thread of the sign-in lane checks a PIN until the block ends, and more calls wait."""
    made, submit, cards = Flood(), ThreadPoolExecutor.submit, world.app.context.cards
    matches = cards.pin_matches

    def counted(pool: Any, *args: Any, **kwargs: Any) -> Any:
        future = submit(pool, *args, **kwargs)
        made.count(arrived=pool._thread_name_prefix in ("lane", "rpc"))
        return future

    def slow(pin_hash: str | None, pin: str) -> bool:
        made.count(inside=1)
        made.over.wait()
        made.count(inside=-1)
        return matches(pin_hash, pin)

    with patch.context() as patched:
        patched.setattr(ThreadPoolExecutor, "submit", counted)
        patched.setattr(cards, "pin_matches", slow)
        tries = [in_background(sign_in) for _ in range(FLOOD)]
        try:
            wait_for(lambda: made.inside >= SIGN_IN_THREADS and made.arrived >= FLOOD)
            yield made
        finally:
            made.over.set()
            for one in tries:
                with pytest.raises(SafehandError):  # a slow machine may tire of some of them
                    one()


def as_her(world: PortalWorld) -> Callable[[], Any]:
    portal, cards = world.portal(), [world.new_card() for _ in range(FLOOD)]

    def sign_in() -> Any:
        card = cards.pop()
        return portal.OpenSession(
            consent_pb2.OpenSessionRequest(card_number=card.number, pin=card.pin)
        )

    return sign_in


def as_guardian(world: PortalWorld) -> Callable[[], Any]:
    portal, cards = world.portal(), [world.new_card() for _ in range(FLOOD)]

    def sign_in() -> Any:
        card = cards.pop()
        return portal.OpenGuardianSession(
            guardians_pb2.OpenGuardianSessionRequest(card_number=card.number, pin=card.pin)
        )

    return sign_in


@pytest.mark.parametrize("who", [as_her, as_guardian])
def test_a_flood_of_sign_ins_keeps_no_page_and_no_stop_of_hers_waiting(
    pages_world: PortalWorld,
    she: Her,
    monkeypatch: pytest.MonkeyPatch,
    who: Callable[[PortalWorld], Callable[[], Any]],
) -> None:
    world = pages_world
    world.give(she)
    number = world.only(she).number
    with flood(world, monkeypatch, who(world)) as flooded:
        shown = world.pages.ListSharing(
            pb.ListSharingRequest(session=she.session), timeout=AT_ONCE_S
        )
        assert [one.number for one in shown.sharings] == [number]
        world.pages.StopSharing(
            pb.StopSharingRequest(session=she.session, request_id=new_request_id(), number=number),
            timeout=AT_ONCE_S,
        )
        world.pages.GetHome(pb.GetHomeRequest(session=she.session), timeout=AT_ONCE_S)
        world.pages.LockSession(pb.LockSessionRequest(session=she.session), timeout=AT_ONCE_S)
        assert flooded.inside == SIGN_IN_THREADS
    # Each that checks a PIN holds its memory: so many at a time and no more.
    assert flooded.most == SIGN_IN_THREADS
    assert SIGN_IN_THREADS * ARGON2_MEMORY_KIB <= 80 * 1024


def test_every_call_that_needs_a_session_is_in_a_lane_without_sign_ins() -> None:
    in_session = {path for path in POLICY if path.startswith(PORTAL)}
    assert in_session <= HERS | STOP
    assert not SIGN_IN & (HERS | STOP)

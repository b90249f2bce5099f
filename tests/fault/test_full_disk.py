"""The disk under the databases is full: refused in words, nothing half done, and well again after.

On a small disk of its own where we may mount one; and, everywhere, with a kernel that refuses the
processes' own writes, which is all that a container without CAP_SYS_ADMIN lets us do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import pytest
from safehand.consent.v1 import consent_pb2 as pb
from safehand_cli.story import PURPOSE
from safehand_core import ids
from safehand_core.entropy import SystemEntropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason

from tests.chaos.ground import Ground, ground
from tests.fault import crash
from tests.harness import database
from tests.harness.world import World, eventually, running

T = TypeVar("T")

SAYS_AGAIN: Final = frozenset({Reason.UNAVAILABLE, Reason.LEDGER_STARTING, Reason.OVERLOADED})
"""What a caller may be told while a disk is full: the same request may pass later."""
WITHIN_S: Final = 120.0
"""Seconds in which a full disk is noticed, and in which all is well again after it."""
CALL_S: Final = 10.0
TOLD: Final = 3
"""Refusals that are waited for."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass
class Asked:
    """Requests of hers, each with its own id, and the place of each that was answered."""

    scene: crash.Scene
    grants: list[pb.GrantRequest] = field(default_factory=list)
    granted: dict[str, int] = field(default_factory=dict)
    told: list[Reason] = field(default_factory=list)

    def one_more(self) -> None:
        """Say yes once more, once."""
        request = pb.GrantRequest(
            request_id=ids.new_request_id(SystemEntropy()),
            session=self.scene.her.session,
            terms=pb.Terms(
                releasing_agency="agency-a",
                recipient_agency="agency-b",
                purpose=PURPOSE,
                categories=["CARD", "NAME"],
                notice_sha256="00" * 32,
                language="en",
                given_how="read",
                present="alone",
            ),
        )
        self.grants.append(request)
        self.tried(lambda: self._grant(request))

    def _grant(self, request: pb.GrantRequest) -> None:
        answer = self.scene.her.stubs.consent.Grant(request, timeout=CALL_S)
        before = self.granted.setdefault(request.request_id, answer.receipt.index)
        assert before == answer.receipt.index

    def tried(self, act: Callable[[], T]) -> T | None:
        try:
            return act()
        except SafehandError as error:
            self.told.append(error.reason)
            return None

    def all_again(self) -> None:
        """Each again, with its id, until it is answered: the first answer holds."""
        for request in self.grants:
            patiently(lambda request=request: self._grant(request))  # type: ignore[misc]


def patiently(act: Callable[[], T]) -> T:
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            return act()
        except SafehandError as error:
            if error.reason not in SAYS_AGAIN or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@pytest.mark.parametrize("mount", [True, False], ids=["disk", "refused-writes"])
@pytest.mark.parametrize("engine", database.conformance())
def test_what_is_refused_is_not_half_done_and_what_was_answered_holds(
    tmp_path: Path, engine: str, mount: bool
) -> None:
    with (
        ground(database.require(engine), mount=mount) as under,
        running(
            tmp_path / "sandbox",
            make_stores=under.make_stores,
            extra_environment=under.environment,
        ) as world,
    ):
        stopped, open_still = crash.Scene.set(world), crash.Scene.set(world)
        stop = stopped.her.stop(stopped.grant).stop_receipt.index
        asked = Asked(open_still)

        disk = under.disk(world)
        try:

            def refused() -> bool:
                disk.fill()
                asked.one_more()
                return len(asked.told) >= TOLD

            eventually(refused, "somebody is refused", within_s=WITHIN_S)
            _nothing_opens(world, stopped)
            late = asked.tried(lambda: open_still.her.stop(open_still.grant))
            _nothing_opens(world, stopped)
            if late is not None:
                _nothing_opens(world, open_still)
        finally:
            disk.free()
        assert set(asked.told) <= SAYS_AGAIN
        _has_room_again(under)

        asked.all_again()
        assert stopped.her.stop(stopped.grant).stop_receipt.index == stop
        if late is None:
            patiently(lambda: open_still.her.stop(open_still.grant))
        for scene in (stopped, open_still):
            kinds = [line.kind.name for line in scene.her.verified_receipt(scene.grant)]
            assert kinds == ["GRANT", "REFER", "STOP"]
            _nothing_opens(world, scene)
        views = {view.grant for view in open_still.her.grants()}
        assert len(views) == 1 + len(asked.grants), "each is there, and once"
        # Every service is well: a referral passes, is told of, and is told of again when it stops.
        crash.drive_events(patiently(lambda: crash.Scene.set(world)))
        crash.gapless(world)
        report = world.fsck()
        assert report.ok, report.problems


def _nothing_opens(world: World, scene: crash.Scene) -> None:
    with pytest.raises(SafehandError) as refused:
        world.agency_b.open(scene.fetched, "CARD", worker_ref="worker-x1")
    assert refused.value.reason in SAYS_AGAIN | {Reason.CONSENT_ENDED}


def _has_room_again(under: Ground) -> None:
    """What an operator does: nothing, but for a server of PostgreSQL that has ended."""
    if under.pair is not None:
        under.pair.revive()

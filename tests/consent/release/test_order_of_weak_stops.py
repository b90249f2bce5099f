"""The promise of ``test_order``, where others stop for her: workers of both ends, and a friend."""

from __future__ import annotations

import pytest
from safehand.consent.v1 import stops_pb2 as pb
from safehand_consent_service import stop_quotas

from tests.consent.release import test_order
from tests.consent.release.world import A, B, World, new_request_id

STEPS = (
    "",
    "consent.writer.committed=sleep:0.02",
    "consent.writer.anchored=sleep:0.02",
    "consent.release.before_answer=sleep:0.02",
)


class StoppedByOthers(test_order.Story):
    """She resumes; whoever stops is drawn anew each time."""

    def __init__(self, world: World, session: bytes, seed: int) -> None:
        super().__init__(world, session, seed)
        self.code = (
            world.portal()
            .AddRepresentative(
                pb.AddRepresentativeRequest(
                    request_id=new_request_id(), session=session, relation="friend"
                )
            )
            .representative_code
        )

    def _stop(self) -> None:
        by = self.random.choice((A, B, "friend"))
        if by == "friend":
            self.world.portal().StopAsRepresentative(
                pb.StopAsRepresentativeRequest(
                    request_id=new_request_id(), representative_code=self.code
                )
            )
        else:
            self.world.agency(by).StopForHer(
                pb.StopForHerRequest(
                    request_id=new_request_id(),
                    grant=self.grant,
                    worker_ref="worker-9",
                    channel="phone",
                )
            )
        self.seen.outcomes["stopped"] += 1


@pytest.mark.parametrize("step", STEPS)
def test_nothing_opens_after_somebody_stopped_for_her(
    fresh_world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(stop_quotas, "WISHES", 10**6)
    monkeypatch.setattr(stop_quotas, "WISHES_OF_AGENCY", 10**6)
    monkeypatch.setattr(test_order, "Story", StoppedByOthers)
    test_order.test_nothing_opens_after_a_stop(fresh_world, monkeypatch, step)

"""Less, no more, and yes again: narrowing, stops by each party, and their undoing."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import rule
from safehand.consent.v1 import consent_pb2 as pb
from safehand.consent.v1 import narrow_pb2, stops_pb2
from safehand_core.reasons import Reason
from safehand_formats.resume import Resume, SignedResume

from tests.consent.release.world import A, B, new_request_id
from tests.model.life import REF, WORD, Life, which
from tests.model.model import DAY, HOUR, Grant

MODES: Final = {
    "stop": pb.STOP_MODE_STOP,
    "destroy": pb.STOP_MODE_DESTROY_NOW,
    "invalidate": pb.STOP_MODE_INVALIDATE,
}
WISHES: Final = 3
"""Wishes that name the same, in a day; the model makes no more, because those have tests."""
STAFF_RESUMES: Final = 4


class Ending(Life):
    """How a consent grows smaller, stops, ends, and comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.wishes: list[tuple[str, int]] = []
        self.staff_resumes: dict[str, int] = {}

    @rule(number=which, keep=st.integers(0, 3), days=st.sampled_from([None, 1, 10]))
    def she_narrows(self, number: int, keep: int, days: int | None) -> None:
        grant = self.pick(number)
        if grant.due(self.now) or len(grant.categories) < 2:
            return
        left = {"CARD", *sorted(grant.categories - {"CARD"})[:keep]}
        end = grant.expires_at if days is None else min(grant.expires_at, self.now + days * DAY)
        changes = left != grant.categories or end != grant.expires_at
        request = narrow_pb2.NarrowGrantRequest(
            request_id=new_request_id(),
            session=self.hers(),
            grant=grant.id,
            categories=sorted(left),
        )
        request.expires_at.FromSeconds(end)
        allowed = changes and not grant.is_over(self.now)
        self.does(
            "narrow",
            allowed,
            lambda: self.world.portal().NarrowGrant(request),
            Reason.CONSENT_ENDED,
            Reason.MALFORMED,
        )
        if allowed:
            grant.narrow(left, end)

    @rule(number=which, mode=st.sampled_from(["stop", "stop", *sorted(MODES)]))
    def she_stops(self, number: int, mode: str) -> None:
        grant = self.pick(number)
        now = self.now
        request = pb.StopGrantRequest(
            request_id=new_request_id(), session=self.hers(), grant=grant.id, mode=MODES[mode]
        )
        allowed = grant.was_stopped(now)
        self.does(
            f"{mode} by her",
            allowed,
            lambda: self.world.portal().StopGrant(request),
            Reason.CONSENT_ENDED,
        )
        if not allowed:
            return
        if mode == "destroy":
            grant.destroy(now)
        elif mode == "invalidate":
            grant.invalidate(now)
        elif grant.stop_changes(now, "self"):
            grant.stop(now, "self")

    @rule(
        by=st.sampled_from(["card", "reference", "grant", "code"]),
        agency=st.sampled_from([A, B]),
        number=which,
        coercion=st.booleans(),
    )
    def a_worker_stops_for_her(self, by: str, agency: str, number: int, coercion: bool) -> None:
        request = stops_pb2.StopForHerRequest(
            request_id=new_request_id(),
            worker_ref="worker-0003",
            channel="phone",
            why="coercion" if coercion else "",
        )
        meant = self.grants
        if by == "card":
            request.card_number = self.card.number
        elif by == "reference":
            agency = A  # B has none of its own
            request.subject_ref = REF
        elif by == "code":
            request.representative_code = self.code
        else:
            meant = [self.pick(number)]
            request.grant = meant[0].id
        name = meant[0].id if by == "grant" else by
        # A code counts alike, whoever gives it.
        if self._too_many("code" if by == "code" else f"{agency}/{name}"):
            return
        stub = self.world.agency(agency)
        self.does("stop by a worker", True, lambda: stub.StopForHer(request))
        self._stopped_weakly(meant)

    @rule()
    def her_representative_stops(self) -> None:
        if self._too_many("code"):
            return
        request = stops_pb2.StopAsRepresentativeRequest(
            request_id=new_request_id(), representative_code=self.code
        )
        self.does(
            "stop by a representative",
            True,
            lambda: self.world.portal().StopAsRepresentative(request),
        )
        self._stopped_weakly(self.grants)

    def _too_many(self, named: str) -> bool:
        today = [at for name, at in self.wishes if name == named and self.now - at < DAY + HOUR]
        if len(today) >= WISHES:
            return True
        self.wishes.append((named, self.now))
        return False

    def _stopped_weakly(self, grants: list[Grant]) -> None:
        for grant in grants:
            if grant.stop_changes(self.now, "somebody"):
                grant.stop(self.now, "somebody")

    @rule(number=which)
    def she_resumes(self, number: int) -> None:
        grant = self.pick(number)
        allowed = grant.can_resume(self.now)
        request = pb.ResumeGrantRequest(
            request_id=new_request_id(), session=self.hers(), grant=grant.id
        )
        self.does(
            "resume",
            allowed,
            lambda: self.world.portal().ResumeGrant(request),
            Reason.CONSENT_ENDED,
            Reason.WINDOW_CLOSED,
            Reason.STATE_CONFLICT,
        )
        if allowed:
            grant.resume()

    @rule(number=which, right=st.booleans())
    def staff_resume(self, number: int, right: bool) -> None:
        grant = self.pick(number)
        if self.staff_resumes.get(grant.id, 0) >= STAFF_RESUMES:
            return
        self.staff_resumes[grant.id] = self.staff_resumes.get(grant.id, 0) + 1
        signed = SignedResume.sign(
            Resume(A, grant.id, "worker-0001", "worker-0002", new_request_id(), self.now),
            self.world.agencies[A].identity,
        )
        request = stops_pb2.ResumeForHerRequest(
            request_id=signed.resume.request_id,
            resume=signed.resume_bytes,
            signature=signed.signature,
            code_word=WORD if right else "another word",
        )
        allowed = right and grant.weakly_stopped(self.now)
        self.does(
            "resume by staff",
            allowed,
            lambda: self.world.agency(A).ResumeForHer(request),
            Reason.RESUME_REFUSED,
        )
        if allowed:
            grant.resume()

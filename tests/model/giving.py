"""Yes, in all the ways in which it is said: by her, to a question, and through a worker."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from safehand.consent.v1 import asks_pb2, recorded_pb2
from safehand.consent.v1 import consent_pb2 as pb
from safehand_core.reasons import Reason
from safehand_formats.record import Record, RecordedTerms, Second, SignedRecord, SignedSecond

from tests.consent.release.world import NOTICE, PURPOSE, A, B, new_request_id
from tests.model.life import REF, Life, Refused, some_categories, which
from tests.model.model import CONFIRM_WITHIN, DAY, HOUR, Grant

SHOWN: Final = asks_pb2.Shown(
    notice_sha256=NOTICE, language="es", given_how="read", present="alone"
)
REPLIES: Final = {
    "yes": recorded_pb2.REPLY_YES,
    "no": recorded_pb2.REPLY_NO,
    "not sure": recorded_pb2.REPLY_NOT_SURE,
}
ASK_AGAIN: Final = 31 * DAY
"""After a no, so long; the model never tries earlier, because that has tests of its own."""

REMEMBERED: Final = 90 * DAY
"""What nobody answered is forgotten then."""

terms_of_days = st.sampled_from([1, 5, 20, 90, 180])


class Giving(Life):
    """How a consent begins, and how one that was recorded is confirmed."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_at: list[int] = []
        self.question = ""
        self.question_categories: list[str] = []
        self.recorded_at: list[int] = []
        self.digests: dict[str, str] = {}

    @rule(categories=some_categories, days=terms_of_days)
    def says_yes(self, categories: set[str], days: int) -> None:
        end = self.now + days * DAY
        terms = self.world.terms(sorted(categories))
        terms.expires_at.FromSeconds(end)
        request = pb.GrantRequest(request_id=new_request_id(), session=self.hers(), terms=terms)
        done = self.does("grant", True, lambda: self.world.portal().Grant(request))
        self.grants.append(Grant(done.grant.grant, categories | {"CARD"}, end))

    # --- she is asked -------------------------------------------------------------------------

    @precondition(lambda self: not self.question)
    @rule(categories=some_categories)
    def an_agency_asks(self, categories: set[str]) -> None:
        if any(self.now - at < ASK_AGAIN for at in self.asked_at):
            return
        request = asks_pb2.AskConsentRequest(
            request_id=new_request_id(),
            subject_ref=REF,
            releasing_agency=A,
            recipient_agency=B,
            purpose=PURPOSE,
            categories=sorted(categories),
            days=30,
            notice_sha256=NOTICE,
            language="es",
            worker_ref="worker-0001",
        )
        answer = self.does("ask", True, lambda: self.world.agency(A).AskConsent(request))
        self.question, self.question_categories = answer.ask.ask, sorted(categories)
        self.asked_at.append(self.now)

    @precondition(lambda self: self.question)
    @rule(decision=st.sampled_from(["yes", "part", "no", "later"]))
    def she_answers(self, decision: str) -> None:
        in_time = self.now < self.asked_at[-1] + 14 * DAY
        request = asks_pb2.AnswerQuestionRequest(
            request_id=new_request_id(), session=self.hers(), ask=self.question
        )
        # A sweep may have forgotten it, or not yet.
        late = {Reason.STATE_CONFLICT, Reason.NOT_FOUND}
        known = self.now < self.asked_at[-1] + REMEMBERED
        given = self.question_categories[: 1 if decision == "part" else None]
        if decision in ("yes", "part"):
            request.decision = asks_pb2.DECISION_YES
            request.given.categories.extend(given)
            request.shown.CopyFrom(SHOWN)
        elif decision == "no":
            request.decision = asks_pb2.DECISION_NO
            request.shown.CopyFrom(SHOWN)
        else:
            request.decision = asks_pb2.DECISION_LATER
        done = self.does(
            f"answer {decision}",
            in_time,
            lambda: self.world.portal().AnswerQuestion(request),
            *({Reason.STATE_CONFLICT} if known else late),
        )
        if decision != "later" or not in_time:
            self.question = ""
        if done is not None and decision == "no":
            self.refused[request.ask] = Refused(frozenset({*given, "CARD"}), done.receipt)
        if done is not None and decision in ("yes", "part"):
            end = done.grant.terms.expires_at.seconds
            self.grants.append(Grant(done.grant.grant, {*given, "CARD"}, end))

    # --- a worker wrote it down ---------------------------------------------------------------

    @rule(categories=some_categories)
    def a_worker_records(self, categories: set[str]) -> None:
        if sum(self.now - at < DAY + HOUR for at in self.recorded_at) >= 4:
            return
        if sum(self.now - at < CONFIRM_WITHIN + HOUR for at in self.recorded_at) >= 9:
            return
        end = self.now + 60 * DAY
        signed = SignedRecord.sign(
            Record(
                A,
                "worker-0001",
                REF,
                "paper",
                RecordedTerms(
                    A, B, PURPOSE, tuple(sorted(categories | {"CARD"})), end, end, NOTICE,
                    "es", "heard", "with_worker",
                ),
                new_request_id(),
                self.now,
            ),
            self.world.agencies[A].identity,
        )  # fmt: skip
        request = recorded_pb2.RecordGrantRequest(
            record=signed.record_bytes, signature=signed.signature
        )
        done = self.does("record", True, lambda: self.world.agency(A).RecordGrant(request))
        self.recorded_at.append(self.now)
        self.digests[done.grant] = signed.digest.hex()
        made = Grant(done.grant, categories | {"CARD"}, end, recorder="worker-0001")
        made.confirm_by = self.now + CONFIRM_WITHIN
        self.grants.append(made)

    @precondition(lambda self: self.digests)
    @rule(number=which, worker=st.sampled_from(["worker-0001", "worker-0002"]))
    def a_second_person(self, number: int, worker: str) -> None:
        grant = self._recorded(number)
        signed = SignedSecond.sign(
            Second(A, worker, REF, self.digests[grant.id], new_request_id(), self.now),
            self.world.agencies[A].identity,
        )
        request = recorded_pb2.SecondGrantRequest(
            second=signed.second_bytes, signature=signed.signature
        )
        waiting = grant.waits(self.now)
        allowed = worker != grant.recorder and waiting and not grant.seconded
        self.does(
            "second",
            allowed,
            lambda: self.world.agency(A).SecondGrant(request),
            Reason.NOT_ALLOWED,
            Reason.CONSENT_ENDED,
            Reason.ALREADY_EXISTS,
        )
        if allowed:
            grant.seconded = True
            grant.entries.append("CONFIRM")

    @precondition(lambda self: self.digests)
    @rule(number=which, reply=st.sampled_from(sorted(REPLIES)))
    def she_is_asked_if_it_is_right(self, number: int, reply: str) -> None:
        grant = self._recorded(number)
        now = self.now
        request = recorded_pb2.ConfirmGrantRequest(
            request_id=new_request_id(), session=self.hers(), grant=grant.id, reply=REPLIES[reply]
        )
        allowed = grant.was_stopped(now) if reply == "no" else grant.waits(now)
        self.does(
            f"confirm {reply}",
            allowed,
            lambda: self.world.portal().ConfirmGrant(request),
            Reason.CONSENT_ENDED,
            Reason.STATE_CONFLICT,
        )
        if not allowed:
            return
        if reply == "no":
            grant.invalidate(now)
        elif reply == "yes":
            grant.confirm_by = None
            grant.entries.append("CONFIRM")

    def _recorded(self, number: int) -> Grant:
        found = [grant for grant in self.grants if grant.id in self.digests]
        return found[number % len(found)]

"""Any life that a consent can have, against the model, on whatever database the suite runs.

Everything goes over gRPC to one consent service in this process, with a clock that the machine
moves in both directions. What the model allows must happen, what it does not must be refused, and
``Explain`` must have foretold it. At the end the ledger is whole, her receipts hold, and no key is
gone that the clock had not ended.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from safehand.consent.v1 import asks_pb2, explain_pb2, narrow_pb2, recorded_pb2, stops_pb2
from safehand.consent.v1 import consent_pb2 as pb
from safehand_client.survivor import read_receipt
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind
from safehand_formats.note import NoteVerifier
from safehand_formats.record import Record, RecordedTerms, Second, SignedRecord, SignedSecond
from safehand_formats.resume import Resume, SignedResume
from safehand_ledger.check import fsck

from tests.consent.release.world import (
    NOTICE,
    PURPOSE,
    A,
    B,
    Sent,
    World,
    new_request_id,
)
from tests.model.model import CONFIRM_WITHIN, DAY, HOUR, WEAK_WINDOW, Grant, Referral

EXAMPLES = int(os.environ.get("SAFEHAND_MODEL_EXAMPLES", "6"))
"""Lives in one run: each is a service of its own. The nightly run takes hundreds."""
STEPS = 50
LONGEST = 300 * DAY
"""The protocol ends after a year; lives end before it."""
NAMED = ("CONTACT", "EVENTS", "HEALTH", "LOCATION", "NAME")
REF = "her-own-ref-0001"
WORD = "seven green bottles"
SHOWN = asks_pb2.Shown(notice_sha256=NOTICE, language="es", given_how="read", present="alone")

some_categories = st.sets(st.sampled_from(NAMED), min_size=1, max_size=4)
terms_of_days = st.sampled_from([1, 5, 20, 90, 180])
which = st.integers(0, 10**6)


class Life(RuleBasedStateMachine):
    """One person, two agencies, and time."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="safehand-life-"))
        self.world = World(self.folder).start().set_up()
        self.card = self.world.new_card()
        self.world.agency(A).RegisterSubject(
            pb.RegisterSubjectRequest(
                request_id=new_request_id(),
                subject_ref=REF,
                card_number=self.card.number,
                pin=self.card.pin,
            )
        )
        session = self.hers()
        portal = self.world.portal()
        portal.SetCodeWord(
            stops_pb2.SetCodeWordRequest(
                request_id=new_request_id(), session=session, code_word=WORD
            )
        )
        self.code = portal.AddRepresentative(
            stops_pb2.AddRepresentativeRequest(
                request_id=new_request_id(), session=session, relation="friend"
            )
        ).representative_code
        self.grants: list[Grant] = []
        self.referrals: list[tuple[Referral, Sent]] = []
        self.wishes: list[tuple[str, int]] = []
        self.records: list[tuple[str, int]] = []
        self.staff_resumes: dict[str, int] = {}
        self.digests: dict[str, str] = {}
        self.asked: list[tuple[str, int]] = []
        self.question = ""
        self.question_categories: list[str] = []
        self.passed = 0
        self.latest = 0

    def teardown(self) -> None:
        try:
            self._at_the_end()
        finally:
            self.world.stop()
            self.world.store.drop()
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- pieces -------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """The ledger's time."""
        return self.world.app.context.now

    @property
    def suspect(self) -> bool:
        return self.world.app.context.writer.clock_suspect

    def hers(self) -> bytes:
        return self.world.sign_in(self.card)

    def pick(self, number: int) -> Grant:
        return self.grants[number % len(self.grants)]

    def does(self, allowed: bool, act: Callable[[], Any], *refusals: Reason) -> Any:
        """``act`` succeeds exactly when the model allows it, else with one of ``refusals``."""
        refusal: Reason | None = None
        done = None
        try:
            done = act()
        except SafehandError as error:
            refusal = error.reason
        if allowed:
            assert refusal is None, f"the model allows it: {refusal}"
        else:
            assert refusal is not None, "the model does not allow it"
            assert refusal in refusals, refusal
        return done

    def fresh_key(self) -> None:
        """B has a key that outlives what is sealed now."""
        last = self.world.agencies[B].records[-1].record
        if last.not_after < self.now + 40 * DAY:
            self.world.append_key(
                self.world.key_record(B, not_before=self.now, not_after=self.now + 180 * DAY)
            )

    # --- yes ----------------------------------------------------------------------------------

    @initialize(categories=some_categories)
    def first_yes(self, categories: set[str]) -> None:
        self.says_yes(categories, 90)

    @rule(categories=some_categories, days=terms_of_days)
    def says_yes(self, categories: set[str], days: int) -> None:
        end = self.now + days * DAY
        terms = self.world.terms(sorted(categories))
        terms.expires_at.FromSeconds(end)
        grant = self.world.grant(self.hers(), terms)
        self.grants.append(Grant(grant, categories | {"CARD"}, end))

    @precondition(lambda self: not self.question)
    @rule(categories=some_categories)
    def an_agency_asks(self, categories: set[str]) -> None:
        if any(self.now - at < 31 * DAY for _, at in self.asked):
            return
        answer = self.world.agency(A).AskConsent(
            asks_pb2.AskConsentRequest(
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
        )
        self.question, self.question_categories = answer.ask.ask, sorted(categories)
        self.asked.append((answer.ask.ask, self.now))

    @precondition(lambda self: self.question)
    @rule(decision=st.sampled_from(["yes", "part", "no", "later"]))
    def she_answers(self, decision: str) -> None:
        _, asked_at = self.asked[-1]
        in_time = self.now < asked_at + 14 * DAY
        request = asks_pb2.AnswerQuestionRequest(
            request_id=new_request_id(), session=self.hers(), ask=self.question
        )
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
            in_time,
            lambda: self.world.portal().AnswerQuestion(request),
            Reason.STATE_CONFLICT,
        )
        if decision != "later" or not in_time:
            self.question = ""
        if done is not None and decision in ("yes", "part"):
            end = done.grant.terms.expires_at.seconds
            self.grants.append(Grant(done.grant.grant, {*given, "CARD"}, end))

    @rule(categories=some_categories)
    def a_worker_records(self, categories: set[str]) -> None:
        recent = [at for _, at in self.records]
        if sum(self.now - at < DAY + HOUR for at in recent) >= 4:
            return
        if sum(self.now - at < CONFIRM_WITHIN + HOUR for at in recent) >= 9:
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
        done = self.world.agency(A).RecordGrant(
            recorded_pb2.RecordGrantRequest(record=signed.record_bytes, signature=signed.signature)
        )
        self.records.append((done.grant, self.now))
        self.digests[done.grant] = signed.digest.hex()
        self.grants.append(
            Grant(
                done.grant,
                categories | {"CARD"},
                end,
                recorder="worker-0001",
                confirm_by=self.now + CONFIRM_WITHIN,
            )
        )

    @precondition(lambda self: self.digests)
    @rule(number=which, worker=st.sampled_from(["worker-0001", "worker-0002"]))
    def a_second_person(self, number: int, worker: str) -> None:
        grant = self._recorded(number)
        signed = SignedSecond.sign(
            Second(A, worker, REF, self.digests[grant.id], new_request_id(), self.now),
            self.world.agencies[A].identity,
        )
        waiting = grant.confirm_by is not None and not grant.is_over(self.now)
        self.does(
            worker != grant.recorder and waiting and not grant.seconded,
            lambda: self.world.agency(A).SecondGrant(
                recorded_pb2.SecondGrantRequest(
                    second=signed.second_bytes, signature=signed.signature
                )
            ),
            Reason.NOT_ALLOWED,
            Reason.CONSENT_ENDED,
            Reason.ALREADY_EXISTS,
        )
        if worker != grant.recorder and waiting:
            grant.seconded = True

    @precondition(lambda self: self.digests)
    @rule(number=which, reply=st.sampled_from(["yes", "no", "not sure"]))
    def she_is_asked_if_it_is_right(self, number: int, reply: str) -> None:
        grant = self._recorded(number)
        over, waiting = grant.is_over(self.now), grant.confirm_by is not None
        was_stopped = grant.state == "stopped"
        words = {
            "yes": recorded_pb2.REPLY_YES,
            "no": recorded_pb2.REPLY_NO,
            "not sure": recorded_pb2.REPLY_NOT_SURE,
        }
        request = recorded_pb2.ConfirmGrantRequest(
            request_id=new_request_id(), session=self.hers(), grant=grant.id, reply=words[reply]
        )
        if reply == "no":
            ended_unstopped = over and not grant.stop_by
            self.does(
                not ended_unstopped,
                lambda: self.world.portal().ConfirmGrant(request),
                Reason.CONSENT_ENDED,
            )
            if not ended_unstopped:
                self._end_now(grant, was_stopped)
            return
        self.does(
            waiting and not over,
            lambda: self.world.portal().ConfirmGrant(request),
            Reason.CONSENT_ENDED,
            Reason.STATE_CONFLICT,
        )
        if reply == "yes" and waiting and not over:
            grant.confirm_by = None

    def _recorded(self, number: int) -> Grant:
        found = [grant for grant in self.grants if grant.id in self.digests]
        return found[number % len(found)]

    # --- less ---------------------------------------------------------------------------------

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
        self.does(
            changes and not grant.is_over(self.now),
            lambda: self.world.portal().NarrowGrant(request),
            Reason.CONSENT_ENDED,
            Reason.MALFORMED,
        )
        if changes and not grant.is_over(self.now):
            grant.removed |= grant.categories - left
            grant.categories, grant.expires_at = left, end

    @rule(number=which, mode=st.sampled_from(["stop", "destroy", "invalidate"]))
    def she_stops(self, number: int, mode: str) -> None:
        grant = self.pick(number)
        now = self.now
        ended_unstopped = not grant.is_live(now) and not grant.stop_by
        words = {
            "stop": pb.STOP_MODE_STOP,
            "destroy": pb.STOP_MODE_DESTROY_NOW,
            "invalidate": pb.STOP_MODE_INVALIDATE,
        }
        self.does(
            not ended_unstopped,
            lambda: self.world.stop_grant(self.hers(), grant.id, words[mode]),
            Reason.CONSENT_ENDED,
        )
        if ended_unstopped or grant.is_final():
            return
        if mode == "stop":
            if grant.stop_changes(now, "self"):
                grant.stop(now, "self")
        else:
            self._end_now(grant, grant.state == "stopped")

    def _end_now(self, grant: Grant, was_stopped: bool) -> None:
        """It is over for good at once: by its own end where that came first, else by her word."""
        if grant.is_final():
            return
        expired = was_stopped and grant.due(self.now) == "expired"
        grant.stop_by = grant.stop_by or "self"
        grant.end("expired" if expired else "revoked")

    @rule(
        by=st.sampled_from(["card", "reference", "representative"]),
        agency=st.sampled_from([A, B]),
        coercion=st.booleans(),
    )
    def somebody_stops_for_her(self, by: str, agency: str, coercion: bool) -> None:
        if by == "reference":
            agency = A
        named = "representative" if by == "representative" else f"{agency}/{by}"
        today = [at for name, at in self.wishes if name == named and self.now - at < DAY + HOUR]
        if len(today) >= 3:
            return
        if by == "representative":
            self.world.portal().StopAsRepresentative(
                stops_pb2.StopAsRepresentativeRequest(
                    request_id=new_request_id(), representative_code=self.code
                )
            )
        else:
            request = stops_pb2.StopForHerRequest(
                request_id=new_request_id(),
                worker_ref="worker-0003",
                channel="phone",
                why="coercion" if coercion else "",
            )
            if by == "card":
                request.card_number = self.card.number
            else:
                request.subject_ref = REF
            self.world.agency(agency).StopForHer(request)
        self.wishes.append((named, self.now))
        for grant in self.grants:
            if grant.stop_changes(self.now, "somebody"):
                grant.stop(self.now, "somebody")

    @rule(number=which)
    def she_resumes(self, number: int) -> None:
        grant = self.pick(number)
        allowed = grant.can_resume(self.now)
        self.does(
            allowed,
            lambda: self.world.resume_grant(self.hers(), grant.id),
            Reason.CONSENT_ENDED,
            Reason.WINDOW_CLOSED,
            Reason.STATE_CONFLICT,
        )
        if allowed:
            grant.resume()

    @rule(number=which, right=st.booleans())
    def staff_resume(self, number: int, right: bool) -> None:
        grant = self.pick(number)
        if self.staff_resumes.get(grant.id, 0) >= 4:
            return
        self.staff_resumes[grant.id] = self.staff_resumes.get(grant.id, 0) + 1
        signed = SignedResume.sign(
            Resume(A, grant.id, "worker-0001", "worker-0002", new_request_id(), self.now),
            self.world.agencies[A].identity,
        )
        allowed = right and grant.weakly_stopped(self.now)
        self.does(
            allowed,
            lambda: self.world.agency(A).ResumeForHer(
                stops_pb2.ResumeForHerRequest(
                    request_id=signed.resume.request_id,
                    resume=signed.resume_bytes,
                    signature=signed.signature,
                    code_word=WORD if right else "another word",
                )
            ),
            Reason.RESUME_REFUSED,
        )
        if allowed:
            grant.resume()

    # --- what is sent -------------------------------------------------------------------------

    @rule(number=which, categories=some_categories)
    def a_referral_is_sent(self, number: int, categories: set[str]) -> None:
        grant = self.pick(number)
        self._send(grant, ["CARD", *sorted(categories & (grant.categories | {"HEALTH"}))])

    def _send(self, grant: Grant, wanted: list[str], older: Sent | None = None) -> bool:
        self.fresh_key()
        now = self.now
        not_after = min(now + 30 * DAY, grant.expires_at)
        allowed = all(grant.shares(category, now) for category in wanted)
        if not_after <= now:
            return False
        changes: dict[str, Any] = {"created": now, "not_after": not_after}
        if older is not None:
            changes |= {"referral": older.sealed.referral, "reseals": older.sealed.digest}
        sealed = self.world.seal(grant.id, wanted, **changes)
        question = explain_pb2.SendQuestion(grant=grant.id, purpose=PURPOSE, categories=wanted)
        told = self.world.agency(A).Explain(explain_pb2.ExplainRequest(send=question))
        assert told.allowed == allowed
        sent = self.does(
            allowed,
            lambda: self.world.authorise(sealed),
            Reason.CONSENT_ENDED,
            Reason.CONSENT_UNCONFIRMED,
            Reason.SCOPE_EXCEEDED,
        )
        if sent is not None:
            self.referrals.append((Referral(grant, wanted, not_after), sent))
        return sent is not None

    @precondition(lambda self: self.referrals)
    @rule(number=which, onto=which)
    def it_is_sealed_again(self, number: int, onto: int) -> None:
        place = number % len(self.referrals)
        referral, sent = self.referrals[place]
        grant = self.pick(onto)
        if referral.closed or grant is referral.grant:
            return
        wanted = [item for item in referral.categories if item in grant.categories]
        if self._send(grant, wanted or ["CARD"], sent):
            newer, sealed = self.referrals.pop()
            newer.accepted = referral.accepted
            self.referrals[place] = (newer, sealed)
            self.does(False, lambda: self.world.release(sent), Reason.STATE_CONFLICT)

    @precondition(lambda self: self.referrals)
    @rule(number=which, word=st.sampled_from(["accept", "decline"]))
    def it_is_answered(self, number: int, word: str) -> None:
        referral, sent = self.referrals[number % len(self.referrals)]
        if referral.closed or (word == "accept" and referral.accepted):
            return
        signed = (
            self.world.signed_answer(sent.sealed, at=self.now)
            if word == "accept"
            else self.world.signed_answer(sent.sealed, "DECLINE", "no_capacity", at=self.now)
        )
        self.world.record_answer(signed)
        referral.accepted = referral.accepted or word == "accept"
        referral.closed = word == "decline"

    @precondition(lambda self: self.referrals)
    @rule(number=which, part=which)
    def a_part_is_opened(self, number: int, part: int) -> None:
        referral, sent = self.referrals[number % len(self.referrals)]
        category = referral.categories[part % len(referral.categories)]
        allowed = referral.opens(category, self.now) and not self.suspect
        question = explain_pb2.OpenQuestion(
            referral=sent.sealed.referral, part=sent.sealed.part(category)
        )
        told = self.world.agency(B).Explain(explain_pb2.ExplainRequest(open=question))
        assert told.allowed == allowed
        done = self.does(
            allowed,
            lambda: self.world.release(sent, category),
            Reason.CONSENT_ENDED,
            Reason.CONSENT_UNCONFIRMED,
            Reason.NOT_ACCEPTED,
            Reason.REFERRAL_CLOSED,
            Reason.CLOCK_SUSPECT,
        )
        if done is not None:
            referral.grant.looks += 1
            opened = self.world.open(sent, category, done.inner_wrap)
            assert opened == f"content of {category}".encode()

    # --- time, and the service itself ---------------------------------------------------------

    @rule(seconds=st.sampled_from([60, 5 * HOUR, DAY, WEAK_WINDOW, 13 * DAY, 14 * DAY, 40 * DAY]))
    def time_passes(self, seconds: int) -> None:
        if self.passed + seconds < LONGEST:
            self.passed += seconds
            self.world.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-3 * DAY, -HOUR, -1, 300, 2 * HOUR, 3 * DAY]))
    def somebody_sets_the_clock(self, seconds: int) -> None:
        if self.passed + max(0, seconds) < LONGEST:
            # A restart may believe a clock that is a few days ahead.
            self.passed += max(0, seconds)
            self.world.clock.jump_wall(seconds)

    @rule()
    def somebody_sets_it_right(self) -> None:
        """To what the ledger says, and the operator confirms it."""
        self.world.clock.jump_wall(self.now - self.world.clock.wall())
        self._confirm_clock()

    def _confirm_clock(self) -> None:
        self.world.operator().ConfirmClock(pb.ConfirmClockRequest(request_id=new_request_id()))

    @rule()
    def it_is_swept(self) -> None:
        self.world.app.sweep()
        if not self.suspect:
            for grant in self.grants:
                grant.settle(self.now)

    @rule()
    def keys_roll(self) -> None:
        self.world.operator().RollKeys(pb.RollKeysRequest(request_id=new_request_id()))

    @rule()
    def it_is_restarted(self) -> None:
        self.world.restart()

    # --- what always holds --------------------------------------------------------------------

    @invariant()
    def time_never_runs_backwards(self) -> None:
        stored = self.world.app.context.writer.head.ledger_time
        assert stored >= self.latest
        self.latest = stored

    @invariant()
    def a_key_is_there_exactly_while_it_may_be_needed(self) -> None:
        now = self.now
        for grant in self.grants:
            for category in grant.categories:
                there = self.world.category_key(grant.id, category) is not None
                if grant.is_final():
                    assert not there, "a key outlived its consent"
                elif not grant.due(now):
                    assert there, "a key was destroyed before the end"
            for category in grant.removed:
                assert self.world.category_key(grant.id, category) is None

    def _at_the_end(self) -> None:
        self.world.clock.jump_wall(self.now - self.world.clock.wall())
        self._confirm_clock()
        session = self.hers()
        self._her_list_is_the_model(session)
        verifier = NoteVerifier.from_vkey(self.world.app.context.ledger.vkey)
        secrets = {}
        for grant in self.grants:
            receipt = self.world.portal().GetReceipt(
                pb.GetReceiptRequest(session=session, grant=grant.id)
            )
            lines, _ = read_receipt(receipt, grant.id, verifier)
            assert sum(line.kind is Kind.DISCLOSE for line in lines) == grant.looks
            secrets[grant.id] = receipt.secret
        report = fsck(
            self.world.store.location,
            verifier.vkey,
            self.world.settings.anchor,
            grant_secrets=secrets,
            clock=self.world.clock,
        )
        assert report.ok, report.problems

    def _her_list_is_the_model(self, session: bytes) -> None:
        request = pb.ListGrantsRequest(session=session, page_size=200)
        now = self.now
        seen = {}
        for view in self.world.portal().ListGrants(request).grants:
            seen[view.grant] = view
        assert seen.keys() == {grant.id for grant in self.grants}
        for grant in self.grants:
            view = seen[grant.id]
            assert set(view.terms.categories) == grant.categories
            assert view.terms.expires_at.seconds == grant.expires_at
            if not grant.due(now):
                name = pb.GrantState.Name(view.state).removeprefix("GRANT_STATE_").lower()
                assert name == grant.state
                if grant.state == "stopped":
                    assert view.final_at.seconds == grant.final_at


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_life_of_a_consent() -> None:
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )

"""What a consent is for: referrals that are sent, answered, opened and sealed again."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from safehand.consent.v1 import explain_pb2
from safehand_core.reasons import Reason

from tests.consent.release.world import PURPOSE, A, B, Sent, new_request_id
from tests.model.life import Life, some_categories, which
from tests.model.model import DAY, Grant, Referral


class Sending(Life):
    """What agencies may do under it; ``Explain`` must have foretold each answer."""

    def fresh_key(self) -> None:
        """B has a key that outlives what is sealed now."""
        last = self.world.agencies[B].records[-1].record
        if last.not_after < self.now + 40 * DAY:
            self.world.append_key(
                self.world.key_record(B, not_before=self.now, not_after=self.now + 180 * DAY)
            )

    @rule(number=which, categories=some_categories)
    def a_referral_is_sent(self, number: int, categories: set[str]) -> None:
        grant = self.pick_live(number)
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
        request = explain_pb2.ExplainRequest(send=question)
        told = self.answered(lambda: self.world.agency(A).Explain(request))
        assert told.allowed == allowed
        request_id = new_request_id()
        sent = self.does(
            "refer" if older is None else "reseal",
            allowed,
            lambda: self.world.authorise(sealed, request_id=request_id),
            Reason.CONSENT_ENDED,
            Reason.CONSENT_UNCONFIRMED,
            Reason.SCOPE_EXCEEDED,
        )
        if sent is not None:
            grant.entries.append("REFER")
            self.referrals.append((Referral(grant, wanted, not_after), sent))
        return sent is not None

    @precondition(lambda self: self.referrals)
    @rule(number=which, onto=which)
    def it_is_sealed_again(self, number: int, onto: int) -> None:
        place = number % len(self.referrals)
        referral, sent = self.referrals[place]
        grant = self.pick_live(onto)
        if referral.closed or grant is referral.grant:
            return
        wanted = [item for item in referral.categories if item in grant.categories]
        if self._send(grant, wanted or ["CARD"], sent):
            newer, sealed = self.referrals.pop()
            newer.accepted = referral.accepted
            self.referrals[place] = (newer, sealed)
            # What was sealed before opens no more.
            self.does("", False, lambda: self.world.release(sent), Reason.STATE_CONFLICT)

    @precondition(lambda self: self.referrals)
    @rule(number=which, word=st.sampled_from(["accept", "decline", "withdraw"]))
    def it_is_answered(self, number: int, word: str) -> None:
        referral, sent = self.referrals[number % len(self.referrals)]
        if referral.closed or (word == "accept" and referral.accepted):
            return
        answer, reason, caller = {
            "accept": ("ACCEPT", "", B),
            "decline": ("DECLINE", "no_capacity", B),
            "withdraw": ("WITHDRAW", "other_service_better", A),
        }[word]
        signed = self.world.signed_answer(sent.sealed, answer, reason, at=self.now)
        request_id = new_request_id()
        self.does(word, True, lambda: self.world.record_answer(signed, caller, request_id))
        referral.accepted = referral.accepted or word == "accept"
        referral.closed = word != "accept"

    @precondition(lambda self: self.referrals)
    @rule(number=which, part=which)
    def a_part_is_opened(self, number: int, part: int) -> None:
        referral, sent = self.referrals[number % len(self.referrals)]
        category = referral.categories[part % len(referral.categories)]
        allowed = referral.opens(category, self.now) and not self.suspect
        question = explain_pb2.OpenQuestion(
            referral=sent.sealed.referral, part=sent.sealed.part(category)
        )
        asked = explain_pb2.ExplainRequest(open=question)
        told = self.answered(lambda: self.world.agency(B).Explain(asked))
        assert told.allowed == allowed
        request = self.world.release_request(sent, category)
        done = self.does(
            "release",
            allowed,
            lambda: self.world.agency(B).ReleaseKey(request),
            Reason.CONSENT_ENDED,
            Reason.CONSENT_UNCONFIRMED,
            Reason.NOT_ACCEPTED,
            Reason.REFERRAL_CLOSED,
            Reason.CLOCK_SUSPECT,
        )
        if done is not None:
            referral.grant.entries.append("DISCLOSE")
            opened = self.world.open(sent, category, done.inner_wrap)
            assert opened == f"content of {category}".encode()

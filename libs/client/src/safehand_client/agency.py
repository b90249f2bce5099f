"""An agency's system: agree, publish keys, send, fetch, open, answer, follow."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
from safehand.consent.v1 import consent_pb2
from safehand.notify.v1 import notify_pb2
from safehand.referral.v1 import referral_pb2
from safehand_core import ids
from safehand_formats.answer import Answer, SignedAnswer
from safehand_formats.manifest import SignedManifest

from safehand_client._internal.calls import DEADLINE_S
from safehand_client._internal.keys import CLOSED
from safehand_client._internal.opening import Fetched, Opening
from safehand_client._internal.sending import Sending


class AgencyClient(Sending, Opening):
    """What one agency can do. Safe to share between threads."""

    def accept(self, fetched: Fetched) -> referral_pb2.Referral:
        """Say yes: identity parts can be opened from now on."""
        return self._answer(fetched.signed, "ACCEPT", "")

    def decline(self, fetched: Fetched, reason: str) -> referral_pb2.Referral:
        """Say no, with a coded reason."""
        return self._answer(fetched.signed, "DECLINE", reason)

    def withdraw(self, referral: str, reason: str) -> referral_pb2.Referral:
        """Take back a referral that we sent."""
        answer = self.stubs.referral.GetReferral(
            referral_pb2.GetReferralRequest(referral=referral), timeout=DEADLINE_S
        )
        signed = SignedManifest(answer.manifest, answer.signature)
        signed.verify(self.identity_public)
        return self._answer(signed, "WITHDRAW", reason)

    def _answer(self, manifest: SignedManifest, word: str, reason: str) -> referral_pb2.Referral:
        answer = SignedAnswer.sign(
            Answer(
                answer=word,
                manifest=manifest.digest.hex(),
                referral=manifest.manifest.header.referral,
                agency=self.agency,
                reason=reason,
                at=self._clock.wall(),
            ),
            self._identity,
        )
        ack = self.stubs.consent.RecordAnswer(
            consent_pb2.RecordAnswerRequest(
                request_id=ids.new_request_id(self._entropy),
                answer=answer.answer_bytes,
                signature=answer.signature,
            ),
            timeout=DEADLINE_S,
        )
        state = self.stubs.referral.AnswerReferral(
            referral_pb2.AnswerReferralRequest(
                request_id=ids.new_request_id(self._entropy),
                answer=answer.answer_bytes,
                signature=answer.signature,
                ack=ack.ack,
                ack_signature=ack.ack_signature,
            ),
            timeout=DEADLINE_S,
        ).referral
        if state.state in CLOSED:
            self.drafts.forget(state.referral)
        return state

    def complete(self, referral: str, outcome: str) -> referral_pb2.Referral:
        """Close an accepted referral with its outcome."""
        return self.stubs.referral.CompleteReferral(
            referral_pb2.CompleteReferralRequest(
                request_id=ids.new_request_id(self._entropy), referral=referral, outcome=outcome
            ),
            timeout=DEADLINE_S,
        ).referral

    def follow(self, after: int = 0) -> Iterator[notify_pb2.Delivery]:
        """Our events behind the cursor ``after``, for as long as the caller listens.

        At least once; keep the cursor of what was dealt with. Ends with UNAVAILABLE when the
        service goes away: call again with the last cursor.
        """
        stream = self.stubs.notify.Follow(notify_pb2.FollowRequest(after=after))
        try:
            for answer in stream:
                yield answer.delivery
        finally:
            if isinstance(stream, grpc.Call):
                stream.cancel()

    def deliveries(self, after: int = 0) -> list[notify_pb2.Delivery]:
        """One page of the same, for who prefers to ask."""
        return list(
            self.stubs.notify.ListDeliveries(
                notify_pb2.ListDeliveriesRequest(after=after), timeout=DEADLINE_S
            ).deliveries
        )

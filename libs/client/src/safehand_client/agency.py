"""An agency's system: agree, publish keys, send, fetch, open, answer, follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from safehand.consent.v1 import consent_pb2
from safehand.notify.v1 import notify_pb2
from safehand.referral.v1 import referral_pb2
from safehand_core import ids
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.answer import Answer, SignedAnswer
from safehand_formats.manifest import SignedManifest

from safehand_client._internal.asking import Asking
from safehand_client._internal.calls import DEADLINE_S
from safehand_client._internal.explaining import Explaining
from safehand_client._internal.identity_life import IdentityLife
from safehand_client._internal.key_life import KeyLife
from safehand_client._internal.keys import CLOSED
from safehand_client._internal.opening import Fetched
from safehand_client._internal.pending import PASSING, Statement
from safehand_client._internal.recording import Recording
from safehand_client._internal.resealing import Resealing
from safehand_client._internal.stopping import Stopping

RECONNECT_S: Final = 0.2
"""Seconds before a stream that ended is begun again; doubled each time up to RECONNECT_MAX_S."""
RECONNECT_MAX_S: Final = 5.0
AWAY: Final = frozenset(
    {Reason.UNAVAILABLE, Reason.OVERLOADED, Reason.INTERNAL, Reason.DEADLINE_INVALID}
)
"""How a stream ends when its service goes away."""


class AgencyClient(Resealing, KeyLife, IdentityLife, Asking, Explaining, Recording, Stopping):
    """What one agency can do. Safe to share between threads."""

    def accept(self, referral: Fetched | str) -> referral_pb2.Referral:
        """Say yes: identity parts can be opened from now on.

        Takes what was fetched, or the referral's id: a stop ends sharing and never help, so an
        answer can be given while nothing can be fetched. May be repeated until it is answered: the
        answer that was signed first is sent again.
        """
        return self._answer(self._manifest(referral), "ACCEPT", "")

    def decline(self, referral: Fetched | str, reason: str) -> referral_pb2.Referral:
        """Say no, with a coded reason; else as ``accept``."""
        return self._answer(self._manifest(referral), "DECLINE", reason)

    def withdraw(self, referral: str, reason: str) -> referral_pb2.Referral:
        """Take back a referral that we sent; may be repeated as ``accept``."""
        answer = self.stubs.referral.GetReferral(
            referral_pb2.GetReferralRequest(referral=referral), timeout=DEADLINE_S
        )
        signed = SignedManifest(answer.manifest, answer.signature)
        self._own_verified(signed.verify)
        if signed.manifest.header.referral != referral:
            raise SafehandError(Reason.MANIFEST_MISMATCH, "the manifest is for something else")
        return self._answer(signed, "WITHDRAW", reason)

    def _manifest(self, referral: Fetched | str) -> SignedManifest:
        return self.received(referral) if isinstance(referral, str) else referral.signed

    def _answer(self, manifest: SignedManifest, word: str, reason: str) -> referral_pb2.Referral:
        name = f"{word.lower()}-{manifest.digest.hex()}"
        kept = self._pending.get(name)
        if kept is None:
            kept = self._pending.keep(name, self._sign_answer(manifest, word, reason))
        try:
            ack = self.stubs.consent.RecordAnswer(
                consent_pb2.RecordAnswerRequest(
                    request_id=ids.new_request_id(self._entropy),
                    answer=kept.data,
                    signature=kept.signature,
                ),
                timeout=DEADLINE_S,
            )
        except SafehandError as error:
            if error.reason not in PASSING:
                self._pending.forget(name)
            raise
        # Consent has it: from here on only these bytes can ever be filed at referral.
        try:
            state = self.stubs.referral.AnswerReferral(
                referral_pb2.AnswerReferralRequest(
                    request_id=ids.new_request_id(self._entropy),
                    answer=kept.data,
                    signature=kept.signature,
                    ack=ack.ack,
                    ack_signature=ack.ack_signature,
                ),
                timeout=DEADLINE_S,
            ).referral
        except SafehandError as error:
            if error.reason in (Reason.REFERRAL_CLOSED, Reason.STATE_CONFLICT):
                self._pending.forget(name)
            raise
        self._pending.forget(name)
        if state.state in CLOSED:
            self.drafts.forget(state.referral)
        return state

    def _sign_answer(self, manifest: SignedManifest, word: str, reason: str) -> Statement:
        signed = SignedAnswer.sign(
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
        return Statement(signed.answer_bytes, signed.signature)

    def complete(self, referral: str, outcome: str) -> referral_pb2.Referral:
        """Close an accepted referral with its outcome."""
        return self.stubs.referral.CompleteReferral(
            referral_pb2.CompleteReferralRequest(
                request_id=ids.new_request_id(self._entropy), referral=referral, outcome=outcome
            ),
            timeout=DEADLINE_S,
        ).referral

    def follow(
        self,
        after: int = 0,
        *,
        reconnect: bool = True,
        on_retry: Callable[[SafehandError, float], None] = lambda *_: None,
    ) -> Iterator[notify_pb2.Delivery]:
        """Our events behind the cursor ``after``, for as long as the caller listens.

        At least once; keep the cursor of what was dealt with. A stream that ends (a restart, or
        the age at which the service ends every connection) is begun again behind the last cursor,
        with back-off; ``on_retry`` hears why and how many seconds later. With ``reconnect`` False
        it raises UNAVAILABLE instead. Ends when the client is closed.
        """
        wait = RECONNECT_S
        while not self._closed.is_set():
            try:
                for delivery in self._stream(after):
                    after, wait = delivery.cursor, RECONNECT_S
                    yield delivery
                error = SafehandError(Reason.UNAVAILABLE, "the service ended the stream")
            except SafehandError as caught:
                error = caught
            if self._closed.is_set():
                return
            if not reconnect or error.reason not in AWAY:
                raise error
            pause = max(wait, error.retry_after_s or 0.0)
            on_retry(error, pause)
            self._closed.wait(pause)
            wait = min(wait * 2, RECONNECT_MAX_S)

    def _stream(self, after: int) -> Iterator[notify_pb2.Delivery]:
        stream: Any = self.stubs.notify.Follow(notify_pb2.FollowRequest(after=after))
        try:
            for answer in stream:
                yield answer.delivery
        finally:
            stream.cancel()

    def acknowledge_deliveries(self, up_to: int) -> int:
        """Say that everything up to the cursor ``up_to`` was dealt with, not only read.

        Do it after acting, above all on a stop: until then the operator is told to phone us.
        Returns the highest cursor that we ever acknowledged.
        """
        return self.stubs.notify.AcknowledgeDeliveries(
            notify_pb2.AcknowledgeDeliveriesRequest(
                request_id=ids.new_request_id(self._entropy), up_to=up_to
            ),
            timeout=DEADLINE_S,
        ).acknowledged

    def deliveries(self, after: int = 0) -> list[notify_pb2.Delivery]:
        """One page of the same, for who prefers to ask."""
        return list(
            self.stubs.notify.ListDeliveries(
                notify_pb2.ListDeliveriesRequest(after=after), timeout=DEADLINE_S
            ).deliveries
        )

"""Sealing a referral again: the same referral, its place and its clocks, under new keys.

After her consent ended for good, or when the recipient lost its key, nothing that was sent can be
opened any more. The sender has its own draft; with a new consent of hers, or to the recipient's
new key, it seals the same content again.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace

from safehand.intake.v1.intake_pb2 import IntakeForm
from safehand.referral.v1 import referral_pb2
from safehand_core import ids
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CARD
from safehand_formats.manifest import SignedManifest

from safehand_client._internal.calls import DEADLINE_S
from safehand_client._internal.pending import PASSING
from safehand_client._internal.sending import Sending, Sent


class Resealing(Sending):
    """What a sender does when what it sent can no longer be opened."""

    def reseal(
        self,
        referral: str,
        *,
        grant: str = "",
        form: IntakeForm | None = None,
        categories: Collection[str] = (),
        not_after: int | None = None,
    ) -> Sent:
        """Seal ``referral`` again, under ``grant`` (default: the one it is under) and to the
        recipient's newest key.

        The content is that of our kept draft, or ``form``; what is sent is what was sent before,
        or ``categories``. A crash in between is finished by ``resend``. A refusal leaves the draft
        as it was. Raises what ``send`` raises, NOT_FOUND where no draft is kept and no form given,
        MANIFEST_MISMATCH where neither consent nor key is new, CONSENT_MISSING for a consent of
        somebody else, REFERRAL_CLOSED.
        """
        older = self._sent_before(referral)
        before = older.manifest.header
        wanted = [CARD, *sorted(set(categories or older.manifest.categories) - {CARD})]
        kept = None if form is not None else self.drafts.read(referral)
        content = form if form is not None else self._form_of(referral)
        under = grant or before.grant

        def until(end: int) -> Sent:
            now = self._clock.wall()
            self.trust.covering(before.recipient, before.purpose, wanted, now)
            self.forget_recipient_key(before.recipient)
            key = self.recipient_key(before.recipient, end)
            header = replace(
                before,
                grant=under,
                sender_key=self.fingerprint,
                recipient_key=key.record.kid,
                created=now,
                not_after=end,
                reseals=older.digest.hex(),
            )
            draft = self._seal(header, key, content, wanted)
            self.drafts.keep(referral, draft.encode(), not_after=end)
            try:
                return self._transmit(draft)
            except SafehandError as error:
                if kept is not None and error.reason not in PASSING:
                    self.drafts.keep(referral, kept, not_after=before.not_after)
                raise

        return self._inside(under, not_after, until)

    def _sent_before(self, referral: str) -> SignedManifest:
        """The manifest that holds for a referral that we sent."""
        answer = self.stubs.referral.GetReferral(
            referral_pb2.GetReferralRequest(referral=referral), timeout=DEADLINE_S
        )
        signed = SignedManifest(answer.manifest, answer.signature)
        header = signed.manifest.header
        if (header.referral, header.sender) != (referral, self.agency):
            raise SafehandError(Reason.MANIFEST_MISMATCH, "the manifest is for something else")
        with suppress(SafehandError):
            if self._manifest_of(referral).digest == signed.digest:
                return signed  # our own, whatever key of ours signed it then
        self._own_verified(signed.verify)
        return signed

    def ask_reseal(self, referral: str) -> referral_pb2.Referral:
        """As the recipient: say that we cannot open it any more; the sender hears of it."""
        return self.stubs.referral.AskReseal(
            referral_pb2.AskResealRequest(
                request_id=ids.new_request_id(self._entropy), referral=referral
            ),
            timeout=DEADLINE_S,
        ).referral

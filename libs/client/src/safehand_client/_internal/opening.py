"""Fetching and opening what was sent to us, believing nothing unproven."""

from __future__ import annotations

from dataclasses import dataclass

from safehand.consent.v1 import consent_pb2, ledger_pb2
from safehand.intake.v1.intake_pb2 import IntakeForm
from safehand.referral.v1 import referral_pb2
from safehand_core import ids
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats import sealing
from safehand_formats.kinds import Kind
from safehand_formats.manifest import Manifest, SignedManifest
from safehand_formats.release_request import ReleaseRequest, SignedReleaseRequest

from safehand_client import intake
from safehand_client._internal.calls import DEADLINE_S
from safehand_client._internal.keys import CLOSED, RecipientKeys
from safehand_client._internal.receipts import verify_receipt


@dataclass(frozen=True, slots=True)
class Fetched:
    """A referral as the recipient got it, its manifest verified under our own protocol copy."""

    referral: str
    state: referral_pb2.Referral
    signed: SignedManifest
    manifest: Manifest
    parts: tuple[referral_pb2.SealedPart, ...]

    def part_of(self, category: str) -> int:
        """The part id of ``category``; raises NOT_FOUND where it was not sent."""
        for part in self.manifest.parts:
            if part.label.category == category:
                return part.label.id
        raise SafehandError(Reason.NOT_FOUND, "no part of this category was sent")


@dataclass(frozen=True, slots=True)
class Look:
    """A signed wish to open one part, not yet answered."""

    fetched: Fetched
    request: ReleaseRequest
    signed: SignedReleaseRequest


@dataclass(frozen=True, slots=True)
class Opened:
    """One opened part, and the index of the DISCLOSE leaf that she will see."""

    category: str
    form: IntakeForm
    disclose_index: int
    receipt: ledger_pb2.Receipt


class Opening(RecipientKeys):
    """What a receiving agency does."""

    def status(self, referral: str) -> referral_pb2.Referral:
        """Where the referral stands, without parts; forgets our draft once it is closed."""
        answer = self.stubs.referral.GetReferral(
            referral_pb2.GetReferralRequest(referral=referral), timeout=DEADLINE_S
        )
        if answer.referral.state in CLOSED:
            self.drafts.forget(referral)
        return answer.referral

    def referrals(self) -> list[referral_pb2.Referral]:
        """All of ours, newest first."""
        out: list[referral_pb2.Referral] = []
        token = ""
        while True:
            page = self.stubs.referral.ListReferrals(
                referral_pb2.ListReferralsRequest(page_token=token), timeout=DEADLINE_S
            )
            out += page.referrals
            token = page.next_page_token
            if not token:
                return out

    def fetch(self, referral: str) -> Fetched:
        """Get a referral that was sent to us, and verify everything that can be verified.

        Raises SIGNATURE_INVALID unless a key of the sender's, of that day, signed the manifest, and
        MANIFEST_MISMATCH unless the parts are the manifest's.
        """
        answer = self.stubs.referral.GetReferral(
            referral_pb2.GetReferralRequest(referral=referral, with_parts=True),
            timeout=DEADLINE_S,
        )
        signed, manifest = self._verified(referral, answer)
        if len(answer.parts) != len(manifest.parts):
            raise SafehandError(Reason.MANIFEST_MISMATCH, "parts are missing or too many")
        for part, sealed in zip(manifest.parts, answer.parts, strict=True):
            part.match_ciphertext(sealed.ciphertext)
        return Fetched(referral, answer.referral, signed, manifest, tuple(answer.parts))

    def received(self, referral: str) -> SignedManifest:
        """The manifest of a referral that was sent to us, verified as ``fetch`` does.

        Without parts, so also while sharing is stopped: it is what an answer is about.
        """
        answer = self.stubs.referral.GetReferral(
            referral_pb2.GetReferralRequest(referral=referral), timeout=DEADLINE_S
        )
        return self._verified(referral, answer)[0]

    def _verified(
        self, referral: str, answer: referral_pb2.GetReferralResponse
    ) -> tuple[SignedManifest, Manifest]:
        signed = SignedManifest(answer.manifest, answer.signature)
        header = signed.manifest.header
        self.trust.protocol_with(header.sender)
        # By the sender's key of that day: consent was asked when it was sent, and is asked again
        # before anything opens.
        manifest = self._peer_verified(
            header.sender, lambda key: key.held_at(header.created), signed.verify
        )
        # What was agreed when it was made: a newer, narrower protocol takes back nothing.
        self.trust.covering(header.sender, header.purpose, manifest.categories, header.created)
        if header.recipient != self.agency or header.referral != referral:
            raise SafehandError(Reason.MANIFEST_MISMATCH, "the manifest is for something else")
        return signed, manifest

    def confirm_delivery(self, referral: str) -> referral_pb2.Referral:
        """Our system holds the sealed parts."""
        return self.stubs.referral.ConfirmDelivery(
            referral_pb2.ConfirmDeliveryRequest(
                request_id=ids.new_request_id(self._entropy), referral=referral
            ),
            timeout=DEADLINE_S,
        ).referral

    def acknowledge(self, referral: str) -> referral_pb2.Referral:
        """We have it: whoever sent it sees that we say so."""
        return self.stubs.referral.AcknowledgeReferral(
            referral_pb2.AcknowledgeReferralRequest(
                request_id=ids.new_request_id(self._entropy), referral=referral
            ),
            timeout=DEADLINE_S,
        ).referral

    def open(self, fetched: Fetched, category: str, *, worker_ref: str) -> Opened:
        """Open one part: one look, one DISCLOSE leaf, which she sees. See ``finish_look``."""
        return self.finish_look(self.prepare_look(fetched, category, worker_ref=worker_ref))

    def prepare_look(self, fetched: Fetched, category: str, *, worker_ref: str) -> Look:
        """Sign the wish to open one part. Finishing it twice is still one look and one leaf."""
        request = ReleaseRequest(
            manifest=fetched.signed.digest.hex(),
            referral=fetched.referral,
            part=fetched.part_of(category),
            recipient=self.agency,
            worker_ref=worker_ref,
            request_id=ids.new_request_id(self._entropy),
        )
        return Look(fetched, request, SignedReleaseRequest.sign(request, self._identity))

    def finish_look(self, look: Look) -> Opened:
        """Ask for the key and open the part; may be asked again when the answer was lost.

        The answer is used only if its proof is for a DISCLOSE leaf whose opened body names this
        manifest, part, recipient, worker and request, under the pinned ledger key, at a head that
        continues the last one we saw (PROTOCOL rule 8). The content key is not kept.
        Raises CONSENT_ENDED, NOT_ACCEPTED, REFERRAL_CLOSED, PROOF_INVALID, MANIFEST_MISMATCH.
        """
        fetched, request = look.fetched, look.request
        header = fetched.manifest.header
        part = fetched.manifest.parts[request.part]
        sealed = fetched.parts[request.part]
        asked_at = self.head.now()
        answer = self.stubs.consent.ReleaseKey(
            consent_pb2.ReleaseKeyRequest(
                request=look.signed.request_bytes,
                signature=look.signed.signature,
                outer_wrap=sealed.outer_wrap,
            ),
            timeout=DEADLINE_S,
        )
        verify_receipt(
            answer.receipt,
            Kind.DISCLOSE,
            {
                "grant": header.grant,
                "manifest": request.manifest,
                "part": request.part,
                "category": part.label.category,
                "stage": part.label.stage,
                "recipient": self.agency,
                "worker_ref": request.worker_ref,
                "request": look.signed.digest.hex(),
            },
            self._verifier,
            head=self.head,
            asked_at=asked_at,
        )
        part.match_wrap(answer.inner_wrap)
        seed = self._keys.secret(f"recipient-{header.recipient_key}", create=False)
        content = sealing.open_part(header, part.label, sealed.ciphertext, answer.inner_wrap, seed)
        category = part.label.category
        return Opened(
            category, intake.parse(content, category), answer.receipt.index, answer.receipt
        )

"""Sealing and sending a referral, so that a crash loses nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from safehand.consent.v1 import consent_pb2, ledger_pb2
from safehand.intake.v1.intake_pb2 import IntakeForm
from safehand.referral.v1 import referral_pb2
from safehand_core import ids
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_core.words import CARD
from safehand_formats import sealing
from safehand_formats.keyrecord import SignedKeyRecord
from safehand_formats.kinds import Kind
from safehand_formats.manifest import Header, Manifest, PartLabel, SignedManifest

from safehand_client import intake
from safehand_client._internal.calls import DEADLINE_S
from safehand_client._internal.keys import DAY_S, RecipientKeys
from safehand_client._internal.pending import PASSING
from safehand_client._internal.receipts import verify_receipt

STALE_TOKEN: Final = frozenset({Reason.TOKEN_INVALID, Reason.TOKEN_EXPIRED})
"""Refusals that a fresh token may mend."""
REFERRAL_DAYS: Final = 30
"""Days until a manifest ends when nobody says otherwise (PROTOCOL step 6)."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A referral that was authorised and stored. ``refer_index``: its REFER leaf."""

    referral: str
    manifest_digest: bytes
    refer_index: int
    receipt: ledger_pb2.Receipt
    state: referral_pb2.Referral


class Sending(RecipientKeys):
    """What a releasing agency does."""

    def register_subject(
        self,
        subject_ref: str,
        card_number: str,
        pin: str,
        *,
        cosign: bool = False,
        alone_purposes: Sequence[str] = (),
    ) -> None:
        """File her paper card under our own reference for her (never a name).

        ``cosign``: a guardian must sign what she grants, but for ``alone_purposes``.
        """
        self.stubs.consent.RegisterSubject(
            consent_pb2.RegisterSubjectRequest(
                request_id=ids.new_request_id(self._entropy),
                subject_ref=subject_ref,
                card_number=card_number,
                pin=pin,
                cosign=cosign,
                alone_purposes=sorted(set(alone_purposes)),
            ),
            timeout=DEADLINE_S,
        )

    def grants(self, subject_ref: str = "") -> list[consent_pb2.AgencyGrant]:
        """Every grant of which we are the releasing agency, newest first."""
        out: list[consent_pb2.AgencyGrant] = []
        token = ""
        while True:
            page = self.stubs.consent.ListAgencyGrants(
                consent_pb2.ListAgencyGrantsRequest(subject_ref=subject_ref, page_token=token),
                timeout=DEADLINE_S,
            )
            out += page.grants
            token = page.next_page_token
            if not token:
                return out

    def send(
        self,
        *,
        grant: str,
        recipient: str,
        purpose: str,
        service: str,
        form: IntakeForm,
        categories: Sequence[str],
        urgency: str = "normal",
        not_after: int | None = None,
    ) -> Sent:
        """Seal the named categories of ``form`` for ``recipient``, authorise, and send.

        CARD is always the first part. Two round trips, and one more when the ledger has grown.
        A crash in between loses nothing: ``resend`` finishes what the kept draft began. The draft
        holds the named categories alone. It goes with a definite refusal, at its own end, and when
        the referral is closed.

        ``not_after``: the referral's end, seconds since the epoch; by default 30 days from now, or
        the consent's own end where that comes sooner. Raises EXPIRY_INVALID where it is later.
        """

        def until(end: int) -> Sent:
            return self._send(grant, recipient, purpose, service, form, categories, urgency, end)

        return self._inside(grant, not_after, until)

    def _inside(self, grant: str, not_after: int | None, until: Callable[[int], Sent]) -> Sent:
        """What ``until`` an end did. A consent that ends before the default is looked up only once
        consent said so: most last longer, and each round trip is time."""
        if not_after is not None:
            return until(not_after)
        usual = self._clock.wall() + REFERRAL_DAYS * DAY_S
        try:
            return until(usual)
        except SafehandError as error:
            if error.reason is not Reason.EXPIRY_INVALID:
                raise
            sooner = self._terms_of(grant).expires_at.seconds
            if sooner >= usual:
                raise
        return until(sooner)

    def _terms_of(self, grant: str) -> consent_pb2.Terms:
        """Of one of our grants; raises CONSENT_MISSING."""
        for item in self.grants():
            if item.grant == grant:
                return item.terms
        raise SafehandError(Reason.CONSENT_MISSING)

    def _send(
        self,
        grant: str,
        recipient: str,
        purpose: str,
        service: str,
        form: IntakeForm,
        categories: Sequence[str],
        urgency: str,
        end: int,
    ) -> Sent:
        now = self._clock.wall()
        wanted = [CARD, *sorted(set(categories) - {CARD})]
        self.trust.covering(recipient, purpose, wanted, now)
        self.drafts.drop_ended(now)
        key = self.recipient_key(recipient, end)
        header = Header(
            referral=ids.new_id(self._entropy),
            grant=grant,
            sender=self.agency,
            sender_key=self.fingerprint,
            recipient=recipient,
            recipient_key=key.record.kid,
            purpose=purpose,
            service=service,
            urgency=urgency,
            created=now,
            not_after=end,
        )
        draft = self._seal(header, key, form, wanted)
        self.drafts.keep(header.referral, draft.encode(), not_after=end)
        return self._transmit(draft)

    def _seal(
        self, header: Header, key: SignedKeyRecord, form: IntakeForm, wanted: Sequence[str]
    ) -> _Draft:
        """Each of ``wanted`` as a part, in that order, under one signed manifest."""
        sealed = []
        for number, category in enumerate(wanted):
            content = intake.project(form, category)
            label = PartLabel(
                id=number,
                category=category,
                stage="card" if category == CARD else "identity",
                schema=intake.SCHEMA_VERSION,
                bucket=sealing.bucket_for(len(content)),
            )
            sealed.append(
                sealing.seal_part(header, label, content, key.record.public, self._entropy)
            )
        manifest = Manifest(header, tuple(part.part for part in sealed))
        signed = SignedManifest.sign(manifest, self._identities.of(header.sender_key))
        return _Draft(
            signed,
            key,
            tuple(part.ciphertext for part in sealed),
            tuple(part.inner_wrap for part in sealed),
            intake.narrowed(form, wanted),
        )

    def _form_of(self, referral: str) -> IntakeForm:
        """What we sent, from our own draft; raises NOT_FOUND."""
        return _Draft.decode(self.drafts.read(referral)).form

    def _manifest_of(self, referral: str) -> SignedManifest:
        """The manifest of our own draft; raises NOT_FOUND."""
        return _Draft.decode(self.drafts.read(referral)).signed

    def resend(self, referral: str) -> Sent:
        """Finish a send that was interrupted: the same manifest, the same REFER leaf."""
        return self._transmit(_Draft.decode(self.drafts.read(referral)))

    def _transmit(self, draft: _Draft) -> Sent:
        """Raises what either service refuses; a definite refusal ends the draft.

        A token is bound to our certificate, and to a token key of consent's. Where either was
        replaced between the two calls, the same manifest is authorised once more: same REFER.
        """
        try:
            try:
                return self._authorise_and_create(draft)
            except SafehandError as error:
                if error.reason not in STALE_TOKEN:
                    raise
            return self._authorise_and_create(draft)
        except SafehandError as error:
            if error.reason not in PASSING:
                self.drafts.forget(draft.signed.manifest.header.referral)
            raise

    def _authorise_and_create(self, draft: _Draft) -> Sent:
        signed, manifest = draft.signed, draft.signed.manifest
        header = manifest.header
        asked_at = self.head.now()
        allowed = self.stubs.consent.AuthorizeReferral(
            consent_pb2.AuthorizeReferralRequest(
                request_id=ids.new_request_id(self._entropy),
                manifest=signed.manifest_bytes,
                signature=signed.signature,
                inner_wraps=draft.inner_wraps,
                recipient_key_record=draft.key.record_bytes,
                recipient_key_signature=draft.key.signature,
            ),
            timeout=DEADLINE_S,
        )
        verify_receipt(
            allowed.receipt,
            Kind.REFER,
            {
                "grant": header.grant,
                "manifest": signed.digest.hex(),
                "referral": header.referral,
                "recipient": header.recipient,
            },
            self._verifier,
            head=self.head,
            asked_at=asked_at,
        )
        if len(allowed.outer_wraps) != len(draft.ciphertexts):
            raise SafehandError(Reason.MANIFEST_MISMATCH, "outer wraps are missing or too many")
        created = self.stubs.referral.CreateReferral(
            referral_pb2.CreateReferralRequest(
                request_id=ids.new_request_id(self._entropy),
                token=allowed.token,
                manifest=signed.manifest_bytes,
                signature=signed.signature,
                parts=[
                    referral_pb2.SealedPart(ciphertext=ciphertext, outer_wrap=outer)
                    for ciphertext, outer in zip(
                        draft.ciphertexts, allowed.outer_wraps, strict=True
                    )
                ],
            ),
            timeout=DEADLINE_S,
        )
        return Sent(
            header.referral,
            signed.digest,
            allowed.receipt.index,
            allowed.receipt,
            created.referral,
        )


@dataclass(frozen=True, slots=True)
class _Draft:
    """Everything that a repeated send needs, and what of the form was sent."""

    signed: SignedManifest
    key: SignedKeyRecord
    ciphertexts: tuple[bytes, ...]
    inner_wraps: tuple[bytes, ...]
    form: IntakeForm

    def encode(self) -> bytes:
        def b(data: bytes) -> str:
            return base64.b64encode(data).decode()

        return json.dumps(
            {
                "manifest": b(self.signed.manifest_bytes),
                "signature": b(self.signed.signature),
                "key_record": b(self.key.record_bytes),
                "key_signature": b(self.key.signature),
                "ciphertexts": [b(x) for x in self.ciphertexts],
                "inner_wraps": [b(x) for x in self.inner_wraps],
                "form": b(self.form.SerializeToString(deterministic=True)),
            }
        ).encode()

    @classmethod
    def decode(cls, data: bytes) -> _Draft:
        found = json.loads(data)
        form = IntakeForm()
        form.ParseFromString(base64.b64decode(found["form"]))
        return cls(
            SignedManifest(
                base64.b64decode(found["manifest"]), base64.b64decode(found["signature"])
            ),
            SignedKeyRecord(
                base64.b64decode(found["key_record"]), base64.b64decode(found["key_signature"])
            ),
            tuple(base64.b64decode(x) for x in found["ciphertexts"]),
            tuple(base64.b64decode(x) for x in found["inner_wraps"]),
            form,
        )

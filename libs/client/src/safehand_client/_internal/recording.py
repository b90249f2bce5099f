"""What our worker took down for her, a second person's word, and her guardians."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from safehand.consent.v1 import guardians_pb2, recorded_pb2
from safehand_core import canonical, ids
from safehand_core.canonical import Json
from safehand_core.errors import SafehandError
from safehand_core.words import CARD
from safehand_formats.kinds import Kind
from safehand_formats.record import Record, RecordedTerms, Second, SignedRecord, SignedSecond

from safehand_client._internal.base import AgencyBase
from safehand_client._internal.calls import DEADLINE_S
from safehand_client._internal.notice import NOTICE_SHA256
from safehand_client._internal.pending import PASSING, Statement
from safehand_client._internal.receipts import verify_receipt

DAY_S: Final = 24 * 3600
RECORD_DAYS: Final = 90
"""Days that a recorded consent runs where nothing else is said, as at the portal."""
ERASE_AFTER_DAYS: Final = 30
"""Days after its end until the recipient must have erased it, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was filed. ``record`` (64 hex) is what a second person names; ``grant`` is empty unless
    we are the releasing agency; ``confirm_by``: seconds since the epoch."""

    record: str
    grant: str
    confirm_by: int


class Recording(AgencyBase):
    """Records and seconds of one agency, signed with its identity key."""

    def record_consent(
        self,
        *,
        subject_ref: str,
        worker_ref: str,
        medium: str,
        releasing: str,
        recipient: str,
        purpose: str,
        categories: Sequence[str],
        days: int = RECORD_DAYS,
        erase_after_days: int = ERASE_AFTER_DAYS,
        language: str = "en",
        given_how: str = "heard",
        present: str = "with_worker",
    ) -> Recorded:
        """File what she said to our worker on paper, by mouth, or through an interpreter.

        It is provisional: she confirms it at the portal, or it lapses. May be repeated until it is
        answered: the record that was signed first is sent again. Raises NOT_ALLOWED where we are
        the recipient, NOT_FOUND, QUOTA_EXCEEDED, PROTOCOL_MISSING, PROOF_INVALID.
        """
        said: dict[str, Json] = {
            "subject_ref": subject_ref,
            "worker_ref": worker_ref,
            "medium": medium,
            "releasing": releasing,
            "recipient": recipient,
            "purpose": purpose,
            "categories": [*sorted({*categories, CARD})],
            "days": days,
            "erase_after_days": erase_after_days,
            "language": language,
            "given_how": given_how,
            "present": present,
        }
        name = f"record-{hashlib.sha256(canonical.encode(said)).hexdigest()}"
        kept = self._pending.get(name)
        if kept is None:
            now = self._clock.wall()
            terms = RecordedTerms(
                releasing=releasing,
                recipient=recipient,
                purpose=purpose,
                categories=tuple(sorted({*categories, CARD})),
                expires_at=now + days * DAY_S,
                erase_by=now + (days + erase_after_days) * DAY_S,
                notice=NOTICE_SHA256,
                language=language,
                given_how=given_how,
                present=present,
            )
            request_id = ids.new_request_id(self._entropy)
            record = Record(self.agency, worker_ref, subject_ref, medium, terms, request_id, now)
            signed = SignedRecord.sign(record, self._identity)
            kept = self._pending.keep(name, Statement(signed.record_bytes, signed.signature))
        return self._send_record(name, SignedRecord(kept.data, kept.signature))

    def _send_record(self, name: str, signed: SignedRecord) -> Recorded:
        asked_at = self.head.now()
        try:
            done = self.stubs.consent.RecordGrant(
                recorded_pb2.RecordGrantRequest(
                    record=signed.record_bytes, signature=signed.signature
                ),
                timeout=DEADLINE_S,
            )
            if done.HasField("receipt"):
                record = signed.record
                expected: dict[str, Json] = {
                    "grant": done.grant,
                    "recorded_by": record.agency,
                    "recorder_ref": record.worker_ref,
                    "medium": record.medium,
                    "record": signed.digest.hex(),
                    "recipient": record.terms.recipient,
                    "purpose": record.terms.purpose,
                    "categories": [*record.terms.categories],
                    "expires_at": record.terms.expires_at,
                }
                verify_receipt(
                    done.receipt,
                    Kind.GRANT,
                    expected,
                    self._verifier,
                    head=self.head,
                    asked_at=asked_at,
                )
        except SafehandError as error:
            if error.reason not in PASSING:
                self._pending.forget(name)
            raise
        self._pending.forget(name)
        return Recorded(signed.digest.hex(), done.grant, done.confirm_by.seconds)

    def second_consent(self, *, subject_ref: str, worker_ref: str, record: str) -> None:
        """Let a second person of ours stand by a record (its digest, 64 hex).

        May be repeated until it is answered. Raises NOT_ALLOWED for who recorded it, or where we
        are the recipient; NOT_FOUND, CONSENT_ENDED, ALREADY_EXISTS, PROOF_INVALID.
        """
        name = f"second-{record}-{worker_ref}"
        kept = self._pending.get(name)
        if kept is None:
            second = Second(
                self.agency,
                worker_ref,
                subject_ref,
                record,
                ids.new_request_id(self._entropy),
                self._clock.wall(),
            )
            made = SignedSecond.sign(second, self._identity)
            kept = self._pending.keep(name, Statement(made.second_bytes, made.signature))
        signed = SignedSecond(kept.data, kept.signature)
        asked_at = self.head.now()
        try:
            done = self.stubs.consent.SecondGrant(
                recorded_pb2.SecondGrantRequest(
                    second=signed.second_bytes, signature=signed.signature
                ),
                timeout=DEADLINE_S,
            )
            if done.HasField("receipt"):
                expected: dict[str, Json] = {
                    "by": "second",
                    "agency": self.agency,
                    "worker_ref": worker_ref,
                    "record": signed.digest.hex(),
                }
                verify_receipt(
                    done.receipt,
                    Kind.CONFIRM,
                    expected,
                    self._verifier,
                    head=self.head,
                    asked_at=asked_at,
                )
        except SafehandError as error:
            if error.reason not in PASSING:
                self._pending.forget(name)
            raise
        self._pending.forget(name)

    # --- guardians

    def set_cosign(
        self, subject_ref: str, *, cosign: bool, alone_purposes: Sequence[str] = ()
    ) -> None:
        """Say whether a guardian must sign what she grants, but for ``alone_purposes``.

        It is our word alone: where another agency says so too, that holds until it takes it back.
        """
        self.stubs.consent.SetCosign(
            guardians_pb2.SetCosignRequest(
                request_id=ids.new_request_id(self._entropy),
                subject_ref=subject_ref,
                cosign=cosign,
                alone_purposes=sorted(set(alone_purposes)),
            ),
            timeout=DEADLINE_S,
        )

    def register_guardian(self, subject_ref: str, card_number: str, pin: str) -> str:
        """File a guardian's own card; returns his id. Raises QUOTA_EXCEEDED, NOT_ALLOWED."""
        return self.stubs.consent.RegisterGuardian(
            guardians_pb2.RegisterGuardianRequest(
                request_id=ids.new_request_id(self._entropy),
                subject_ref=subject_ref,
                card_number=card_number,
                pin=pin,
            ),
            timeout=DEADLINE_S,
        ).guardian

    def exclude_guardian(self, subject_ref: str, guardian: str = "") -> None:
        """Bar a guardian, or all that she has, at once and for ever."""
        self.stubs.consent.ExcludeGuardian(
            guardians_pb2.ExcludeGuardianRequest(
                request_id=ids.new_request_id(self._entropy),
                subject_ref=subject_ref,
                guardian=guardian,
            ),
            timeout=DEADLINE_S,
        )

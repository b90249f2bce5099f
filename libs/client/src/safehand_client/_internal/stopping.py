"""What our workers do when she asks them to stop, to undo a stop that was made for her, or for a
number to sign in with."""

from __future__ import annotations

from typing import Literal

from safehand.consent.v1 import stops_pb2
from safehand_core import ids
from safehand_core.canonical import Json
from safehand_formats.kinds import Kind
from safehand_formats.resume import Resume, SignedResume

from safehand_client._internal.base import AgencyBase
from safehand_client._internal.calls import DEADLINE_S
from safehand_client._internal.receipts import verify_receipt

Whom = Literal["subject_ref", "card_number", "grant", "representative_code"]
"""How a wish names her: our own reference, the number on her card, one grant, or a code that she
gave to somebody she trusts."""


class Stopping(AgencyBase):
    """Stops for her, their undoing, and a number to sign in with."""

    def stop_for_her(
        self, whom: Whom, value: str, *, worker_ref: str, channel: str, coercion: bool = False
    ) -> int:
        """Take down her wish to stop; returns when, seconds since the epoch.

        The answer never says for whom it was, how many it stopped, or whether any. Raises
        QUOTA_EXCEEDED when it was asked too often; a first stop was made even then.
        """
        request = stops_pb2.StopForHerRequest(
            request_id=ids.new_request_id(self._entropy),
            worker_ref=worker_ref,
            channel=channel,
            why="coercion" if coercion else "",
        )
        setattr(request, whom, value)
        answer = self.stubs.consent.StopForHer(request, timeout=DEADLINE_S)
        return int(answer.recorded_at.seconds)

    def lift_wait(self, subject_ref: str, *, worker_ref: str, code_word: str) -> tuple[str, int]:
        """Get a number to read out to her; returns it and when it ends, seconds since the epoch.

        One of our workers heard her code word. Raises NOT_ALLOWED (whatever was wrong), THROTTLED,
        QUOTA_EXCEEDED.
        """
        answer = self.stubs.consent.LiftWait(
            stops_pb2.LiftWaitRequest(
                request_id=ids.new_request_id(self._entropy),
                subject_ref=subject_ref,
                worker_ref=worker_ref,
                code_word=code_word,
            ),
            timeout=DEADLINE_S,
        )
        return str(answer.number), int(answer.expires_at.seconds)

    def resume_for_her(
        self, grant: str, *, worker_ref: str, second_ref: str, code_word: str
    ) -> int:
        """Undo a stop that was made for her; returns the index of RESUME, its receipt verified.

        We sign that two of our workers heard her code word. Raises RESUME_REFUSED, THROTTLED,
        MALFORMED (one worker twice), PROOF_INVALID.
        """
        said = Resume(
            agency=self.agency,
            grant=grant,
            worker_ref=worker_ref,
            second_ref=second_ref,
            request_id=ids.new_request_id(self._entropy),
            at=self._clock.wall(),
        )
        signed = SignedResume.sign(said, self._identity)
        asked_at = self.head.now()
        done = self.stubs.consent.ResumeForHer(
            stops_pb2.ResumeForHerRequest(
                request_id=said.request_id,
                resume=signed.resume_bytes,
                signature=signed.signature,
                code_word=code_word,
            ),
            timeout=DEADLINE_S,
        )
        expected: dict[str, Json] = {
            "grant": grant,
            "by": "staff",
            "agency": self.agency,
            "worker_ref": worker_ref,
            "second_ref": second_ref,
        }
        verify_receipt(
            done.receipt,
            Kind.RESUME,
            expected,
            self._verifier,
            head=self.head,
            asked_at=asked_at,
        )
        return int(done.receipt.index)

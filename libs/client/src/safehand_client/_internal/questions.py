"""What she is asked and what she says; what she takes out of a consent again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp
from safehand.consent.v1 import asks_pb2, narrow_pb2
from safehand_core import ids
from safehand_core.canonical import Json
from safehand_core.entropy import Entropy
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.kinds import Kind, grant_tag
from safehand_formats.leaf import Leaf
from safehand_formats.note import NoteVerifier

from safehand_client._internal.calls import DEADLINE_S, Stubs
from safehand_client._internal.notice import NOTICE_SHA256
from safehand_client._internal.receipts import verify_receipt


@dataclass(frozen=True, slots=True)
class Circumstances:
    """How a question was put to her: by default read, in English, alone, with our own notice."""

    language: str = "en"
    given_how: str = "read"
    present: str = "alone"
    notice_sha256: str = NOTICE_SHA256

    def message(self) -> asks_pb2.Shown:
        return asks_pb2.Shown(
            notice_sha256=self.notice_sha256,
            language=self.language,
            given_how=self.given_how,
            present=self.present,
        )


class Questions:
    """Mixed into ``SurvivorClient``, which sets what is declared here."""

    stubs: Stubs
    session: bytes
    _entropy: Entropy
    _vkey_path: Path

    def questions(
        self, state: asks_pb2.QuestionState.ValueType = asks_pb2.QUESTION_STATE_OPEN
    ) -> list[asks_pb2.Question]:
        """What she was asked, in ``state``, newest first."""
        out: list[asks_pb2.Question] = []
        token = ""
        while True:
            page = self.stubs.consent.ListQuestions(
                asks_pb2.ListQuestionsRequest(session=self.session, state=state, page_token=token),
                timeout=DEADLINE_S,
            )
            out += page.questions
            token = page.next_page_token
            if not token:
                return out

    def say_yes(
        self,
        ask: str,
        categories: Sequence[str],
        *,
        expires_at: int | None = None,
        erase_by: int | None = None,
        comprehension: str = "",
        shown: Circumstances | None = None,
    ) -> asks_pb2.AnswerQuestionResponse:
        """Yes to ``categories``, which is all or part of what was asked.

        Times are seconds since the epoch; None takes the service's default. Raises NOT_FOUND,
        STATE_CONFLICT (answered, or its time is over), SCOPE_EXCEEDED, EXPIRY_INVALID.
        """
        given = asks_pb2.Given(categories=sorted(set(categories)), comprehension=comprehension)
        if expires_at is not None:
            given.expires_at.CopyFrom(Timestamp(seconds=expires_at))
        if erase_by is not None:
            given.erase_by.CopyFrom(Timestamp(seconds=erase_by))
        request = self._answer(ask, asks_pb2.DECISION_YES)
        request.shown.CopyFrom((shown or Circumstances()).message())
        request.given.CopyFrom(given)
        return self.stubs.consent.AnswerQuestion(request, timeout=DEADLINE_S)

    def say_no(
        self, ask: str, *, shown: Circumstances | None = None
    ) -> asks_pb2.AnswerQuestionResponse:
        """No. Raises NOT_FOUND, STATE_CONFLICT."""
        request = self._answer(ask, asks_pb2.DECISION_NO)
        request.shown.CopyFrom((shown or Circumstances()).message())
        return self.stubs.consent.AnswerQuestion(request, timeout=DEADLINE_S)

    def say_later(self, ask: str, at: int | None = None) -> asks_pb2.AnswerQuestionResponse:
        """Not now; ``at``: a day (seconds since the epoch) that only she sees."""
        request = self._answer(ask, asks_pb2.DECISION_LATER)
        if at is not None:
            request.later_at.CopyFrom(Timestamp(seconds=at))
        return self.stubs.consent.AnswerQuestion(request, timeout=DEADLINE_S)

    def refusal_receipt(self, ask: str) -> asks_pb2.GetRefusalReceiptResponse:
        """The proof that she said no; raises NOT_FOUND."""
        return self.stubs.consent.GetRefusalReceipt(
            asks_pb2.GetRefusalReceiptRequest(session=self.session, ask=ask), timeout=DEADLINE_S
        )

    def verified_refusal(self, ask: str) -> tuple[int, dict[str, Json]]:
        """The index and the body of her REFUSE entry, checked under the vkey that this party
        pinned; raises PROOF_INVALID."""
        verifier = NoteVerifier.from_vkey(self._vkey_path.read_text().strip())
        return read_refusal(self.refusal_receipt(ask), ask, verifier)

    def narrow(
        self, grant: str, keep: Sequence[str], *, expires_at: int | None = None
    ) -> narrow_pb2.NarrowGrantResponse:
        """Take everything but ``keep`` out of a grant, or end it earlier; there is no undo.

        Raises NOT_FOUND, CONSENT_ENDED, SCOPE_EXCEEDED (not in it), EXPIRY_INVALID (later than
        now), MALFORMED (nothing would be left, or nothing would change).
        """
        request = narrow_pb2.NarrowGrantRequest(
            request_id=ids.new_request_id(self._entropy),
            session=self.session,
            grant=grant,
            categories=sorted(set(keep)),
        )
        if expires_at is not None:
            request.expires_at.CopyFrom(Timestamp(seconds=expires_at))
        return self.stubs.consent.NarrowGrant(request, timeout=DEADLINE_S)

    def _answer(
        self, ask: str, decision: asks_pb2.Decision.ValueType
    ) -> asks_pb2.AnswerQuestionRequest:
        return asks_pb2.AnswerQuestionRequest(
            request_id=ids.new_request_id(self._entropy),
            session=self.session,
            ask=ask,
            decision=decision,
        )


def read_refusal(
    answer: asks_pb2.GetRefusalReceiptResponse, ask: str, verifier: NoteVerifier
) -> tuple[int, dict[str, Json]]:
    """The index and the body of the REFUSE entry of ``ask``; raises PROOF_INVALID.

    Its tag derives from the question's secret, so nobody else's no can be shown in its place.
    """
    body = verify_receipt(answer.receipt, Kind.REFUSE, {"ask": ask}, verifier)
    try:
        derived = grant_tag(Kind.REFUSE, answer.secret, 0)
    except SafehandError as error:
        raise SafehandError(Reason.PROOF_INVALID, error.detail) from error
    if Leaf.decode(answer.receipt.leaf).tag != derived:
        raise SafehandError(Reason.PROOF_INVALID, "the tag is not derived from the question")
    return answer.receipt.index, body

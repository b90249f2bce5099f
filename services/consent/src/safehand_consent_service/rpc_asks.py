"""Asking and answering, and narrowing what was given: messages to use cases and back."""

from __future__ import annotations

from typing import Any, Final

from safehand.consent.v1 import asks_pb2, narrow_pb2
from safehand_rpc import call
from safehand_rpc.paging import page_size
from safehand_store.engine import begin_read

from safehand_consent_service import asks, narrow, questions, wire, wire_asks
from safehand_consent_service.ask_row import Position
from safehand_consent_service.context import Context, request_of
from safehand_consent_service.sessions import Sessions

ASKS_PAGE: Final = 50
QUESTIONS_PAGE: Final = 20
PAGE_MAX: Final = 200


class AskMethods:
    """Mixin of the ConsentService servicer."""

    _context: Context
    _sessions: Sessions

    # --- an agency --------------------------------------------------------------------------

    def AskConsent(  # noqa: N802
        self, request: asks_pb2.AskConsentRequest, _: Any
    ) -> asks_pb2.AskConsentResponse:
        principal = call.current().principal
        row = asks.ask(
            self._context,
            principal,
            wire_asks.wanted_from(request),
            request_of(self._context.cards, principal.spiffe_id, request),
        )
        return asks_pb2.AskConsentResponse(ask=wire_asks.agency_ask(row, self._context.now))

    def ListAsks(  # noqa: N802
        self, request: asks_pb2.ListAsksRequest, _: Any
    ) -> asks_pb2.ListAsksResponse:
        principal = call.current().principal
        size = page_size(request.page_size, default=ASKS_PAGE, maximum=PAGE_MAX)
        behind = self._context.pager.position(request, scope=principal.spiffe_id)
        now = self._context.now
        with begin_read(self._context.engine) as connection:
            rows = asks.of_agency(
                connection,
                principal.name,
                request.subject_ref or None,
                now,
                None if behind is None else Position.from_text(behind),
                size + 1,
            )
        response = asks_pb2.ListAsksResponse(
            asks=[wire_asks.agency_ask(row, now) for row in rows[:size]]
        )
        if len(rows) > size:
            response.next_page_token = self._context.pager.token(
                Position.of(rows[size - 1]).to_text(), request, scope=principal.spiffe_id
            )
        return response

    # --- she --------------------------------------------------------------------------------

    def ListQuestions(  # noqa: N802
        self, request: asks_pb2.ListQuestionsRequest, _: Any
    ) -> asks_pb2.ListQuestionsResponse:
        subject_id = self._sessions.whose(request.session)
        size = page_size(request.page_size, default=QUESTIONS_PAGE, maximum=PAGE_MAX)
        behind = self._context.pager.position(request, scope=subject_id)
        now = self._context.now
        with begin_read(self._context.engine) as connection:
            rows = questions.of_subject(
                connection,
                subject_id,
                request.state,
                now,
                None if behind is None else Position.from_text(behind),
                size + 1,
            )
            response = asks_pb2.ListQuestionsResponse(
                questions=[wire_asks.question(connection, row, now) for row in rows[:size]]
            )
        if len(rows) > size:
            response.next_page_token = self._context.pager.token(
                Position.of(rows[size - 1]).to_text(), request, scope=subject_id
            )
        return response

    def AnswerQuestion(  # noqa: N802
        self, request: asks_pb2.AnswerQuestionRequest, _: Any
    ) -> asks_pb2.AnswerQuestionResponse:
        done = questions.answer(self._context, request)
        now = self._context.now
        with begin_read(self._context.engine) as connection:
            response = asks_pb2.AnswerQuestionResponse(
                question=wire_asks.question(connection, done.row, now)
            )
        if done.receipt is not None:
            response.receipt.CopyFrom(wire.receipt(done.receipt))
        if done.grant is not None:
            response.grant.CopyFrom(wire.grant_view(done.grant, now))
        return response

    def GetRefusalReceipt(  # noqa: N802
        self, request: asks_pb2.GetRefusalReceiptRequest, _: Any
    ) -> asks_pb2.GetRefusalReceiptResponse:
        subject_id = self._sessions.whose(request.session)
        found = questions.refusal_receipt(self._context, subject_id, request.ask)
        return asks_pb2.GetRefusalReceiptResponse(
            secret=found.secret,
            receipt=wire.receipt(found.receipt),
            vkey=self._context.ledger.vkey,
        )

    def NarrowGrant(  # noqa: N802
        self, request: narrow_pb2.NarrowGrantRequest, _: Any
    ) -> narrow_pb2.NarrowGrantResponse:
        done = narrow.narrow(self._context, request)
        return narrow_pb2.NarrowGrantResponse(
            grant=wire.grant_view(done.row, self._context.now),
            receipt=wire.receipt(done.receipt),
            removed=done.removed,
        )

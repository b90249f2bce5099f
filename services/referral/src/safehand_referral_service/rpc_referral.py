"""ReferralService on the wire: proto to use case and back, nothing else."""

from __future__ import annotations

from typing import Any

from safehand.notify.v1 import notify_pb2
from safehand.referral.v1 import referral_pb2 as pb
from safehand.referral.v1 import referral_pb2_grpc
from safehand_bus import replay
from safehand_bus.dead_letter import Letter
from safehand_bus.envelope import to_event
from safehand_bus.letters import Letters
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_formats.answer import SignedAnswer, SignedAnswerAck
from safehand_formats.manifest import SignedManifest
from safehand_rpc import call
from safehand_rpc.paging import Pager, page_size
from safehand_store import outbox
from safehand_store.engine import begin_read

from safehand_referral_service import answer, create, fetch, progress, steps
from safehand_referral_service.context import Context
from safehand_referral_service.referral_store import Referral, SealedPart
from safehand_referral_service.states import EndedBy, Side, State
from safehand_referral_service.steps import Step
from safehand_referral_service.wire import agency, mutation, scope, timestamp

SOURCE = "referral"
"""The first half of every event id of this service."""
PAGE_DEFAULT, PAGE_MAX = 50, 200
EVENTS_DEFAULT, EVENTS_MAX = 500, 2000

_PARTY = {
    EndedBy.NOBODY: pb.PARTY_UNSPECIFIED,
    EndedBy.REFERRER: pb.PARTY_REFERRER,
    EndedBy.RECIPIENT: pb.PARTY_RECIPIENT,
}
_NEXT = {
    None: pb.NEXT_ACTOR_UNSPECIFIED,
    Side.RECIPIENT: pb.NEXT_ACTOR_RECIPIENT,
    Side.SENDER: pb.NEXT_ACTOR_SENDER,
}


class ReferralServicer(referral_pb2_grpc.ReferralServiceServicer):
    """Every refusal is a SafehandError from the use case; the chain turns it into a status."""

    def __init__(self, context: Context, pager: Pager, letters: Letters) -> None:
        self._context = context
        self._pager = pager
        self._letters = letters

    def CreateReferral(  # noqa: N802
        self, request: pb.CreateReferralRequest, context: Any
    ) -> pb.CreateReferralResponse:
        submission = create.Submission(
            agency=agency(),
            cert_der=call.current().principal.cert_der,
            token=request.token,
            signed=SignedManifest(request.manifest, request.signature),
            parts=[SealedPart(part.ciphertext, part.outer_wrap) for part in request.parts],
        )
        made = create.create(self._context, mutation(request), submission)
        return pb.CreateReferralResponse(referral=to_proto(made))

    def GetReferral(  # noqa: N802
        self, request: pb.GetReferralRequest, context: Any
    ) -> pb.GetReferralResponse:
        if request.with_parts:
            found, sealed = fetch.with_parts(self._context, agency(), request.referral)
        else:
            found, sealed = fetch.state(self._context, agency(), request.referral), ()
        return pb.GetReferralResponse(
            referral=to_proto(found),
            manifest=found.manifest,
            signature=found.signature,
            parts=[
                pb.SealedPart(ciphertext=part.ciphertext, outer_wrap=part.outer_wrap)
                for part in sealed
            ],
        )

    def ListReferrals(  # noqa: N802
        self, request: pb.ListReferralsRequest, context: Any
    ) -> pb.ListReferralsResponse:
        limit = page_size(request.page_size, default=PAGE_DEFAULT, maximum=PAGE_MAX)
        position = self._pager.position(request, scope=scope())
        before = None if position is None else int(position)
        rows = fetch.page(self._context, agency(), before, limit + 1)
        response = pb.ListReferralsResponse(referrals=map(to_proto, rows[:limit]))
        if len(rows) > limit:
            last = str(rows[limit - 1].position)
            response.next_page_token = self._pager.token(last, request, scope=scope())
        return response

    def ConfirmDelivery(  # noqa: N802
        self, request: pb.ConfirmDeliveryRequest, context: Any
    ) -> pb.ConfirmDeliveryResponse:
        moved = progress.deliver(self._context, mutation(request), agency(), request.referral)
        return pb.ConfirmDeliveryResponse(referral=to_proto(moved))

    def AcknowledgeReferral(  # noqa: N802
        self, request: pb.AcknowledgeReferralRequest, context: Any
    ) -> pb.AcknowledgeReferralResponse:
        moved = progress.acknowledge(self._context, mutation(request), agency(), request.referral)
        return pb.AcknowledgeReferralResponse(referral=to_proto(moved))

    def AnswerReferral(  # noqa: N802
        self, request: pb.AnswerReferralRequest, context: Any
    ) -> pb.AnswerReferralResponse:
        filing = answer.Filing(
            SignedAnswer(request.answer, request.signature),
            SignedAnswerAck(request.ack, request.ack_signature),
        )
        moved = answer.answer(self._context, mutation(request), agency(), filing)
        return pb.AnswerReferralResponse(referral=to_proto(moved))

    def CompleteReferral(  # noqa: N802
        self, request: pb.CompleteReferralRequest, context: Any
    ) -> pb.CompleteReferralResponse:
        moved = progress.complete(
            self._context, mutation(request), agency(), request.referral, request.outcome
        )
        return pb.CompleteReferralResponse(referral=to_proto(moved))

    def AskReseal(self, request: pb.AskResealRequest, context: Any) -> pb.AskResealResponse:  # noqa: N802
        found = progress.ask_reseal(self._context, mutation(request), agency(), request.referral)
        return pb.AskResealResponse(referral=to_proto(found))

    def ListSteps(  # noqa: N802
        self, request: pb.ListStepsRequest, context: Any
    ) -> pb.ListStepsResponse:
        certificate = call.current().principal.cert_der
        found = steps.of_ticket(self._context, request.ticket, certificate)
        return pb.ListStepsResponse(steps=map(_step, found))

    def ListEvents(  # noqa: N802
        self, request: pb.ListEventsRequest, context: Any
    ) -> pb.ListEventsResponse:
        limit = page_size(request.page_size, default=EVENTS_DEFAULT, maximum=EVENTS_MAX)
        position = self._pager.position(request, scope=scope())
        after = request.after if position is None else int(position)
        with begin_read(self._context.engine) as connection:
            rows = outbox.after(connection, after, limit + 1)
        response = pb.ListEventsResponse(events=[to_event(SOURCE, row) for row in rows[:limit]])
        if len(rows) > limit:
            last = str(rows[limit - 1].sequence)
            response.next_page_token = self._pager.token(last, request, scope=scope())
        return response

    def ReplayEvents(  # noqa: N802
        self, request: pb.ReplayEventsRequest, context: Any
    ) -> pb.ReplayEventsResponse:
        number, last = replay.ask(
            self._context.engine,
            request.from_sequence,
            request_id=request.request_id,
            wake=self._context.wake,
        )
        return pb.ReplayEventsResponse(round=number, last_sequence=last)

    def ListDeadLetters(  # noqa: N802
        self, request: pb.ListDeadLettersRequest, context: Any
    ) -> pb.ListDeadLettersResponse:
        limit = page_size(request.page_size, default=PAGE_DEFAULT, maximum=PAGE_MAX)
        position = int(self._pager.position(request, scope=scope()) or 0)
        found, total = self._letters.open_after(position, limit + 1)
        response = pb.ListDeadLettersResponse(letters=map(_letter, found[:limit]), open=total)
        if len(found) > limit:
            last = str(found[limit - 1].number)
            response.next_page_token = self._pager.token(last, request, scope=scope())
        return response

    def GetDeadLetter(  # noqa: N802
        self, request: pb.GetDeadLetterRequest, context: Any
    ) -> pb.GetDeadLetterResponse:
        return pb.GetDeadLetterResponse(letter=_letter(self._require_letter(request.letter)))

    def ReplayDeadLetters(  # noqa: N802
        self, request: pb.ReplayDeadLettersRequest, context: Any
    ) -> pb.ReplayDeadLettersResponse:
        numbers = sorted(set(request.numbers))
        for number in numbers:
            self._require_letter(number)
        return pb.ReplayDeadLettersResponse(letters=map(_letter, self._letters.replay(numbers)))

    def _require_letter(self, number: int) -> Letter:
        found = self._letters.get(number)
        if found is None:
            raise SafehandError(
                Reason.NOT_FOUND,
                "there is no dead letter of that number",
                metadata={"letter": str(number)},
            )
        return found


def _letter(letter: Letter) -> notify_pb2.DeadLetter:
    return notify_pb2.DeadLetter(
        letter=letter.number,
        state=notify_pb2.DeadLetterState.ValueType(letter.state),
        source=letter.source,
        stream_sequence=letter.stream_sequence,
        error=letter.code,
        attempts=letter.attempts,
        time=timestamp(letter.time),
        event=letter.event,
        size=letter.size,
        sha256=letter.sha256.hex(),
    )


def _state(state: State) -> pb.ReferralState.ValueType:
    return pb.ReferralState.Value(f"REFERRAL_STATE_{state}")


def _step(step: Step) -> pb.StepView:
    return pb.StepView(
        referral=step.referral,
        state=_state(step.state),
        service_name=step.service_name,
        urgency=step.urgency,
        next=_NEXT[step.turn.side],
        next_by=timestamp(step.turn.by),
        late=step.turn.late,
        sharing_stopped=step.sharing_stopped,
        ended_by=_PARTY[step.ended_by],
        reason_code=step.reason_code,
        outcome=step.outcome,
        moments=[
            pb.StepMoment(state=_state(state), at=timestamp(at)) for state, at in step.moments
        ],
        reseal_asked_at=timestamp(step.reseal_asked_at),
    )


def to_proto(referral: Referral) -> pb.Referral:
    """A referral as the two agencies see it."""
    released = pb.DISCLOSURE_STATE_RELEASED if referral.disclosed else pb.DISCLOSURE_STATE_NONE
    return pb.Referral(
        referral=referral.referral,
        grant=referral.consent_grant,
        sender=referral.sender,
        recipient=referral.recipient,
        service=referral.service,
        purpose=referral.purpose,
        urgency=referral.urgency,
        state=_state(referral.state),
        sharing_stopped=referral.sharing_stopped,
        disclosure=released,
        ended_by=_PARTY[referral.ended_by],
        reason_code=referral.reason_code,
        outcome=referral.outcome,
        created_at=timestamp(referral.created_at),
        answer_by=timestamp(referral.answer_by),
        answered_at=timestamp(referral.answered_at),
        not_after=timestamp(referral.not_after),
        resealed_at=timestamp(referral.resealed_at),
        reseal_asked_at=timestamp(referral.reseal_asked_at),
    )

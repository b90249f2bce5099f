"""Stops by others, their undoing, and what else her code word does: messages to use cases and back,
nothing more."""

from __future__ import annotations

from typing import Any, Final

from safehand.consent.v1 import stops_pb2 as pb
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_rpc import call
from safehand_rpc.paging import page_size
from safehand_store.engine import begin_read

from safehand_consent_service import (
    code_words,
    lift_wait,
    representatives,
    resume_staff,
    stop_notes,
    weak_stops,
    wire,
)
from safehand_consent_service.context import Context, request_of
from safehand_consent_service.sessions import Sessions
from safehand_consent_service.stop_leaves import Heard

STOPS_PAGE: Final = 50
PAGE_MAX: Final = 200
_NO_LEAF: Final = -1


class StopMethods:
    """Mixin of the ConsentService servicer."""

    _context: Context
    _sessions: Sessions

    def StopForHer(self, request: pb.StopForHerRequest, _: Any) -> pb.StopForHerResponse:  # noqa: N802
        caller = call.current().principal
        whom = request.WhichOneof("whom")
        if whom is None:
            raise SafehandError(
                Reason.MALFORMED, "it names nobody", metadata={"field": "subject_ref"}
            )
        wish = weak_stops.Wish(
            request=request_of(self._context.cards, caller.spiffe_id, request),
            whom=whom,
            value=getattr(request, whom),
            heard=Heard(caller.name, request.worker_ref, request.channel),
            why=request.why or None,
        )
        at = weak_stops.record(self._context, wish)
        return pb.StopForHerResponse(recorded_at=wire.timestamp(at))

    def StopAsRepresentative(  # noqa: N802
        self, request: pb.StopAsRepresentativeRequest, _: Any
    ) -> pb.StopAsRepresentativeResponse:
        caller = call.current().principal
        wish = weak_stops.Wish(
            request=request_of(self._context.cards, caller.spiffe_id, request),
            whom=weak_stops.CODE,
            value=request.representative_code,
            heard=None,
        )
        at = weak_stops.record(self._context, wish)
        return pb.StopAsRepresentativeResponse(recorded_at=wire.timestamp(at))

    def ResumeForHer(self, request: pb.ResumeForHerRequest, _: Any) -> pb.ResumeForHerResponse:  # noqa: N802
        done = resume_staff.resume(self._context, call.current().principal, request)
        return pb.ResumeForHerResponse(
            resumed_at=wire.timestamp(done.at), receipt=wire.receipt(done.receipt)
        )

    def LiftWait(self, request: pb.LiftWaitRequest, _: Any) -> pb.LiftWaitResponse:  # noqa: N802
        lifted = lift_wait.lift(self._context, call.current().principal, request)
        return pb.LiftWaitResponse(
            number=lifted.number, expires_at=wire.timestamp(lifted.expires_at)
        )

    def ListStops(self, request: pb.ListStopsRequest, _: Any) -> pb.ListStopsResponse:  # noqa: N802
        subject_id = self._sessions.whose(request.session)
        size = page_size(request.page_size, default=STOPS_PAGE, maximum=PAGE_MAX)
        behind = self._context.pager.position(request, scope=subject_id)
        with begin_read(self._context.engine) as connection:
            lines = stop_notes.page(
                connection, subject_id, None if behind is None else int(behind), size + 1
            )
        response = pb.ListStopsResponse(notes=[_note(line) for line in lines[:size]])
        if len(lines) > size:
            response.next_page_token = self._context.pager.token(
                str(lines[size - 1].note_id), request, scope=subject_id
            )
        return response

    def AddRepresentative(  # noqa: N802
        self, request: pb.AddRepresentativeRequest, _: Any
    ) -> pb.AddRepresentativeResponse:
        added = representatives.add(self._context, request)
        return pb.AddRepresentativeResponse(
            representative=_representative(added.representative), representative_code=added.code
        )

    def ListRepresentatives(  # noqa: N802
        self, request: pb.ListRepresentativesRequest, _: Any
    ) -> pb.ListRepresentativesResponse:
        subject_id = self._sessions.whose(request.session)
        with begin_read(self._context.engine) as connection:
            found = representatives.of(connection, subject_id)
        return pb.ListRepresentativesResponse(
            representatives=[_representative(one) for one in found]
        )

    def RemoveRepresentative(  # noqa: N802
        self, request: pb.RemoveRepresentativeRequest, _: Any
    ) -> pb.RemoveRepresentativeResponse:
        representatives.remove(self._context, request)
        return pb.RemoveRepresentativeResponse()

    def SetCodeWord(self, request: pb.SetCodeWordRequest, _: Any) -> pb.SetCodeWordResponse:  # noqa: N802
        code_words.put(self._context, request)
        return pb.SetCodeWordResponse()


def _representative(one: representatives.Representative) -> pb.Representative:
    return pb.Representative(
        representative=one.representative_id,
        relation=one.relation,
        added_at=wire.timestamp(one.added_at),
    )


def _note(line: stop_notes.Line) -> pb.StopNote:
    return pb.StopNote(
        at=wire.timestamp(line.at),
        action=line.action,
        by=line.made_by,
        agency=line.agency,
        agency_name=line.agency_name,
        worker_ref=line.worker_ref,
        second_ref=line.second_ref,
        channel=line.channel,
        why=line.why,
        representative=line.representative_id,
        relation=line.relation,
        refused=line.refused,
        more=line.more,
        grants=[
            pb.StopNoteGrant(
                grant=one.grant_id,
                ledger_index=_NO_LEAF if one.leaf_index is None else one.leaf_index,
            )
            for one in line.about
        ],
    )

"""An agency's methods about her: filing a card, and the list of grants it may send under."""

from __future__ import annotations

from typing import Any, Final

from safehand.consent.v1 import consent_pb2 as pb
from safehand_rpc import call
from safehand_rpc.paging import page_size
from safehand_store.engine import begin_read

from safehand_consent_service import grant_state, listings, subjects, wire
from safehand_consent_service.context import Context, request_of
from safehand_consent_service.sessions import Sessions

GRANTS_PAGE: Final = 50
PAGE_MAX: Final = 200


class RecordMethods:
    """Mixin of the ConsentService servicer."""

    _context: Context
    _sessions: Sessions

    def RegisterSubject(  # noqa: N802
        self, request: pb.RegisterSubjectRequest, _: Any
    ) -> pb.RegisterSubjectResponse:
        principal = call.current().principal
        repeat = request_of(self._context.cards, principal.spiffe_id, request)
        wanted = subjects.Registration(
            principal.name,
            request.subject_ref,
            request.card_number,
            request.pin,
            request.cosign,
            tuple(request.alone_purposes),
        )
        subjects.register(self._context, self._sessions.pins, wanted, repeat)
        return pb.RegisterSubjectResponse()

    def ListAgencyGrants(  # noqa: N802
        self, request: pb.ListAgencyGrantsRequest, _: Any
    ) -> pb.ListAgencyGrantsResponse:
        principal = call.current().principal
        size = page_size(request.page_size, default=GRANTS_PAGE, maximum=PAGE_MAX)
        behind = self._context.pager.position(request, scope=principal.spiffe_id)
        with begin_read(self._context.engine) as connection:
            rows = listings.of_agency(
                connection,
                principal.name,
                request.subject_ref or None,
                None if behind is None else int(behind),
                size + 1,
            )
        now = self._context.now
        response = pb.ListAgencyGrantsResponse(
            grants=[
                pb.AgencyGrant(
                    grant=row.grant_id,
                    subject_ref=reference,
                    terms=wire.terms_to(row),
                    live=grant_state.is_live(row, now),
                )
                for row, reference in rows[:size]
            ]
        )
        if len(rows) > size:
            response.next_page_token = self._context.pager.token(
                str(rows[size - 1][0].grant_index), request, scope=principal.spiffe_id
            )
        return response

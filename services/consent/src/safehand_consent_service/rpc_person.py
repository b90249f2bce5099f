"""Her own methods: messages to use cases and back, nothing more. Each needs her session."""

from __future__ import annotations

from typing import Any, Final

from safehand.consent.v1 import consent_pb2 as pb
from safehand_rpc.paging import page_size
from safehand_store.engine import begin_read

from safehand_consent_service import (
    grants,
    listings,
    looks,
    receipts,
    stops,
    wire,
)
from safehand_consent_service.context import Context
from safehand_consent_service.sessions import Opening, Sessions

GRANTS_PAGE: Final = 50
LOOKS_PAGE: Final = 20
PAGE_MAX: Final = 200


class PersonMethods:
    """Mixin of the ConsentService servicer."""

    _context: Context
    _sessions: Sessions

    def OpenSession(self, request: pb.OpenSessionRequest, _: Any) -> pb.OpenSessionResponse:  # noqa: N802
        how = Opening(
            request.network, request.shared_device, request.language, request.worker_number
        )
        opened = self._sessions.open(request.card_number, request.pin, how)
        return pb.OpenSessionResponse(
            session=opened.secret, expires_at=wire.timestamp(opened.expires_at)
        )

    def CloseSession(self, request: pb.CloseSessionRequest, _: Any) -> pb.CloseSessionResponse:  # noqa: N802
        self._sessions.close(request.session)
        return pb.CloseSessionResponse()

    def ListSharingOptions(  # noqa: N802
        self, request: pb.ListSharingOptionsRequest, _: Any
    ) -> pb.ListSharingOptionsResponse:
        subject_id = self._sessions.whose(request.session)
        with begin_read(self._context.engine) as connection:
            found = listings.options(connection, subject_id, self._context.now)
        return pb.ListSharingOptionsResponse(
            options=[
                pb.SharingOption(
                    releasing_agency=option.releasing,
                    releasing_name=option.releasing_name,
                    recipient_agency=option.recipient,
                    recipient_name=option.recipient_name,
                    purposes=option.purposes,
                    categories=option.categories,
                )
                for option in found
            ]
        )

    def Grant(self, request: pb.GrantRequest, _: Any) -> pb.GrantResponse:  # noqa: N802
        done = grants.give(self._context, wire.terms_from(request.terms), request)
        return pb.GrantResponse(
            grant=wire.grant_view(done.row, self._context.now), receipt=wire.receipt(done.receipt)
        )

    def StopGrant(self, request: pb.StopGrantRequest, _: Any) -> pb.StopGrantResponse:  # noqa: N802
        done = stops.stop(self._context, request)
        response = pb.StopGrantResponse(
            grant=wire.grant_view(done.row, self._context.now),
            stop_receipt=wire.receipt(done.stop),
        )
        if done.revoke is not None:
            response.revoke_receipt.CopyFrom(wire.receipt(done.revoke))
        return response

    def ResumeGrant(self, request: pb.ResumeGrantRequest, _: Any) -> pb.ResumeGrantResponse:  # noqa: N802
        done = stops.resume(self._context, request)
        return pb.ResumeGrantResponse(
            grant=wire.grant_view(done.row, self._context.now), receipt=wire.receipt(done.receipt)
        )

    def ListGrants(self, request: pb.ListGrantsRequest, _: Any) -> pb.ListGrantsResponse:  # noqa: N802
        subject_id = self._sessions.whose(request.session)
        size = page_size(request.page_size, default=GRANTS_PAGE, maximum=PAGE_MAX)
        behind = self._context.pager.position(request, scope=subject_id)
        with begin_read(self._context.engine) as connection:
            rows = listings.of_subject(
                connection, subject_id, None if behind is None else int(behind), size + 1
            )
        now = self._context.now
        response = pb.ListGrantsResponse(grants=[wire.grant_view(r, now) for r in rows[:size]])
        if len(rows) > size:
            response.next_page_token = self._context.pager.token(
                str(rows[size - 1].grant_index), request, scope=subject_id
            )
        return response

    def ListLooks(self, request: pb.ListLooksRequest, _: Any) -> pb.ListLooksResponse:  # noqa: N802
        subject_id = self._sessions.whose(request.session)
        size = page_size(request.page_size, default=LOOKS_PAGE, maximum=PAGE_MAX)
        behind = self._context.pager.position(request, scope=subject_id)
        with begin_read(self._context.engine) as connection:
            lines = looks.page(
                connection,
                subject_id,
                request.grant or None,
                None if behind is None else looks.Position.from_text(behind),
                size + 1,
            )
        response = pb.ListLooksResponse(looks=[_look(line) for line in lines[:size]])
        if len(lines) > size:
            response.next_page_token = self._context.pager.token(
                lines[size - 1].position.to_text(), request, scope=subject_id
            )
        return response

    def GetReceipt(self, request: pb.GetReceiptRequest, _: Any) -> pb.GetReceiptResponse:  # noqa: N802
        subject_id = self._sessions.whose(request.session)
        found = receipts.of_grant(self._context, subject_id, request.grant)
        return pb.GetReceiptResponse(
            secret=found.secret,
            receipts=[wire.receipt(one) for one in found.receipts],
            vkey=self._context.ledger.vkey,
        )


def _look(line: looks.Look) -> pb.Look:
    return pb.Look(
        at=wire.timestamp(line.at),
        agency=line.agency,
        agency_name=line.agency_name,
        grant=line.grant_id,
        category=line.category,
        worker_ref=line.worker_ref,
        ledger_index=line.ledger_index,
        refused=wire.reason(line.refused),
    )

"""What her pages show: messages to use cases and back, nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from safehand.consent.v1 import portal_pb2 as pb
from safehand_rpc import call
from safehand_rpc.paging import page_size
from safehand_store.engine import begin_read
from sqlalchemy import Connection

from safehand_consent_service import (
    ask_row,
    drafts,
    portal_hidden,
    portal_home,
    portal_seen,
    portal_sharing,
    portal_shown,
    portal_steps,
    wire,
    wire_portal,
)
from safehand_consent_service.grant_row import Grant
from safehand_consent_service.portal_numbers import ASK, GRANT, LOOK, ORGANISATION, Numbers
from safehand_consent_service.portal_shown import Hidden
from safehand_consent_service.rpc_portal_changes import ChangeMethods
from safehand_consent_service.seats import Seat, wire_seat


class PageMethods(ChangeMethods):
    """Mixin of the PortalService servicer."""

    def GetHome(self, request: pb.GetHomeRequest, _: Any) -> pb.GetHomeResponse:  # noqa: N802
        seat = self._seats.take(request.session)
        with begin_read(self._context.engine) as connection:
            marked = portal_shown.hidden(connection, seat.subject_id)
            rows = portal_shown.grants(connection, seat.subject_id, marked)
            found = portal_home.home(connection, seat, rows, marked, self._context.now)
            ticket, steps = self._steps(connection, seat, rows, marked)
        response = pb.GetHomeResponse(
            seat=wire_seat(seat),
            on=found.on,
            ending_soon=found.ending_soon,
            asked=found.asked,
            to_confirm=found.to_confirm,
            looks_since=found.looks_since,
            refused_since=found.refused_since,
            wrong_tries=seat.wrong_tries,
            ticket=ticket,
            steps=steps,
            numbers_given=found.helped.count,
            number_given_by_name=found.helped.agency_name,
        )
        if found.helped.at is not None:
            response.number_given_at.CopyFrom(wire.timestamp(found.helped.at))
        if seat.previous_sign_in is not None:
            response.previous_sign_in.CopyFrom(wire.timestamp(seat.previous_sign_in))
        if seat.wrong_last_at is not None:
            response.wrong_last_at.CopyFrom(wire.timestamp(seat.wrong_last_at))
        return response

    def ListSharing(self, request: pb.ListSharingRequest, _: Any) -> pb.ListSharingResponse:  # noqa: N802
        seat = self._seats.take(request.session)
        numbers = Numbers(seat.secret)
        now = self._context.now
        with begin_read(self._context.engine) as connection:
            marked = portal_shown.hidden(connection, seat.subject_id)
            rows = portal_shown.grants(connection, seat.subject_id, marked)
            shown = portal_sharing.in_order(rows, now)
            found = portal_sharing.sharings(connection, shown, marked, now)
            asked = [
                wire_portal.asked(connection, row, numbers, now)
                for row in portal_shown.asks(connection, seat.subject_id, marked)
                if ask_row.is_open(row, now)
            ]
        return pb.ListSharingResponse(
            seat=wire_seat(seat),
            sharings=[wire_portal.sharing(one, numbers) for one in found],
            asked=asked,
        )

    def GetSharing(self, request: pb.GetSharingRequest, _: Any) -> pb.GetSharingResponse:  # noqa: N802
        seat = self._seats.take(request.session)
        with begin_read(self._context.engine) as connection:
            marked = portal_shown.hidden(connection, seat.subject_id)
            grants = {
                row.grant_id: row
                for row in portal_shown.grants(connection, seat.subject_id, marked)
            }
        grant_id = Numbers(seat.secret).find(GRANT, request.number, grants)
        return pb.GetSharingResponse(
            seat=wire_seat(seat), sharing=self._sharing(seat, grants[grant_id])
        )

    def GetAsked(self, request: pb.GetAskedRequest, _: Any) -> pb.GetAskedResponse:  # noqa: N802
        seat = self._seats.take(request.session)
        numbers = Numbers(seat.secret)
        with begin_read(self._context.engine) as connection:
            marked = portal_shown.hidden(connection, seat.subject_id)
            asks = {
                row.ask_id: row for row in portal_shown.asks(connection, seat.subject_id, marked)
            }
            row = asks[numbers.find(ASK, request.number, asks)]
            asked = wire_portal.asked(connection, row, numbers, self._context.now)
            draft = drafts.of(self._context, connection, seat.subject_id, row)
        response = pb.GetAskedResponse(seat=wire_seat(seat), asked=asked)
        if draft is not None:
            response.draft.CopyFrom(wire_portal.draft(draft))
        return response

    def ListSeen(self, request: pb.ListSeenRequest, _: Any) -> pb.ListSeenResponse:  # noqa: N802
        seat = self._seats.take(request.session)
        numbers = Numbers(seat.secret)
        size = page_size(request.page_size, default=portal_seen.PAGE, maximum=portal_seen.PAGE_MAX)
        behind = self._context.pager.position(request, scope=seat.subject_id)
        with begin_read(self._context.engine) as connection:
            marked = portal_shown.hidden(connection, seat.subject_id)
            rows = portal_shown.grants(connection, seat.subject_id, marked)
            grants = {row.grant_id: row for row in rows}
            agencies = {row.recipient for row in rows}
            agencies |= portal_seen.tried(connection, list(grants), marked)
            wish = portal_seen.Wish(
                grants=grants,
                marked=marked,
                since=seat.previous_sign_in if request.since_last else None,
                refused_only=request.refused_only,
            )
            if request.sharing:
                wish = wish.under(numbers.find(GRANT, request.sharing, grants))
            if request.organisation:
                wish = wish.of(numbers.find(ORGANISATION, request.organisation, agencies))
            found = portal_seen.page(
                connection,
                wish,
                None if behind is None else portal_seen.Position.from_text(behind),
                size + 1,
                lambda item: numbers.of(LOOK, item),
            )
            names = portal_shown.names(connection, agencies)
            heard = self._context.heard.at(connection, agencies)
        response = pb.ListSeenResponse(
            seat=wire_seat(seat),
            seen=[wire_portal.seen(one, numbers, names) for one in found[:size]],
            organisations=[
                wire_portal.organisation(name, numbers, names, heard)
                for name in sorted(agencies, key=lambda name: (names.get(name, ""), name))
            ],
        )
        if len(found) > size:
            last = found[size - 1]
            position = portal_seen.Position(last.at, numbers.of(LOOK, last.item))
            response.next_page_token = self._context.pager.token(
                position.to_text(), request, scope=seat.subject_id
            )
        if rows:
            response.since.CopyFrom(wire.timestamp(min(row.issued_at for row in rows)))
        return response

    def GetSteps(self, request: pb.GetStepsRequest, _: Any) -> pb.GetStepsResponse:  # noqa: N802
        seat = self._seats.take(request.session)
        with begin_read(self._context.engine) as connection:
            marked = portal_shown.hidden(connection, seat.subject_id)
            rows = portal_shown.grants(connection, seat.subject_id, marked)
            ticket, steps = self._steps(connection, seat, rows, marked)
        return pb.GetStepsResponse(seat=wire_seat(seat), ticket=ticket, steps=steps)

    def _steps(
        self, connection: Connection, seat: Seat, rows: Sequence[Grant], marked: Hidden
    ) -> tuple[str, list[pb.Step]]:
        """The ticket for the steps under ``rows``, and the steps."""
        found = portal_steps.steps(connection, {row.grant_id: row for row in rows}, marked)
        names = portal_shown.names(
            connection, {name for one in found for name in (one.sender, one.recipient)}
        )
        numbers, certificate = Numbers(seat.secret), call.current().principal.cert_der
        ticket = portal_steps.ticket(self._context, found, certificate)
        return ticket, [wire_portal.step(one, numbers, names) for one in found]

    def HideItem(self, request: pb.HideItemRequest, _: Any) -> pb.HideItemResponse:  # noqa: N802
        seat = self._seats.take(request.session)
        portal_hidden.hide(self._context, seat, request.number, request.request_id)
        return pb.HideItemResponse(seat=wire_seat(seat))

    def ShowEverything(  # noqa: N802
        self, request: pb.ShowEverythingRequest, _: Any
    ) -> pb.ShowEverythingResponse:
        seat = self._seats.take(request.session)
        self._seats.check_pin(seat, request.pin)
        portal_hidden.show_everything(self._context, seat, request.request_id)
        return pb.ShowEverythingResponse(seat=wire_seat(seat))

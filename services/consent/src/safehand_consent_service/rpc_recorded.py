"""What workers recorded, and her answer: messages to use cases and back, nothing more."""

from __future__ import annotations

from typing import Any, Final

from safehand.consent.v1 import recorded_pb2 as pb
from safehand_formats.record import SignedRecord, SignedSecond
from safehand_rpc import call
from safehand_rpc.paging import page_size
from safehand_store.engine import begin_read

from safehand_consent_service import confirm, confirmations, recorded, wire
from safehand_consent_service.context import Context
from safehand_consent_service.sessions import Sessions

CONFIRMATIONS_PAGE: Final = 50
PAGE_MAX: Final = 200


class RecordedMethods:
    """Mixin of the ConsentService servicer."""

    _context: Context
    _sessions: Sessions

    def RecordGrant(self, request: pb.RecordGrantRequest, _: Any) -> pb.RecordGrantResponse:  # noqa: N802
        done = recorded.record(
            self._context,
            call.current().principal,
            SignedRecord(request.record, request.signature),
        )
        response = pb.RecordGrantResponse(confirm_by=wire.timestamp(done.confirm_by))
        if done.grant is not None and done.receipt is not None:
            response.grant = done.grant.grant_id
            response.receipt.CopyFrom(wire.receipt(done.receipt))
        return response

    def SecondGrant(self, request: pb.SecondGrantRequest, _: Any) -> pb.SecondGrantResponse:  # noqa: N802
        done = recorded.second(
            self._context,
            call.current().principal,
            SignedSecond(request.second, request.signature),
        )
        response = pb.SecondGrantResponse()
        if done.receipt is not None:
            response.receipt.CopyFrom(wire.receipt(done.receipt))
        return response

    def ConfirmGrant(self, request: pb.ConfirmGrantRequest, _: Any) -> pb.ConfirmGrantResponse:  # noqa: N802
        done = confirm.answer(self._context, request)
        response = pb.ConfirmGrantResponse(grant=wire.grant_view(done.row, self._context.now))
        if done.confirm is not None:
            response.confirm_receipt.CopyFrom(wire.receipt(done.confirm))
        if done.stop is not None:
            response.stop_receipt.CopyFrom(wire.receipt(done.stop))
        if done.revoke is not None:
            response.revoke_receipt.CopyFrom(wire.receipt(done.revoke))
        return response

    def ListConfirmations(  # noqa: N802
        self, request: pb.ListConfirmationsRequest, _: Any
    ) -> pb.ListConfirmationsResponse:
        subject_id = self._sessions.whose(request.session)
        size = page_size(request.page_size, default=CONFIRMATIONS_PAGE, maximum=PAGE_MAX)
        behind = self._context.pager.position(request, scope=subject_id)
        with begin_read(self._context.engine) as connection:
            lines = confirmations.page(
                connection, subject_id, None if behind is None else int(behind), size + 1
            )
            rest = confirmations.unfiled(connection, subject_id) if behind is None else []
        now = self._context.now
        shown = [*lines[:size], *rest]
        shown.sort(key=lambda line: line.at, reverse=True)
        response = pb.ListConfirmationsResponse(confirmations=[_line(one, now) for one in shown])
        last = lines[size - 1].grant if len(lines) > size else None
        if last is not None:
            response.next_page_token = self._context.pager.token(
                str(last.grant_index), request, scope=subject_id
            )
        return response


def _line(line: confirmations.Line, now: int) -> pb.Confirmation:
    message = pb.Confirmation(
        at=wire.timestamp(line.at),
        recorded_by=line.recorded_by or "",
        recorded_by_name=line.recorded_by_name or "",
        recorder_ref=line.recorder_ref or "",
        medium=line.medium or "",
        second_agency=line.second_agency or "",
        second_ref=line.second_ref or "",
        guardian=line.guardian_id or "",
        asks_her=line.asks_her(now),
    )
    if line.grant is not None:
        message.grant.CopyFrom(wire.grant_view(line.grant, now))
    if line.seen_at is not None:
        message.seen_at.CopyFrom(wire.timestamp(line.seen_at))
    if line.second_at is not None:
        message.second_at.CopyFrom(wire.timestamp(line.second_at))
    if line.guardian_at is not None:
        message.guardian_at.CopyFrom(wire.timestamp(line.guardian_at))
    return message

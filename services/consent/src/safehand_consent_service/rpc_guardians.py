"""Guardians, and who says that one must sign: messages to use cases and back, nothing more."""

from __future__ import annotations

from typing import Any

from safehand.consent.v1 import guardians_pb2 as pb
from safehand_rpc import call
from safehand_store.engine import begin_read

from safehand_consent_service import cosign, guardian_sessions, guardians, wire
from safehand_consent_service.context import Context, request_of
from safehand_consent_service.sessions import Sessions


class GuardianMethods:
    """Mixin of the ConsentService servicer."""

    _context: Context
    _sessions: Sessions

    # --- agencies

    def SetCosign(self, request: pb.SetCosignRequest, _: Any) -> pb.SetCosignResponse:  # noqa: N802
        caller = call.current().principal
        cosign.set_rule(
            self._context,
            caller.name,
            request.subject_ref,
            cosign=request.cosign,
            alone_purposes=tuple(request.alone_purposes),
            request=request_of(self._context.cards, caller.spiffe_id, request),
        )
        return pb.SetCosignResponse()

    def RegisterGuardian(  # noqa: N802
        self, request: pb.RegisterGuardianRequest, _: Any
    ) -> pb.RegisterGuardianResponse:
        caller = call.current().principal
        made = guardians.register(
            self._context,
            guardians.Filing(caller.name, request.subject_ref, request.card_number, request.pin),
            request_of(self._context.cards, caller.spiffe_id, request),
        )
        return pb.RegisterGuardianResponse(guardian=made)

    def ExcludeGuardian(  # noqa: N802
        self, request: pb.ExcludeGuardianRequest, _: Any
    ) -> pb.ExcludeGuardianResponse:
        caller = call.current().principal
        guardians.exclude(
            self._context,
            caller.name,
            request.subject_ref,
            request.guardian,
            request_of(self._context.cards, caller.spiffe_id, request),
        )
        return pb.ExcludeGuardianResponse()

    # --- she

    def DismissGuardian(  # noqa: N802
        self, request: pb.DismissGuardianRequest, _: Any
    ) -> pb.DismissGuardianResponse:
        subject_id = self._sessions.whose(request.session)
        caller = self._context.cards.caller(subject_id)
        guardians.dismiss(
            self._context,
            subject_id,
            request.guardian,
            request_of(self._context.cards, caller, request),
        )
        return pb.DismissGuardianResponse()

    def ListGuardians(self, request: pb.ListGuardiansRequest, _: Any) -> pb.ListGuardiansResponse:  # noqa: N802
        subject_id = self._sessions.whose(request.session)
        with begin_read(self._context.engine) as connection:
            known = guardians.of_hers(connection, subject_id)
            rules = guardians.rules_for(connection, subject_id)
        return pb.ListGuardiansResponse(
            guardians=[_guardian(one) for one in known],
            rules=[
                pb.CosignRule(
                    agency=rule.agency,
                    agency_name=rule.agency_name,
                    alone_purposes=rule.alone_purposes,
                    since=wire.timestamp(rule.since),
                )
                for rule in rules
            ],
        )

    # --- the guardian

    def OpenGuardianSession(  # noqa: N802
        self, request: pb.OpenGuardianSessionRequest, _: Any
    ) -> pb.OpenGuardianSessionResponse:
        opened = guardian_sessions.open_session(self._context, request.card_number, request.pin)
        return pb.OpenGuardianSessionResponse(
            session=opened.secret, expires_at=wire.timestamp(opened.expires_at)
        )

    def CloseGuardianSession(  # noqa: N802
        self, request: pb.CloseGuardianSessionRequest, _: Any
    ) -> pb.CloseGuardianSessionResponse:
        guardian_sessions.close_session(self._context, request.session)
        return pb.CloseGuardianSessionResponse()

    def ListCosignRequests(  # noqa: N802
        self, request: pb.ListCosignRequestsRequest, _: Any
    ) -> pb.ListCosignRequestsResponse:
        waiting = guardians.waiting(self._context, request.session)
        return pb.ListCosignRequestsResponse(
            requests=[
                pb.CosignRequest(
                    grant=row.grant_id,
                    terms=wire.terms_to(row),
                    cosign_by=wire.timestamp(row.cosign_by or 0),
                )
                for row in waiting
            ]
        )

    def CosignGrant(self, request: pb.CosignGrantRequest, _: Any) -> pb.CosignGrantResponse:  # noqa: N802
        guardian_id = guardians.whose(self._context, request.session)
        caller = self._context.cards.caller(f"guardian/{guardian_id}")
        guardians.sign(
            self._context,
            request.session,
            request.grant,
            request_of(self._context.cards, caller, request),
        )
        return pb.CosignGrantResponse()


def _guardian(one: guardians.Listed) -> pb.Guardian:
    message = pb.Guardian(
        guardian=one.guardian_id,
        registered_by=one.registered_by,
        registered_at=wire.timestamp(one.registered_at),
        excluded_by=one.excluded_by or "",
    )
    if one.excluded_at is not None:
        message.excluded_at.CopyFrom(wire.timestamp(one.excluded_at))
    return message

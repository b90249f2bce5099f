"""The ConsentService servicer, put together from its mixins: one for each kind of caller."""

from __future__ import annotations

from safehand.consent.v1 import consent_pb2_grpc

from safehand_consent_service.context import Context
from safehand_consent_service.rpc_agency import AgencyMethods
from safehand_consent_service.rpc_asks import AskMethods
from safehand_consent_service.rpc_events import EventMethods
from safehand_consent_service.rpc_explain import ExplainMethods
from safehand_consent_service.rpc_guardians import GuardianMethods
from safehand_consent_service.rpc_operator import OperatorMethods
from safehand_consent_service.rpc_person import PersonMethods
from safehand_consent_service.rpc_recorded import RecordedMethods
from safehand_consent_service.rpc_records import RecordMethods
from safehand_consent_service.rpc_stops import StopMethods
from safehand_consent_service.sessions import Sessions


class ConsentServicer(
    PersonMethods,
    RecordMethods,
    RecordedMethods,
    GuardianMethods,
    StopMethods,
    AskMethods,
    AgencyMethods,
    ExplainMethods,
    OperatorMethods,
    EventMethods,
    consent_pb2_grpc.ConsentServiceServicer,
):
    """Every method of ConsentService."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._sessions = Sessions(context.engine, context.writer, context.cards, context.entropy)

"""Who may call what of consent, in this test's own words: a changed row is a change here."""

from __future__ import annotations

import pytest
from safehand.consent.v1 import consent_pb2, keys_pb2, ledger_pb2, portal_pb2
from safehand_consent_service.policy import POLICY
from safehand_rpc.policy import methods_of

SHE = {"service:portal"}
AGENCY = {"agency"}
OPERATOR = {"operator:consent"}
LEAVES = {"agency", "oversight"}
HEADS = LEAVES | {"service:portal", "service:referral", "operator:consent"}

WHO = {
    "EnrolAgency": OPERATOR,
    "RegisterProtocol": AGENCY | OPERATOR,
    "RegisterSubject": AGENCY,
    "OpenSession": SHE,
    "CloseSession": SHE,
    "ListSharingOptions": SHE,
    "Grant": SHE,
    "StopGrant": SHE,
    "ResumeGrant": SHE,
    "ListGrants": SHE,
    "ListLooks": SHE,
    "GetReceipt": SHE,
    "ListQuestions": SHE,
    "AnswerQuestion": SHE,
    "GetRefusalReceipt": SHE,
    "NarrowGrant": SHE,
    "AskConsent": AGENCY,
    "ListAsks": AGENCY,
    "ListAgencyGrants": AGENCY,
    "AuthorizeReferral": AGENCY,
    "RecordAnswer": AGENCY,
    "ReleaseKey": AGENCY,
    "StopForHer": AGENCY,
    "StopAsRepresentative": SHE,
    "ResumeForHer": AGENCY,
    "LiftWait": AGENCY,
    "ListStops": SHE,
    "AddRepresentative": SHE,
    "ListRepresentatives": SHE,
    "RemoveRepresentative": SHE,
    "SetCodeWord": SHE,
    "ConfirmGrant": SHE,
    "ListConfirmations": SHE,
    "DismissGuardian": SHE,
    "ListGuardians": SHE,
    "GetHome": SHE,
    "SetLanguage": SHE,
    "ChangePin": SHE,
    "LockSession": SHE,
    "UnlockSession": SHE,
    "ListSharing": SHE,
    "GetSharing": SHE,
    "StopSharing": SHE,
    "StopEverything": SHE,
    "UndoStop": SHE,
    "DestroyNow": SHE,
    "ConfirmRecorded": SHE,
    "GetAsked": SHE,
    "AnswerAsked": SHE,
    "KeepDraft": SHE,
    "ForgetDraft": SHE,
    "ListSeen": SHE,
    "GetSteps": SHE,
    "HideItem": SHE,
    "ShowEverything": SHE,
    "OpenGuardianSession": SHE,
    "CloseGuardianSession": SHE,
    "ListCosignRequests": SHE,
    "CosignGrant": SHE,
    "RecordGrant": AGENCY,
    "SecondGrant": AGENCY,
    "SetCosign": AGENCY,
    "RegisterGuardian": AGENCY,
    "ExcludeGuardian": AGENCY,
    "Explain": AGENCY,
    "ExplainSharing": SHE,
    "RollKeys": OPERATOR,
    "ConfirmClock": OPERATOR,
    "ListEvents": {"service:referral", "service:notify"},
    "ReplayEvents": OPERATOR,
    "AppendKey": AGENCY,
    "GetCheckpoint": HEADS,
    "ListLeaves": LEAVES,
    "GetConsistencyProof": HEADS,
    "CheckCode": LEAVES | SHE,
    "ListTokenKeys": {"service:referral"},
    "RotateTokenKey": OPERATOR,
    "RotateAgencyKey": OPERATOR,
    "RevokeAgencyKey": OPERATOR,
    "ListAgencyKeys": AGENCY | OPERATOR,
    "GetKeyUse": AGENCY,
}


def test_the_table_is_the_one_written_here() -> None:
    assert {path.rsplit("/", 1)[1]: set(roles) for path, roles in POLICY.items()} == WHO


def test_the_table_names_exactly_the_methods() -> None:
    services = (
        consent_pb2.DESCRIPTOR.services_by_name["ConsentService"],
        portal_pb2.DESCRIPTOR.services_by_name["PortalService"],
        ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"],
        keys_pb2.DESCRIPTOR.services_by_name["KeyService"],
    )
    served = frozenset().union(*(methods_of(service) for service in services))
    assert served == POLICY.keys()


@pytest.mark.parametrize("method", ["ReleaseKey", "AuthorizeReferral", "RecordAnswer"])
def test_no_operator_stands_between_two_agencies(method: str) -> None:
    assert WHO[method] == AGENCY

"""Who may call what of the referral service: the one table for both of its services.

Denied by default; a server refuses to start unless this names exactly the methods it serves.
That an agency is an end of the referral at hand is checked by each use case.
"""

from __future__ import annotations

from typing import Final

from safehand_rpc.policy import Policy

_REFERRAL: Final = "/safehand.referral.v1.ReferralService/"
_DIRECTORY: Final = "/safehand.referral.v1.DirectoryService/"

_AGENCY: Final = frozenset({"agency"})
_OPERATOR: Final = frozenset({"operator:referral"})
_PORTAL: Final = frozenset({"service:portal"})
_SEEKERS: Final = frozenset({"agency", "service:portal", "operator:referral"})

POLICY: Final[Policy] = {
    _REFERRAL + "CreateReferral": _AGENCY,
    _REFERRAL + "GetReferral": _AGENCY,
    _REFERRAL + "ListReferrals": _AGENCY,
    _REFERRAL + "ConfirmDelivery": _AGENCY,
    _REFERRAL + "AcknowledgeReferral": _AGENCY,
    _REFERRAL + "AnswerReferral": _AGENCY,
    _REFERRAL + "CompleteReferral": _AGENCY,
    _REFERRAL + "AskReseal": _AGENCY,
    _REFERRAL + "ListSteps": _PORTAL,
    _REFERRAL + "ListEvents": frozenset({"service:notify"}),
    _REFERRAL + "ReplayEvents": _OPERATOR,
    _REFERRAL + "ListDeadLetters": _OPERATOR,
    _REFERRAL + "GetDeadLetter": _OPERATOR,
    _REFERRAL + "ReplayDeadLetters": _OPERATOR,
    _DIRECTORY + "RegisterAgency": _OPERATOR,
    _DIRECTORY + "GetAgency": _SEEKERS,
    _DIRECTORY + "RotateAgencyKey": _AGENCY | _OPERATOR,
    _DIRECTORY + "RevokeAgencyKey": _OPERATOR,
    _DIRECTORY + "PublishProtocol": _AGENCY,
    _DIRECTORY + "ListProtocols": _AGENCY,
    _DIRECTORY + "PublishKey": _AGENCY,
    _DIRECTORY + "GetKey": _AGENCY | _OPERATOR,
    _DIRECTORY + "ImportPackage": _OPERATOR,
    _DIRECTORY + "SearchServices": _SEEKERS,
    _DIRECTORY + "GetService": _SEEKERS,
    _DIRECTORY + "SetServiceNeeds": _OPERATOR,
    _DIRECTORY + "SetConfidential": _OPERATOR,
}

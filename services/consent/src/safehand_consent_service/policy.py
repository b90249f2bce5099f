"""Who may call what of the consent process: the one table for all of its services.

Denied by default; a server refuses to start unless this names exactly the methods it serves.
"""

from __future__ import annotations

from typing import Final

from safehand_rpc.policy import Policy

_CONSENT: Final = "/safehand.consent.v1.ConsentService/"
_LEDGER: Final = "/safehand.consent.v1.LedgerService/"
_KEYS: Final = "/safehand.consent.v1.KeyService/"
_PORTAL: Final = "/safehand.consent.v1.PortalService/"

_AGENCY: Final = frozenset({"agency"})
_PERSON: Final = frozenset({"service:portal"})
"""Her own calls come through the portal, each with her session."""
_GUARDIAN: Final = frozenset({"service:portal"})
"""A guardian's calls come through the portal too, each with a session of his own."""
_OPERATOR: Final = frozenset({"operator:consent"})
_FOLLOWERS: Final = frozenset({"service:referral", "service:notify"})
_READERS: Final = frozenset({"agency", "oversight"})
"""Without all leaves nobody can check an absence."""
_HEAD_READERS: Final = _READERS | {"service:portal", "service:referral", "operator:consent"}

POLICY: Final[Policy] = {
    # set-up
    _CONSENT + "EnrolAgency": _OPERATOR,
    _CONSENT + "RegisterProtocol": _AGENCY | _OPERATOR,
    _CONSENT + "RegisterSubject": _AGENCY,
    # she
    _CONSENT + "OpenSession": _PERSON,
    _CONSENT + "CloseSession": _PERSON,
    _CONSENT + "ListSharingOptions": _PERSON,
    _CONSENT + "Grant": _PERSON,
    _CONSENT + "StopGrant": _PERSON,
    _CONSENT + "ResumeGrant": _PERSON,
    _CONSENT + "ListGrants": _PERSON,
    _CONSENT + "ListLooks": _PERSON,
    _CONSENT + "GetReceipt": _PERSON,
    _CONSENT + "ListQuestions": _PERSON,
    _CONSENT + "AnswerQuestion": _PERSON,
    _CONSENT + "GetRefusalReceipt": _PERSON,
    _CONSENT + "NarrowGrant": _PERSON,
    _CONSENT + "ConfirmGrant": _PERSON,
    _CONSENT + "ListConfirmations": _PERSON,
    _CONSENT + "DismissGuardian": _PERSON,
    _CONSENT + "ListGuardians": _PERSON,
    # her pages
    _PORTAL + "GetHome": _PERSON,
    _PORTAL + "SetLanguage": _PERSON,
    _PORTAL + "ChangePin": _PERSON,
    _PORTAL + "LockSession": _PERSON,
    _PORTAL + "UnlockSession": _PERSON,
    _PORTAL + "ListSharing": _PERSON,
    _PORTAL + "GetSharing": _PERSON,
    _PORTAL + "StopSharing": _PERSON,
    _PORTAL + "StopEverything": _PERSON,
    _PORTAL + "UndoStop": _PERSON,
    _PORTAL + "DestroyNow": _PERSON,
    _PORTAL + "ConfirmRecorded": _PERSON,
    _PORTAL + "GetAsked": _PERSON,
    _PORTAL + "AnswerAsked": _PERSON,
    _PORTAL + "KeepDraft": _PERSON,
    _PORTAL + "ForgetDraft": _PERSON,
    _PORTAL + "ListSeen": _PERSON,
    _PORTAL + "GetSteps": _PERSON,
    _PORTAL + "HideItem": _PERSON,
    _PORTAL + "ShowEverything": _PERSON,
    # a guardian of hers
    _CONSENT + "OpenGuardianSession": _GUARDIAN,
    _CONSENT + "CloseGuardianSession": _GUARDIAN,
    _CONSENT + "ListCosignRequests": _GUARDIAN,
    _CONSENT + "CosignGrant": _GUARDIAN,
    # agencies
    _CONSENT + "ListAgencyGrants": _AGENCY,
    _CONSENT + "AuthorizeReferral": _AGENCY,
    _CONSENT + "RecordAnswer": _AGENCY,
    _CONSENT + "ReleaseKey": _AGENCY,
    # stops by others, and what she sees of them
    _CONSENT + "StopForHer": _AGENCY,
    _CONSENT + "StopAsRepresentative": _PERSON,
    _CONSENT + "ResumeForHer": _AGENCY,
    _CONSENT + "LiftWait": _AGENCY,
    _CONSENT + "ListStops": _PERSON,
    _CONSENT + "AddRepresentative": _PERSON,
    _CONSENT + "ListRepresentatives": _PERSON,
    _CONSENT + "RemoveRepresentative": _PERSON,
    _CONSENT + "SetCodeWord": _PERSON,
    _CONSENT + "RecordGrant": _AGENCY,
    _CONSENT + "SecondGrant": _AGENCY,
    _CONSENT + "SetCosign": _AGENCY,
    _CONSENT + "RegisterGuardian": _AGENCY,
    _CONSENT + "ExcludeGuardian": _AGENCY,
    _CONSENT + "AskConsent": _AGENCY,
    _CONSENT + "ListAsks": _AGENCY,
    # why, and why not
    _CONSENT + "Explain": _AGENCY,
    _CONSENT + "ExplainSharing": _PERSON,
    # consent's own operator
    _CONSENT + "RollKeys": _OPERATOR,
    _CONSENT + "ConfirmClock": _OPERATOR,
    _CONSENT + "ReplayEvents": _OPERATOR,
    # the other services
    _CONSENT + "ListEvents": _FOLLOWERS,
    # the ledger
    _LEDGER + "AppendKey": _AGENCY,
    _LEDGER + "GetCheckpoint": _HEAD_READERS,
    _LEDGER + "ListLeaves": _READERS,
    _LEDGER + "GetConsistencyProof": _HEAD_READERS,
    _LEDGER + "CheckCode": _READERS | {"service:portal"},
    # keys
    _KEYS + "ListTokenKeys": frozenset({"service:referral"}),
    _KEYS + "RotateTokenKey": _OPERATOR,
    _KEYS + "RotateAgencyKey": _OPERATOR,
    _KEYS + "RevokeAgencyKey": _OPERATOR,
    _KEYS + "ListAgencyKeys": _AGENCY | _OPERATOR,
    _KEYS + "GetKeyUse": _AGENCY,
}

STOP: Final = frozenset(
    {_CONSENT + name for name in ("StopGrant", "NarrowGrant", "ConfirmGrant")}
    | {
        _PORTAL + name
        for name in ("StopSharing", "StopEverything", "DestroyNow", "ConfirmRecorded")
    }
)
"""What waits at a gate: a stop, a narrowing, which is a stop of something, and her no to what was
recorded for her."""
_GUARDIANS: Final = frozenset(
    _CONSENT + name
    for name in (
        "OpenGuardianSession",
        "CloseGuardianSession",
        "ListCosignRequests",
        "CosignGrant",
    )
)
"""They wait among the agencies: nobody else takes the threads that she stops with. Opening a
session of theirs waits among the sign-ins."""
STOP_FOR_HER: Final = frozenset({_CONSENT + "StopForHer"})
STOP_BY_CODE: Final = frozenset({_CONSENT + "StopAsRepresentative"})
"""Stops by others: apart from hers, which no agency and no caller at the portal may hold up, and
from each other."""
SIGN_IN: Final = frozenset({_CONSENT + name for name in ("OpenSession", "OpenGuardianSession")})
"""What checks a PIN for whoever asks: slow on purpose, and as often as somebody likes, for every
card number has tries of its own. What asks for the PIN again within a session is not among them:
nobody reaches it without a session, and its tries are hers, so that it needs no sign-in to wait
for, and whoever has covered her screen unlocks it behind no flood."""
HERS: Final = (
    frozenset(path for path, roles in POLICY.items() if roles == _PERSON)
    - STOP
    - STOP_BY_CODE
    - SIGN_IN
    - _GUARDIANS
)
"""What she does in her session, but to stop."""
INSIDE: Final = frozenset(
    path for path, roles in POLICY.items() if not roles & (_READERS | _PERSON)
)
"""What operators and the other services call, such as referral that wants to hear of her stop."""

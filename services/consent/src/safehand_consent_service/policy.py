"""Who may call what of the consent process: the one table for both of its services.

Denied by default; a server refuses to start unless this names exactly the methods it serves.
"""

from __future__ import annotations

from typing import Final

from safehand_rpc.policy import Policy

_CONSENT: Final = "/safehand.consent.v1.ConsentService/"
_LEDGER: Final = "/safehand.consent.v1.LedgerService/"

_AGENCY: Final = frozenset({"agency"})
_PERSON: Final = frozenset({"service:portal"})
"""Her own calls come through the portal, each with her session."""
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
    # agencies
    _CONSENT + "ListAgencyGrants": _AGENCY,
    _CONSENT + "AuthorizeReferral": _AGENCY,
    _CONSENT + "RecordAnswer": _AGENCY,
    _CONSENT + "ReleaseKey": _AGENCY,
    # consent's own operator
    _CONSENT + "RollKeys": _OPERATOR,
    _CONSENT + "ConfirmClock": _OPERATOR,
    # the other services
    _CONSENT + "ListEvents": _FOLLOWERS,
    # the ledger
    _LEDGER + "AppendKey": _AGENCY,
    _LEDGER + "GetCheckpoint": _HEAD_READERS,
    _LEDGER + "ListLeaves": _READERS,
    _LEDGER + "GetConsistencyProof": _HEAD_READERS,
}

STOP: Final = frozenset({_CONSENT + "StopGrant"})
HERS: Final = frozenset(path for path, roles in POLICY.items() if roles == _PERSON) - STOP
"""Her stop, and the rest of what she does, such as signing in before it."""
INSIDE: Final = frozenset(
    path for path, roles in POLICY.items() if not roles & (_READERS | _PERSON)
)
"""What operators and the other services call, such as referral that wants to hear of her stop."""

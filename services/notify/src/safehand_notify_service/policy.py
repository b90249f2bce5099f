"""Who may call what of the notify service. An agency sees its own deliveries and no others: its
name is taken from its certificate, never from a request."""

from __future__ import annotations

from typing import Final

from safehand_rpc.policy import Policy

_NOTIFY: Final = "/safehand.notify.v1.NotifyService/"
_AGENCY: Final = frozenset({"agency"})
_OPERATOR: Final = frozenset({"operator:notify"})

POLICY: Final[Policy] = {
    _NOTIFY + "Follow": _AGENCY,
    _NOTIFY + "ListDeliveries": _AGENCY,
    _NOTIFY + "AcknowledgeDeliveries": _AGENCY,
    _NOTIFY + "GetWaitingStops": _OPERATOR,
    _NOTIFY + "ListDeadLetters": _OPERATOR,
    _NOTIFY + "GetDeadLetter": _OPERATOR,
    _NOTIFY + "ReplayDeadLetters": _OPERATOR,
}

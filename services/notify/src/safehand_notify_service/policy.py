"""Who may call what of the notify service. An agency sees its own deliveries and no others: its
name is taken from its certificate, never from a request."""

from __future__ import annotations

from typing import Final

from safehand_rpc.policy import Policy

_NOTIFY: Final = "/safehand.notify.v1.NotifyService/"
_AGENCY: Final = frozenset({"agency"})

POLICY: Final[Policy] = {
    _NOTIFY + "Follow": _AGENCY,
    _NOTIFY + "ListDeliveries": _AGENCY,
}

"""Who may call what of notify, in this test's own words: a changed row is a change here."""

from __future__ import annotations

from safehand.notify.v1 import notify_pb2
from safehand_notify_service.policy import POLICY
from safehand_rpc.policy import methods_of

OPERATOR = {"operator:notify"}
WHO = {
    "Follow": {"agency"},
    "ListDeliveries": {"agency"},
    "AcknowledgeDeliveries": {"agency"},
    "GetWaitingStops": OPERATOR,
    "ListDeadLetters": OPERATOR,
    "GetDeadLetter": OPERATOR,
    "ReplayDeadLetters": OPERATOR,
}


def test_the_table_is_the_one_written_here() -> None:
    assert {path.rsplit("/", 1)[1]: set(roles) for path, roles in POLICY.items()} == WHO


def test_the_table_names_exactly_the_methods() -> None:
    assert methods_of(notify_pb2.DESCRIPTOR.services_by_name["NotifyService"]) == POLICY.keys()

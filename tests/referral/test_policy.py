"""Who may call what, as a matrix over the wire, and what production does not serve."""

from __future__ import annotations

import grpc
import pytest
from safehand.referral.v1 import (
    directory_pb2,
    directory_pb2_grpc,
    referral_pb2,
    referral_pb2_grpc,
)
from safehand_core.errors import SafehandError
from safehand_core.reasons import Reason
from safehand_referral_service.policy import POLICY
from safehand_rpc.policy import methods_of

from tests.referral.world import World

PARTIES = {
    "agency": ("agency", "a-agency"),
    "service:consent": ("service", "consent"),
    "service:notify": ("service", "notify"),
    "service:portal": ("service", "portal"),
    "service:referral": ("service", "referral"),
    "operator:consent": ("operator", "consent"),
    "operator:notify": ("operator", "notify"),
    "operator:referral": ("operator", "referral"),
    "oversight": ("oversight", "ombud"),
}

# Written out by hand, so that a change of the table is a change here.
WHO = {
    "CreateReferral": {"agency"},
    "GetReferral": {"agency"},
    "ListReferrals": {"agency"},
    "ConfirmDelivery": {"agency"},
    "AcknowledgeReferral": {"agency"},
    "AnswerReferral": {"agency"},
    "CompleteReferral": {"agency"},
    "AskReseal": {"agency"},
    "ListSteps": {"service:portal"},
    "ListEvents": {"service:notify"},
    "ReplayEvents": {"operator:referral"},
    "ListDeadLetters": {"operator:referral"},
    "GetDeadLetter": {"operator:referral"},
    "ReplayDeadLetters": {"operator:referral"},
    "RegisterAgency": {"operator:referral"},
    "GetAgency": {"agency", "service:portal", "operator:referral"},
    "RotateAgencyKey": {"agency", "operator:referral"},
    "RevokeAgencyKey": {"operator:referral"},
    "PublishProtocol": {"agency"},
    "ListProtocols": {"agency"},
    "PublishKey": {"agency"},
    "GetKey": {"agency", "operator:referral"},
    "ImportPackage": {"operator:referral"},
    "SearchServices": {"agency", "service:portal", "operator:referral"},
    "GetService": {"agency", "service:portal", "operator:referral"},
    "SetServiceNeeds": {"operator:referral"},
    "SetConfidential": {"operator:referral"},
}


def test_the_table_names_exactly_the_methods() -> None:
    served = methods_of(referral_pb2.DESCRIPTOR.services_by_name["ReferralService"]) | methods_of(
        directory_pb2.DESCRIPTOR.services_by_name["DirectoryService"]
    )
    assert served == POLICY.keys()
    assert {path.rsplit("/", 1)[1] for path in served} == WHO.keys()


@pytest.mark.parametrize("role", PARTIES)
def test_every_method_for_every_role(world: World, role: str) -> None:
    """An empty request: whoever may call hears what is wrong with it, everybody else nothing."""
    kind, name = PARTIES[role]
    channel = world.channel(world.party(kind, name))
    for module, stub in (
        (referral_pb2, referral_pb2_grpc.ReferralServiceStub(channel)),
        (directory_pb2, directory_pb2_grpc.DirectoryServiceStub(channel)),
    ):
        for method, allowed in WHO.items():
            if not hasattr(stub, method):
                continue
            request = getattr(module, f"{method}Request")()
            reason = None
            try:
                getattr(stub, method)(request)
            except SafehandError as error:
                reason = error.reason
            if role in allowed:
                assert reason in (None, Reason.MALFORMED), (role, method, reason)
            else:
                assert reason is Reason.NOT_ALLOWED, (role, method, reason)


def test_without_a_certificate_nobody_is_let_in(world: World) -> None:
    credentials = grpc.ssl_channel_credentials(world.a.tls.ca.read_bytes())
    options = [("grpc.ssl_target_name_override", "referral.safehand.example")]
    with grpc.secure_channel(f"127.0.0.1:{world.port}", credentials, options) as channel:
        stub = referral_pb2_grpc.ReferralServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ListReferrals(referral_pb2.ListReferralsRequest(), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_an_unknown_field_is_refused(world: World) -> None:
    raw = referral_pb2.ListReferralsRequest().SerializeToString() + b"\xfa\x01\x01x"
    request = referral_pb2.ListReferralsRequest.FromString(raw)
    with pytest.raises(SafehandError) as caught:
        world.a.referral.ListReferrals(request)
    assert caught.value.reason is Reason.MALFORMED

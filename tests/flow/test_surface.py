"""What every service shows to who connects: health everywhere, the schema in the sandbox only."""

from __future__ import annotations

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from safehand_rpc.dial import MAX_RECEIVE_BYTES
from safehand_rpc.tls import channel_credentials, read_material

from tests.harness.world import World

SERVED = {
    "consent": {
        "safehand.consent.v1.ConsentService",
        "safehand.consent.v1.LedgerService",
        "safehand.consent.v1.KeyService",
        "safehand.consent.v1.PortalService",
    },
    "referral": {"safehand.referral.v1.ReferralService", "safehand.referral.v1.DirectoryService"},
    "notify": {"safehand.notify.v1.NotifyService"},
}


@pytest.mark.parametrize("service", SERVED)
def test_health_and_reflection(world: World, service: str) -> None:
    import grpc

    address = getattr(world.system.addresses, service)
    material = read_material(world.party("agency-a").tls)
    options = [
        ("grpc.ssl_target_name_override", f"{service}.safehand.example"),
        ("grpc.max_receive_message_length", MAX_RECEIVE_BYTES),
    ]
    with grpc.secure_channel(address, channel_credentials(material), options) as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=5
        )
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        listing = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5
        )
        names = {item.name for item in next(listing).list_services_response.service}
    assert names >= SERVED[service]
